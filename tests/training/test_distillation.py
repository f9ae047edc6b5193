import json
import shutil

import keras
import numpy as np
import pytest

from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.evaluation.inference import predict_batch
from postergenres.models import transfer
from postergenres.models.efficientnet import FEATURES
from postergenres.models.saved import open_model, save_model
from postergenres.training import distillation

SETTINGS = {"teacher_height": 30, "teacher_width": 20, "components": 20, "regularisation": 1.0}


def build_seer(variant, height, width):
    """Stands for the teacher's network: tells the colour of the upper and of the lower half."""
    pictures = keras.Input((height, width, 3))
    halves = keras.layers.AveragePooling2D((height // 2, width))(pictures)
    colours = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(halves))
    wide = keras.layers.ZeroPadding1D((0, FEATURES - 6))(keras.layers.Reshape((6, 1))(colours))
    return keras.Model(pictures, keras.layers.Flatten(name="features")(wide))


@pytest.fixture
def data(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(distillation, "build_efficientnet", build_seer)
    return shutil.copytree(pipeline.data, tmp_path / "data")


def test_the_teacher_learns_and_what_it_says_is_written(data, capsys):
    about = distillation.main(data, **SETTINGS)
    assert about["scores"]["macro_roc_auc"]["score"] > 0.9
    assert about["scores"]["macro_roc_auc"]["floor"] == 0.5
    assert about == json.loads((data / "distillation" / "distillation.json").read_text())
    store = open_store(data)
    teacher = distillation.open_teacher(data, store)
    assert teacher.targets.shape == store.labels.shape and teacher.targets.dtype == np.float32
    assert teacher.targets.min() > 0 and teacher.targets.max() < 1
    assert teacher.features.shape == (len(store.labels), 20)
    train = teacher.features[store.rows("train")]
    assert train.var(axis=0, ddof=1).mean() == pytest.approx(1, abs=1e-3)
    assert train.mean(axis=0) == pytest.approx(0, abs=1e-3)
    assert "macro ROC-AUC" in capsys.readouterr().out


def test_no_training_poster_is_taught_its_own_label():
    """Its probabilities do not change with its label; those of others do."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 4)), rng.integers(0, 2, (60, 2))
    train = np.arange(50)
    before = distillation.teach_genres(features, labels, train, 1.0, seed=0)
    for row in (0, 17, 49):
        changed = labels.copy()
        changed[row] = 1 - changed[row]
        after = distillation.teach_genres(features, changed, train, 1.0, seed=0)
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any(axis=1).sum() > 40
    changed = labels.copy()
    changed[50:] = 1 - changed[50:]  # validation and test
    after = distillation.teach_genres(features, changed, train, 1.0, seed=0)
    np.testing.assert_array_equal(after, before)


def test_a_genre_that_no_poster_carries_gets_its_prior():
    features, labels = np.ones((20, 2)), np.zeros((20, 1), dtype=int)
    probabilities = distillation.predict_others(
        features, labels, np.arange(9), np.arange(9, 20), 1.0
    )
    np.testing.assert_allclose(probabilities, 0.05)


def test_a_run_that_was_stopped_goes_on(data, monkeypatch):
    monkeypatch.setattr(distillation, "CHUNK", 40)
    seen, extract = [], distillation.extract_chunk

    def stop_at_the_third(network, movies, *rest):
        seen.append(movies)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return extract(network, movies, *rest)

    monkeypatch.setattr(distillation, "extract_chunk", stop_at_the_third)
    with pytest.raises(SystemExit, match="130"):
        distillation.main(data, **SETTINGS)
    assert not (data / "distillation" / "distillation.json").exists()
    about = distillation.main(data, **SETTINGS)
    assert seen[3] == seen[2] and len(seen) == 3 + 2  # the third again, and the fourth

    monkeypatch.setattr(distillation, "extract_chunk", extract)
    shutil.rmtree(data / "distillation")
    assert distillation.main(data, **SETTINGS) == about
    monkeypatch.setattr(distillation, "build_efficientnet", pytest.fail)  # not needed any more
    assert distillation.main(data, **SETTINGS) == about


def test_a_poster_that_is_gone_names_the_commands(data):
    movie = open_store(data).index["id"][5]
    (data / "posters" / f"{movie}.jpg").unlink()
    with pytest.raises(SystemExit, match=f"{movie}.jpg: .*Run: python database.py"):
        distillation.main(data, **SETTINGS)


@pytest.mark.parametrize(
    "setting", [{"components": 0}, {"components": 1281}, {"regularisation": 0}]
)
def test_bad_settings(data, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}.* got {value}"):
        distillation.main(data, **setting)


@pytest.fixture
def fine_tuned(pipeline, tmp_path):
    """A fine-tuned network as train.py writes it, on the sample of the pipeline: random weights."""
    network = transfer.build_transfer("efficientnet_lite0", 32, 32, 3)
    about = json.loads((pipeline.data / "model" / "model.json").read_text())
    about |= {"H": 32, "W": 32, "settings": {"architecture": "efficientnet_lite0"}}
    save_model(network, about, tmp_path / "tuned")
    return tmp_path / "tuned" / "model"


def test_a_fine_tuned_network_teaches_what_it_predicts(data, fine_tuned):
    about = distillation.main(data, components=20, fine_tuned=fine_tuned)
    assert about["settings"]["fine_tuned"] == str(fine_tuned)
    store = open_store(data)
    teacher = distillation.open_teacher(data, store)
    network, _ = open_model(fine_tuned)
    posters = [
        decode_poster(data / "posters" / f"{movie}.jpg", 32, 32) for movie in store.index["id"]
    ]
    predicted = predict_batch(network, np.stack(posters))
    np.testing.assert_allclose(teacher.targets, predicted, atol=0.01)  # it averages before the head
    assert teacher.features.shape == (len(posters), 20)


def test_a_network_of_another_sample_or_without_features_does_not_teach(data, fine_tuned):
    with pytest.raises(SystemExit, match="without a backbone"):
        distillation.main(data, fine_tuned=data / "model")
    about = json.loads((fine_tuned / "model.json").read_text())
    (fine_tuned / "model.json").write_text(json.dumps(about | {"samples_sha256": "other"}))
    with pytest.raises(SystemExit, match="another sample"):
        distillation.main(data, fine_tuned=fine_tuned)
