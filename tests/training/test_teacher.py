import shutil
from dataclasses import replace

from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path
from postergenres.files import (
    identify_folder,
    read_json,
    record_checksums,
    write_json,
    writing_folder,
)
from postergenres.models import transfer
from postergenres.models.efficientnet import FEATURES
from postergenres.models.saved import predict_batch, save_model
from postergenres.training import teacher
from postergenres.training.input import draw_sample
from postergenres.words.cache import read_stored_posters
from postergenres.words.fitting import CONSTANTS

import keras
import numpy as np
import pytest
from conftest import build_color_network, contents

SMALL = teacher.FrozenNetwork(height=30, width=20, components=20, regularization=1.0)


@pytest.fixture
def data(pipeline, tmp_path, monkeypatch):
    """A copy of the pipeline's data folder; the frozen network sees the colors of posters."""
    monkeypatch.setattr(teacher, "build_efficientnet", build_color_network)
    monkeypatch.setattr(teacher, "find_weights", lambda variant: None)
    for name in ("store", "posters", "model"):
        shutil.copytree(pipeline.data / name, tmp_path / "data" / name)
    return tmp_path / "data"


def open_one(data, network=SMALL, **options):
    store = open_store(data)
    return teacher.open_teacher(data, store, draw_sample(store), network, **options)


def about_of(data):
    return read_json(data / "distillation" / "distillation.json")


def test_the_teacher_is_fitted_and_its_outputs_are_written_once(data, monkeypatch, capsys):
    made = open_one(data)
    about, store = about_of(data), open_store(data)
    assert about["scores"]["macro_roc_auc"]["score"] > 0.9
    assert about["scores"]["macro_roc_auc"]["floor"] == 0.5
    assert made.targets.shape == store.labels.shape and made.targets.dtype == np.float32
    assert made.targets.min() > 0 and made.targets.max() < 1
    assert made.features.shape == (len(store.labels), 20) and made.prior.tolist() == about["prior"]
    assert made.about == about["basis"] | {"outputs": identify_folder(data / "distillation")}
    output = capsys.readouterr().out
    assert f"making the teacher's outputs: {data / 'distillation'} is missing" in output
    assert "macro ROC-AUC" in output
    before = contents(data / "distillation")
    monkeypatch.setattr(teacher, "ask_frozen", pytest.fail)
    open_one(data)
    assert contents(data / "distillation") == before and capsys.readouterr().out == ""


def test_everything_that_the_outputs_depend_on_is_recorded(data):
    open_one(data)
    assert about_of(data)["basis"] == {
        **{"architecture": "efficientnet_lite2", "height": 30, "width": 20, "components": 20},
        **{"regularization": 1.0, "folds": 5, "near_duplicate": 68, "seed": 0, "text_model": None},
        "store": open_store(data).sha256,
    }


def test_stale_or_damaged_outputs_are_made_again_from_the_features_that_are_there(
    data, monkeypatch, capsys
):
    open_one(data)
    before = contents(data)
    monkeypatch.setattr(teacher, "build_efficientnet", pytest.fail)
    folder = data / "distillation"
    (folder / "targets.npy").write_bytes(b"")
    open_one(data)
    assert contents(data) == before
    assert f"outputs: {folder / 'targets.npy'} was changed" in capsys.readouterr().out
    open_one(data, replace(SMALL, components=10))
    assert f"outputs: {folder} was made by another teacher\n" in capsys.readouterr().out
    basis = teacher.describe_basis(open_store(data), SMALL, None) | {"store": "x"}
    assert teacher.find_staleness(folder, basis) == f"{folder} was made for another store"


def test_another_host_waits_for_the_outputs_of_the_first(data, monkeypatch):
    found = [f"{data} is missing", f"{data} is missing", None]
    open_one(data)
    monkeypatch.setattr(teacher, "find_staleness", lambda *_: found.pop(0))
    monkeypatch.setattr(teacher, "is_first", lambda: False)
    monkeypatch.setattr(teacher, "POLL_SECONDS", 0)
    monkeypatch.setattr(teacher, "ask_frozen", pytest.fail)
    assert open_one(data).prior.shape == (3,) and found == []


def build_upper_half(variant, height, width):
    """Build a network that sees the color of the upper half of a poster."""
    colors = build_color_network(variant, height, width)
    scale = [1, 1, 1] + [0] * (FEATURES - 3)
    features = keras.layers.Rescaling(scale, name="features")
    colors.layers[-1].name = "colors"
    return keras.Model(colors.input, features(colors.output))


def test_a_teacher_that_reads_is_better_and_is_made_again_without_words(
    data, fake_reader, monkeypatch
):
    """The network sees one half of a poster; the reader reads the colors of both."""
    monkeypatch.setattr(teacher, "build_efficientnet", build_upper_half)
    open_one(data)
    alone = about_of(data)["scores"]["binary_cross_entropy"]["score"]
    open_one(data, words=read_stored_posters(data, open_store(data), workers=1))
    text_model = about_of(data)["basis"]["text_model"]
    assert text_model.pop("reader").startswith("rapidocr 0") and text_model == CONSTANTS
    assert about_of(data)["scores"]["binary_cross_entropy"]["score"] < alone - 0.05
    open_one(data)
    assert about_of(data)["basis"]["text_model"] is None


def test_a_stopped_teacher_is_resumed(data, monkeypatch):
    monkeypatch.setattr(teacher, "CHUNK", 40)
    seen, extract = [], teacher.extract_chunk

    def stop_at_the_third(network, movies, *rest):
        seen.append(movies)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return extract(network, movies, *rest)

    monkeypatch.setattr(teacher, "extract_chunk", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        open_one(data)
    assert not (data / "distillation").exists()
    open_one(data)
    assert seen[3] == seen[2] and len(seen) == 3 + 2  # the third chunk again, and the fourth
    resumed = contents(data)
    shutil.rmtree(data / "distillation")
    shutil.rmtree(data / "features")
    open_one(data)
    assert contents(data) == resumed


def test_a_missing_poster_names_the_commands(data):
    movie = open_store(data).index["id"][5]
    (data / "posters" / f"{movie}.jpg").unlink()
    with pytest.raises(SystemExit, match=f"{movie}.jpg: .*Run: python database.py"):
        open_one(data)


def save_backbone(data, folder, **changes):
    """Write a backbone as train.py does, with random weights."""
    network = transfer.build_transfer("efficientnet_lite0", 32, 32, 3)
    about = read_json(data / "model" / "model.json") | {"H": 32, "W": 32}
    about |= {"settings": {"architecture": "efficientnet_lite0"}} | changes
    with writing_folder(folder) as part:
        save_model(network, about, part)
    return network


@pytest.mark.slow
def test_a_fine_tuned_teacher_outputs_what_the_network_predicts(data, tmp_path):
    network = save_backbone(data, tmp_path / "tuned")
    chosen = replace(teacher.choose_network(tmp_path / "tuned"), components=20)
    made = open_one(data, chosen)
    basis = about_of(data)["basis"]
    assert basis["fine_tuned"] == str(tmp_path / "tuned") and basis["components"] == 20
    assert basis["model"] == identify_folder(tmp_path / "tuned")
    paths = [data / "posters" / f"{movie}.jpg" for movie in open_store(data).index["id"]]
    posters = np.stack([decode_poster(path, 32, 32) for path in paths])
    predicted = predict_batch(network, posters)
    np.testing.assert_allclose(made.targets, predicted, atol=0.01)  # averaged before the head
    assert made.features.shape == (len(posters), 20)


@pytest.mark.slow
def test_a_network_of_another_sample_or_without_a_backbone_is_no_teacher(data, tmp_path):
    folder = tmp_path / "tuned"
    save_backbone(data, folder)
    about = read_json(folder / "model.json")
    for changes, message in (
        ({"samples_sha256": "other"}, "another sample"),
        ({"settings": {"architecture": "improved"}}, "without a backbone"),
    ):
        write_json(about | changes, folder / "model.json")
        record_checksums(folder, ["model.json"])
        with pytest.raises(SystemExit, match=message):
            open_one(data, teacher.choose_network(folder))
    assert teacher.choose_network() == teacher.FrozenNetwork()


# --- what it learns -------------------------------------------------------------------------------

TRAIN = np.arange(50)  # of 60 posters
FOLDS = teacher.plan_folds(TRAIN, groups=np.arange(60), seed=0)


def test_features_are_reduced_to_principal_components_of_the_training_posters():
    features = np.random.default_rng(0).normal(3, [5, 2, 1, 0.1], (60, 4))
    reduced = teacher.reduce_features(features, TRAIN, 2)
    assert reduced.shape == (60, 2) and reduced.dtype == np.float32
    assert reduced[TRAIN].var(axis=0, ddof=1).mean() == pytest.approx(1, abs=1e-5)
    assert reduced[TRAIN].mean(axis=0) == pytest.approx(0, abs=1e-5)
    correlation = np.corrcoef(reduced[:, 0], features[:, 0])[0, 1]
    assert abs(correlation) > 0.99
    assert teacher.reduce_features(features, TRAIN[:3], 4).shape == (60, 3)


def fit(labels):
    features = np.random.default_rng(0).normal(size=(60, 4))
    return teacher.fit_targets(features, labels, FOLDS, regularization=1.0)


def flip(labels, rows):
    changed = labels.copy()
    changed[rows] = 1 - changed[rows]
    return changed


def test_no_training_poster_gets_probabilities_from_its_own_labels():
    """The probabilities of a poster do not change with its labels; those of other posters do."""
    labels = np.random.default_rng(1).integers(0, 2, (60, 2))
    before = fit(labels)
    assert before.dtype == np.float32
    for row in (0, 17, 49):
        after = fit(flip(labels, row))
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any(axis=1).sum() > 40
    after = fit(flip(labels, np.arange(50, 60)))  # validation and test
    np.testing.assert_array_equal(after, before)


def test_no_training_poster_gets_probabilities_from_the_labels_of_a_duplicate(data):
    store = open_store(data)
    posters = [poster_path(data, movie) for movie in store.index["id"]]
    first, *others = store.rows("train")[:8]
    for row in others:
        shutil.copy(posters[first], posters[row])
    flipped = replace(store, labels=flip(store.labels, first))
    before, after = (
        teacher.ask_frozen(data, x, SMALL, words=None, precision="float32").targets
        for x in (store, flipped)
    )
    np.testing.assert_array_equal(after[others], before[others])
    assert (after != before).any()


def test_words_are_weighed_without_the_labels_of_validation_and_test():
    words = [[(f"word{row % 7}", 0.9)] for row in range(60)]
    labels = np.random.default_rng(0).integers(0, 2, (60, 2))
    targets = np.full((60, 2), 0.3)
    before = teacher.add_words(targets, words, labels, TRAIN, FOLDS)
    assert before.dtype == np.float32 and len(np.unique(before[50:])) > 2
    changed = flip(labels, np.arange(50, 60))
    after = teacher.add_words(targets, words, changed, TRAIN, FOLDS)
    np.testing.assert_array_equal(after, before)


def test_a_genre_that_no_poster_carries_gets_its_prior():
    labels = np.zeros((60, 1), int)
    np.testing.assert_allclose(fit(labels)[50:], 0.5 / 51, rtol=1e-6)
