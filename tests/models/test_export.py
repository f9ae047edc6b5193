from typing import get_args

from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.export import (
    GRAD_CAM_ACTIVATIONS,
    GRAD_CAM_MAPS,
    GRAD_CAM_NORMALIZATION,
    build_exported,
    export_model,
    is_exact_in_float16,
)
from postergenres.models.exported import ExportedModel
from postergenres.models.saved import open_model, predict_batch
from postergenres.models.transfer import build_transfer, load_imagenet
from postergenres.settings import Architecture
from postergenres.training.precision import computing_in

import keras
import numpy as np
import pytest
import tensorflow as tf

from model import build_network

RNG = np.random.default_rng(0)
POSTERS = RNG.integers(0, 256, (3, 64, 48, 3), dtype=np.uint8)


def shake(network):
    """Give a network weights as after a training: no zeros, and positive variances."""
    weights = [weight + RNG.normal(0, 0.05, weight.shape) for weight in network.get_weights()]
    for i, variable in enumerate(network.weights):
        if "variance" in variable.path:
            weights[i] = abs(weights[i]) + 0.1
    network.set_weights(weights)
    return network


def explain(model, posters, genre):
    """Return the Grad-CAM heat maps of a genre, by TensorFlow's gradients: (N, rows, columns)."""
    found = {layer.name: layer for layer in model.layers}
    maps_layer, head = found[GRAD_CAM_MAPS], found["genres"]
    activations = found.get(GRAD_CAM_ACTIVATIONS, maps_layer).output
    network = keras.Model(model.inputs, [maps_layer.output, activations, head.input])
    with tf.GradientTape() as tape:
        maps, activations, hidden = network([posters], training=False)
        logit = (hidden @ head.kernel + head.bias)[:, genre]
    weights = tape.gradient(logit, activations).numpy().mean(axis=(1, 2), keepdims=True)
    if GRAD_CAM_NORMALIZATION in found:
        maps = found[GRAD_CAM_NORMALIZATION](maps)
    return np.maximum((np.maximum(maps, 0) * weights).sum(axis=-1), 0)


def check_heat_maps(model, posters):
    """Compare each heat map with Grad-CAM; return the largest value of all."""
    exported, largest = build_exported(model), 0
    for poster in posters:
        heat_maps = exported.predict_on_batch(poster[None])["heat_maps"]
        for genre in range(heat_maps.shape[-1]):
            expected = explain(model, poster[None], genre)[0]
            found = heat_maps[0, ..., genre] / max(heat_maps[0, ..., genre].max(), 1e-12)
            np.testing.assert_allclose(found, expected / max(expected.max(), 1e-12), atol=1e-4)
        largest = max(largest, heat_maps.max())
    return largest


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_network_names_its_last_feature_maps(architecture):
    names = {layer.name for layer in build_network(architecture, 64, 48, 3).layers}
    assert GRAD_CAM_MAPS in names
    assert (GRAD_CAM_NORMALIZATION in names) == (architecture == "improved")


@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_the_heat_maps_of_a_cnn_are_those_of_grad_cam(architecture):
    assert check_heat_maps(shake(build_network(architecture, 64, 48, 3)), POSTERS) > 0


def test_the_heat_maps_of_a_backbone_are_those_of_grad_cam():
    backbone = build_transfer("efficientnet_lite0", 64, 48, 3)
    load_imagenet(backbone)
    kernel = RNG.normal(size=(1280, 1))  # one of the first two heat maps is not empty
    backbone.get_layer("genres").kernel.assign(np.hstack([kernel, -kernel, abs(kernel)]))
    assert check_heat_maps(backbone, POSTERS) > 0


@pytest.mark.parametrize(
    "architecture",
    ["study", "improved", pytest.param("efficientnet_lite0", marks=pytest.mark.slow)],
)
def test_the_exported_network_predicts_what_keras_does(architecture, tmp_path):
    """Also if Keras computes in bfloat16, which is less exact."""
    network = shake(build_network(architecture, 64, 48, 3))
    export_model(network, tmp_path / "model.tflite")
    outputs = ExportedModel(tmp_path / "model.tflite").predict(POSTERS)
    probabilities, heat_maps, features = outputs
    np.testing.assert_allclose(probabilities, predict_batch(network, POSTERS), atol=1e-5)
    assert heat_maps.min() >= 0 and heat_maps.shape[::3] == (3, 3)
    until_features = keras.Model(network.inputs, network.get_layer("genres").input)
    expected = predict_batch(until_features, POSTERS)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert features.dtype == np.float32 and features.std() > 0
    with computing_in("bfloat16"):
        fast = build_network(architecture, 64, 48, 3)
    fast.set_weights(network.get_weights())
    export_model(fast, tmp_path / "fast.tflite")
    same = ExportedModel(tmp_path / "fast.tflite").predict(POSTERS)
    np.testing.assert_array_equal(same.probabilities, probabilities)
    np.testing.assert_array_equal(same.features, features)


def test_weights_are_halved_only_if_that_changes_nothing(tmp_path):
    network = shake(build_network("study", 32, 32, 2))
    sizes = []
    for rounded in (False, True):
        if rounded:
            network.set_weights([w.astype(np.float16) for w in network.get_weights()])
        assert is_exact_in_float16(network) == rounded
        export_model(network, tmp_path / "model.tflite")
        sizes.append((tmp_path / "model.tflite").stat().st_size)
    assert sizes[1] < 0.52 * sizes[0]
    assert not is_exact_in_float16(build_network("improved", 32, 32, 2))


@pytest.mark.parametrize("name", sorted(PRETRAINED_FOLDERS))
def test_the_pretrained_models_are_exported_as_keras_computes_them(name):
    model, about = open_model(PRETRAINED_FOLDERS[name])
    posters = RNG.integers(0, 256, (2, about["H"], about["W"], 3), dtype=np.uint8)
    exported = ExportedModel(PRETRAINED_FOLDERS[name] / "model.tflite")
    outputs = exported.predict(posters)
    np.testing.assert_allclose(outputs.probabilities, predict_batch(model, posters), atol=1e-5)
    assert outputs.heat_maps.shape[-1] == len(about["genres"])
    assert outputs.features.shape == (2, model.layers[-1].input.shape[1])
    assert (PRETRAINED_FOLDERS[name] / "model.tflite").stat().st_size <= 15e6
