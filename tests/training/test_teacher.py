import functools
import shutil
from dataclasses import replace
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path
from postergenres.files import identify_folder, read_json
from postergenres.models.efficientnet import FEATURES
from postergenres.scores.metrics import estimate_prior
from postergenres.training import fine_tuned, teacher
from postergenres.training.input import draw_sample
from postergenres.words.cache import read_stored_posters
from postergenres.words.fitting import CONSTANTS

import keras
import numpy as np
import pytest
from conftest import build_color_network, contents
from scipy.special import expit, logit

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
    monkeypatch.setattr(teacher, "ask_network", pytest.fail)
    open_one(data)
    assert contents(data / "distillation") == before and capsys.readouterr().out == ""


def test_everything_that_the_outputs_depend_on_is_recorded(data):
    open_one(data)
    assert about_of(data)["basis"] == {
        **{"architecture": "efficientnet_lite2", "height": 30, "width": 20, "components": 20},
        **{"regularization": 1.0, "folds": 5, "near_duplicate": 68, "seed": 0, "text_model": None},
        "fine_tuned": None,
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
    monkeypatch.setattr(teacher, "ask_network", pytest.fail)
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


@pytest.fixture
def trained(monkeypatch):
    """Fake trainings of backbones; those that were started, by the rows that they train on."""
    runs = []

    def train_network(build, run, data_dir):
        assert (data_dir / "posters").exists() and run.store.images.shape[1:3] == (32, 24)
        runs.append(run)
        return SimpleNamespace(model=len(runs))  # this backbone predicts 0.1, 0.2 ... for all

    def predict_probabilities(model, images, rows):
        return np.full((len(rows), 3), model / 10)

    monkeypatch.setattr(fine_tuned, "train_network", train_network)
    monkeypatch.setattr(fine_tuned, "predict_probabilities", predict_probabilities)
    return runs


TUNED = replace(SMALL, fine_tuned=fine_tuned.FineTuned(folds=2, height=32, width=24))


def test_each_fine_tuned_backbone_teaches_the_posters_that_it_has_not_seen(data, trained):
    made, store = open_one(data, TUNED), open_store(data)
    first, second = (run.sample.rows for run in trained)
    assert sorted([*first, *second]) == store.rows("train").tolist()
    assert made.targets[second] == pytest.approx(0.1)
    assert made.targets[first] == pytest.approx(0.2)
    mean = expit((logit(0.1) + logit(0.2)) / 2)
    assert made.targets[store.rows("test")] == pytest.approx(mean)
    assert made.prior == pytest.approx(estimate_prior(store.labels[store.rows("val")]))
    assert made.features == pytest.approx(open_one(data).features)
    assert sorted(path.name for path in (data / "teacher").iterdir()) == ["fold-1", "fold-2"]


def test_what_a_backbone_learns_does_not_depend_on_the_labels_of_the_other_fold(data, trained):
    store = open_store(data)
    run = functools.partial(teacher.ask_network, network=TUNED, words=None, precision="float32")
    run(data, store)
    rows, others = trained[0].sample.rows, trained[1].sample.rows
    shutil.rmtree(data / "teacher")
    run(data, replace(store, labels=flip(store.labels, others[:20])))
    for before, after in zip(trained[:2], trained[2:], strict=True):
        np.testing.assert_array_equal(before.sample.rows, after.sample.rows)
    targets = [run.targets.train["genres"] for run in trained]
    np.testing.assert_array_equal(targets[0][rows], targets[2][rows])
    assert (targets[1][others] != targets[3][others]).any()


def test_a_fold_that_is_done_is_not_trained_again(data, trained, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fine_tuned, "draw_sample", stop_at_the_second(fine_tuned.draw_sample))
        open_one(data, TUNED)
    assert len(trained) == 1
    open_one(data, TUNED)
    assert len(trained) == 2 and trained[1].seed == 2
    open_one(data, replace(TUNED, regularization=2.0))  # of the teachers of the backbones
    assert len(trained) == 4


def stop_at_the_second(function):
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return function(*arguments)

    return stop


def test_a_poster_that_has_changed_names_the_command(data, trained):
    movie = open_store(data).index["id"][5]
    other = open_store(data).index["id"][6]
    shutil.copy(data / "posters" / f"{other}.jpg", data / "posters" / f"{movie}.jpg")
    with pytest.raises(SystemExit, match=f"{movie}.jpg .*changed. Run: python preprocessing.py"):
        open_one(data, TUNED)


# --- what it learns -------------------------------------------------------------------------------

TRAIN = np.arange(50)  # of 60 posters
FOLDS = teacher.plan_folds(TRAIN, groups=np.arange(60), count=5, seed=0)


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
        teacher.ask_network(data, x, SMALL, words=None, precision="float32").targets
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
