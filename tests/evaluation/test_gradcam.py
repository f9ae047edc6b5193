import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import COLOURS
from PIL import Image

from model import build_network
from postergenres.evaluation.gradcam import explain, has_grad_cam, overlay
from postergenres.evaluation.poster_predictions import Predictions, draw_heat_maps
from postergenres.models.layer_names import (
    GRAD_CAM_ACTIVATIONS,
    GRAD_CAM_NORMALIZATION,
)
from postergenres.models.saved import PRETRAINED_FOLDERS, open_model
from postergenres.models.transfer import build_transfer, load_imagenet

RNG = np.random.default_rng(0)
POSTERS = RNG.integers(0, 256, (6, 64, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def backbone():
    network = build_transfer("efficientnet_lite0", 64, 48, 3)
    load_imagenet(network)
    return network


@pytest.fixture(scope="module")
def older_model():
    """A model as older versions of train.py built it: without the layers of Grad-CAM."""
    posters = keras.Input((64, 48, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(posters)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(posters, keras.layers.Dense(3, activation="sigmoid", name="genres")(x))


def test_the_heat_map_is_high_on_the_color_of_the_genre(pipeline):
    model, about = open_model(pipeline.data / "model")
    action, drama = (about["genres"].index(genre) for genre in ("Action", "Drama"))
    bands = np.repeat(np.array([COLOURS["Action"], COLOURS["Drama"]], np.uint8), 24, axis=0)
    poster = np.broadcast_to(bands[:, None], (48, 32, 3))
    heat = explain(model, np.stack([poster, poster]), [action, drama])
    assert heat.shape == (2, 48, 32) and heat.min() >= 0 and heat.max() <= 1
    top, bottom = heat[:, :20].mean(axis=(1, 2)), heat[:, 28:].mean(axis=(1, 2))
    assert top[0] - bottom[0] > top[1] - bottom[1]
    shown = overlay(poster, heat[0])
    assert shown.shape == (48, 32, 3) and shown.dtype == np.uint8


def test_grad_cam_of_a_backbone_is_its_class_activation_map(backbone):
    """Both are equal if the head follows global average pooling (Zhou et al. 2016)."""
    genres = [0, 1, 2, 0, 1, 2]
    last = [layer for layer in backbone.layers if isinstance(layer, keras.layers.ReLU)][-1]
    maps = keras.Model(backbone.inputs, last.output).predict_on_batch(POSTERS)
    kernel = RNG.normal(size=(1280, 3)).astype(np.float32)
    backbone.get_layer("genres").kernel.assign(kernel)
    heat = explain(backbone, POSTERS, genres)
    assert heat.shape == (6, 64, 48)
    for one, poster_maps, genre in zip(heat, maps, genres, strict=True):
        expected = np.maximum(poster_maps @ kernel[:, genre], 0)
        expected = np.asarray(Image.fromarray(expected).resize((48, 64), Image.BILINEAR))
        np.testing.assert_allclose(one, expected / max(expected.max(), 1e-12), atol=1e-4)


def test_the_heat_map_of_study_is_the_weighted_sum_of_its_last_convolution():
    network = build_network("study", 32, 32, 2)
    head = network.get_layer("genres")
    kernel = RNG.normal(size=(128, 1)).astype(np.float32)
    head.kernel.assign(np.hstack([kernel, -kernel]))  # so that one of both heat maps is not empty
    posters = POSTERS[:2, :32, :32]
    convolution = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    maps = keras.Model(network.inputs, convolution.output)([posters[[0, 0]]])
    rest = network.layers[network.layers.index(convolution) + 1 : -1]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        x = maps
        for layer in rest:
            x = layer(x)
        logits = tf.gather(x @ head.kernel, [0, 1], batch_dims=1)
    weights = tape.gradient(logits, maps).numpy().mean(axis=(1, 2))
    heat = explain(network, posters[[0, 0]], [0, 1])
    assert heat.max() == 1
    for one, poster_maps, channel_weights in zip(heat, maps.numpy(), weights, strict=True):
        expected = np.maximum(poster_maps @ channel_weights, 0)
        expected = np.asarray(Image.fromarray(expected).resize((32, 32), Image.BILINEAR))
        np.testing.assert_allclose(one, expected / max(expected.max(), 1e-12), atol=1e-4)


@pytest.mark.parametrize("architecture", ["study", "improved", "efficientnet_lite0"])
def test_every_architecture_names_its_layers(architecture):
    """A network that pools between convolution and normalization names three layers."""
    network = build_network(architecture, 64, 48, 3)
    assert has_grad_cam(network)
    names = {layer.name for layer in network.layers}
    others = {GRAD_CAM_NORMALIZATION, GRAD_CAM_ACTIVATIONS}
    assert names & others == (others if architecture == "improved" else set())
    heat = explain(network, POSTERS, [0, 1, 2, 0, 1, 2])
    assert heat.shape == (6, 64, 48) and heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize("name", sorted(PRETRAINED_FOLDERS))
def test_the_pretrained_models_have_heat_maps(name):
    assert has_grad_cam(open_model(PRETRAINED_FOLDERS[name])[0])


def test_an_older_model_has_no_heat_maps(older_model):
    assert not has_grad_cam(older_model)
    with pytest.raises(ValueError, match="No heat maps: .* Run: python train.py"):
        explain(older_model, POSTERS, [0] * 6)


def test_predictions_of_an_older_model_come_without_heat_maps(older_model, capsys):
    probabilities = older_model.predict_on_batch(POSTERS)
    predictions = Predictions(probabilities, [""] * 6, [*POSTERS, None])
    assert draw_heat_maps(older_model, predictions, 7) == []
    assert capsys.readouterr().out.count("No heat maps: ") == 1
    assert draw_heat_maps(older_model, predictions._replace(thumbnails=[None]), 1) == [None]
    assert draw_heat_maps(older_model, predictions, 0) == []
    assert capsys.readouterr().out == ""


def test_predictions_come_with_a_heat_map_for_each_poster(backbone):
    probabilities = backbone.predict_on_batch(POSTERS[:2])
    probabilities = np.insert(probabilities, 1, np.nan, axis=0)
    thumbnails = [POSTERS[0], None, POSTERS[1]]
    shown = draw_heat_maps(backbone, Predictions(probabilities, ["", "none", ""], thumbnails), 3)
    assert shown[1] is None
    heat_maps = explain(backbone, POSTERS[:2], probabilities[[0, 2]].argmax(axis=1))
    np.testing.assert_array_equal(shown[0], overlay(POSTERS[0], heat_maps[0]))
    np.testing.assert_array_equal(shown[2], overlay(POSTERS[1], heat_maps[1]))
