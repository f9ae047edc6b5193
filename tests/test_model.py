from postergenres.models.saved import save_model

import keras
import numpy as np
import pytest

import model


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_the_cnns_have_four_convolutions_a_flatten_and_two_dense_layers(architecture):
    network = model.build_network(architecture, 150, 101, 18)
    assert len(layers_of(network, keras.layers.Conv2D)) == 4
    assert len(layers_of(network, keras.layers.Flatten)) == 1
    dense = layers_of(network, keras.layers.Dense)
    assert len(dense) == 2 and dense[-1] is network.layers[-1]
    assert dense[-1].activation is keras.activations.sigmoid
    assert network.input_shape == (None, 150, 101, 3) and network.output_shape == (None, 18)
    assert network.name == architecture


def test_study_has_the_layers_of_the_study():
    network = model.build_network("study", 150, 101, 18)
    convolutions = layers_of(network, keras.layers.Conv2D)
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 64]
    assert all(layer.kernel_size == (3, 3) and layer.padding == "valid" for layer in convolutions)
    assert [layer.rate for layer in layers_of(network, keras.layers.Dropout)] == [0.25, 0.25, 0.5]
    flattened = 34 * 22 * 64  # 150 x 101 after two valid convolutions and a pooling, twice
    weights = (27 * 32 + 288 * 64 + 576 * 128 + 1152 * 64) + flattened * 128 + 128 * 18
    assert network.count_params() == weights + (32 + 64 + 128 + 64) + 128 + 18


def test_the_improved_network_is_smaller_than_ten_megabytes(tmp_path):
    network = model.build_network("improved", 150, 101, 28)
    save_model(network, {}, tmp_path)
    assert (tmp_path / "model.keras").stat().st_size <= 10_000_000


@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_the_model_scales_pixels_once(architecture):
    network = model.build_network(architecture, 32, 32, 3)
    scaling = layers_of(network, keras.layers.Rescaling)
    assert len(scaling) == 1
    pixels = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)
    scaled = np.asarray(scaling[0](pixels)).ravel()
    assert scaled.tolist() == ([0, 1] if architecture == "study" else [-1, 1])


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_backbones_are_built_by_name_for_posters_of_any_size(variant):
    network = model.build_network(f"efficientnet_{variant}", None, None, 5)
    assert network.name == f"efficientnet_{variant}"
    assert network.input_shape == (None, None, None, 3) and network.output_shape == (None, 5)


def test_an_unknown_name_and_a_small_size_are_refused():
    with pytest.raises(ValueError, match="architecture must be one of .*efficientnet.* 'resnet'"):
        model.build_network("resnet", 150, 101, 18)
    with pytest.raises(ValueError, match="10 x 101"):
        model.build_network("study", 10, 101, 18)


def test_the_script_prints_the_layers_of_both_cnns(capsys):
    model.main()
    printed = capsys.readouterr().out
    assert printed.count("Total params") == 2 and printed.count("(Conv2D)") == 8
    assert 'Model: "study"' in printed and 'Model: "improved"' in printed
