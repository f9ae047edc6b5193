import json
import zipfile

from postergenres.files import writing_folder
from postergenres.models import saved
from postergenres.models.saved import (
    add_features,
    predict_batch,
    predict_probabilities,
    predict_with_features,
)

import keras
import numpy as np
import pytest

from model import build_network

RNG = np.random.default_rng(0)


def save(network, folder, about=None):
    with writing_folder(folder) as part:
        saved.save_model(network, about or {}, part)
    return folder


def test_a_saved_model_predicts_the_same(tmp_path):
    network = build_network("improved", 40, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    before = predict_probabilities(network, images, rows, batch_size=3)
    folder = save(network, tmp_path / "model", {"genres": ["a", "Épouvante", "c"]})
    again, about = saved.open_model(folder)
    assert about == {"genres": ["a", "Épouvante", "c"]}
    after = predict_probabilities(again, images, rows, batch_size=64)
    np.testing.assert_allclose(after, before, atol=1e-6)
    files = ["checksums.json", "model.json", "model.keras", "model.tflite"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_the_optimizer_is_not_saved(tmp_path):
    network = build_network("improved", 40, 32, 3)
    before = save(network, tmp_path / "before") / "model.keras"
    network.compile("adamw", "binary_crossentropy")
    network.train_on_batch(np.zeros((2, 40, 32, 3), np.uint8), np.zeros((2, 3)))
    after = save(network, tmp_path / "after") / "model.keras"
    assert after.stat().st_size == pytest.approx(before.stat().st_size, rel=0.01)


def test_equal_weights_give_equal_bytes(tmp_path):
    weights = build_network("improved", 32, 32, 1).get_weights()
    folders = []
    for name in ("one", "other"):
        keras.utils.clear_session(free_memory=False)  # as in a training
        network = build_network("improved", 32, 32, 1)
        network.set_weights(weights)
        folders.append(save(network, tmp_path / name))
    for file in ("model.keras", "model.tflite"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    with zipfile.ZipFile(folders[0] / "model.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"
        assert {entry.date_time for entry in archive.infolist()} == {saved.DATE}
        assert '"shared_object_id": 1' in archive.read("config.json").decode()


def test_versions_name_python_and_the_packages():
    versions = saved.list_versions()
    assert set(versions) == set(
        "python tensorflow keras numpy scikit-learn pillow simplejpeg cykooz-resizer".split()
    )
    assert versions["keras"] == keras.__version__


def test_a_poster_and_its_mirror_image_have_the_same_prediction():
    network = build_network("improved", 40, 32, 3)
    posters = RNG.integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    mirrored = posters[:, :, ::-1]
    alone = [network.predict_on_batch(np.ascontiguousarray(x)) for x in (posters, mirrored)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    predicted = predict_batch(network, posters)
    np.testing.assert_allclose(predicted, (alone[0] + alone[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(predict_batch(network, mirrored), predicted, atol=1e-6)


def test_rows_are_predicted_in_their_order_whatever_the_batch_size():
    network = build_network("improved", 40, 32, 3)
    images = RNG.integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    probabilities = predict_probabilities(network, images, rows, batch_size=3)
    assert probabilities.shape == (4, 3) and probabilities.dtype == np.float64
    assert (probabilities[1] == probabilities[2]).all()
    np.testing.assert_allclose(probabilities, predict_batch(network, images[rows]), atol=1e-6)


def test_features_are_the_input_of_the_last_layer_averaged_like_the_probabilities():
    network = build_network("improved", 40, 32, 3)
    images = RNG.integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows, is_kept = np.array([7, 2, 5, 2, 9]), np.array([True, False, True, True, False])
    both = add_features(network)
    probabilities, features = predict_with_features(both, images, rows, is_kept, batch_size=2)
    alone = predict_probabilities(network, images, rows, batch_size=2)
    np.testing.assert_allclose(probabilities, alone, atol=1e-6)
    assert features.shape == (3, 256) and features.dtype == np.float32
    expected = predict_batch(both, images[rows[is_kept]])[1]
    np.testing.assert_allclose(features, expected, atol=1e-5)
    views = [images[rows[is_kept]][:, :, ::step] for step in (1, -1)]
    hidden = [both.predict_on_batch(np.ascontiguousarray(view))[1] for view in views]
    np.testing.assert_allclose(features, np.mean(hidden, axis=0), atol=1e-5)
    kernel, bias = network.get_layer("genres").get_weights()
    first = both.predict_on_batch(images[:2])
    np.testing.assert_allclose(first[0], 1 / (1 + np.exp(-first[1] @ kernel - bias)), atol=1e-5)
    _, none = predict_with_features(both, images, rows, np.zeros(5, bool))
    assert none.shape == (0, 256)
