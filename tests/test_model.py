import keras
import numpy as np
import pytest

import model
from postergenres.evaluation import inference
from postergenres.models import saved


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_four_convolutions_flatten_two_dense_sigmoid(architecture):
    network = model.build_model(architecture, 150, 101, 18)
    assert len(layers_of(network, keras.layers.Conv2D)) == 4
    assert len(layers_of(network, keras.layers.Flatten)) == 1
    dense = layers_of(network, keras.layers.Dense)
    assert len(dense) == 2 and dense[-1] is network.layers[-1]
    assert dense[-1].activation is keras.activations.sigmoid
    assert network.input_shape == (None, 150, 101, 3) and network.output_shape == (None, 18)


def test_the_study_network_is_the_study_s():
    network = model.build_model("study", 150, 101, 18)
    convolutions = layers_of(network, keras.layers.Conv2D)
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 64]
    assert all(layer.kernel_size == (3, 3) and layer.padding == "valid" for layer in convolutions)
    assert [layer.rate for layer in layers_of(network, keras.layers.Dropout)] == [0.25, 0.25, 0.5]
    convolved = 34 * 22 * 64  # what is left of 150 x 101 after two valid convolutions, twice
    weights = (27 * 32 + 288 * 64 + 576 * 128 + 1152 * 64) + convolved * 128 + 128 * 18
    assert network.count_params() == weights + (32 + 64 + 128 + 64) + 128 + 18


def test_the_improved_network_fits_into_ten_megabytes(tmp_path):
    network = model.build_model("improved", 150, 101, 28)
    saved.save_model(network, {}, tmp_path)
    assert (tmp_path / "model" / "model.keras").stat().st_size <= 10_000_000


def test_a_poster_and_its_mirror_image_are_predicted_alike():
    network = model.build_model("improved", 40, 32, 3)
    posters = np.random.default_rng(0).integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    mirrored = posters[:, :, ::-1]
    alone = [network.predict_on_batch(np.ascontiguousarray(x)) for x in (posters, mirrored)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    predicted = inference.predict_batch(network, posters)
    np.testing.assert_allclose(predicted, (alone[0] + alone[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(inference.predict_batch(network, mirrored), predicted, atol=1e-6)


@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_pixels_are_scaled_once_by_the_model(architecture):
    network = model.build_model(architecture, 32, 32, 3)
    scaling = layers_of(network, keras.layers.Rescaling)
    assert len(scaling) == 1
    pixels = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)
    scaled = np.asarray(scaling[0](pixels)).ravel()
    assert scaled.tolist() == ([0, 1] if architecture == "study" else [-1, 1])


def test_bad_names_and_sizes():
    with pytest.raises(ValueError, match="'resnet'"):
        model.build_model("resnet", 150, 101, 18)
    with pytest.raises(ValueError, match="10 x 101"):
        model.build_model("study", 10, 101, 18)


def test_a_saved_model_predicts_the_same(tmp_path):
    network = model.build_model("improved", 40, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    before = inference.predict_probabilities(network, images, rows, batch_size=3)
    assert before.shape == (4, 3) and (before[1] == before[2]).all()
    saved.save_model(network, {"genres": ["a", "b", "c"]}, tmp_path)
    again, about = saved.open_model(saved.find_model(tmp_path, "improved"))
    assert about == {"genres": ["a", "b", "c"]}
    after = inference.predict_probabilities(again, images, rows, batch_size=64)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.keras",
    ]


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="model.json is missing. Run: python train.py"):
        saved.open_model(tmp_path / "model")


def test_main_prints_both_layer_tables(capsys):
    model.main()
    out = capsys.readouterr().out
    assert out.count("Total params") == 2 and "Conv2D" in out
