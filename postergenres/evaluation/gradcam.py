"""Grad-CAM heat maps: which parts of a poster raise the probability of a genre.

Each feature map of the last convolution is weighted with the mean gradient of the genre's logit;
the heat map is the sum, cut off below 0. Source: Selvaraju et al. 2017, Grad-CAM: Visual
Explanations from Deep Networks via Gradient-based Localization.
"""

import keras
import numpy as np
from matplotlib import colormaps
from PIL import Image

from postergenres.models.layer_names import (
    GRAD_CAM_ACTIVATIONS,
    GRAD_CAM_MAPS,
    GRAD_CAM_NORMALIZATION,
)
from postergenres.quiet_import import hiding_notes

with hiding_notes():  # Keras on JAX has not loaded it
    import tensorflow as tf

NO_GRAD_CAM = (
    "No heat maps: this model was saved by an older version of train.py. To get heat maps, train "
    "again. Run: python train.py"
)


def has_grad_cam(model):
    """Return whether a model has the named layers that `explain` needs; older models lack them."""
    return find_layer(model, GRAD_CAM_MAPS) is not None


def find_layer(model, name):
    """Return the layer of this name, or None."""
    return next((layer for layer in model.layers if layer.name == name), None)


def explain(model, posters, genres):
    """Return a heat map for one genre of each poster.

    Args:
        model: a network of `model.build_network`.
        posters: uint8 (N, H, W, 3).
        genres: (N,), the column of the genre to explain.

    Returns:
        float32 (N, H, W), scaled to a maximum of 1 in each poster; all 0 if no part of the poster
        raises the probability.

    Raises:
        ValueError: if the model lacks the layers that Grad-CAM needs; see `has_grad_cam`.
    """
    if not has_grad_cam(model):
        raise ValueError(NO_GRAD_CAM)
    maps_layer, head = model.get_layer(GRAD_CAM_MAPS), model.get_layer("genres")
    normalize = find_layer(model, GRAD_CAM_NORMALIZATION)
    activations_layer = find_layer(model, GRAD_CAM_ACTIVATIONS) or maps_layer
    outputs = [maps_layer.output, activations_layer.output, head.input]
    network = keras.Model(model.inputs, outputs)
    with tf.GradientTape() as tape:
        maps, activations, hidden = network([posters], training=False)
        # Logits, because the gradient of a probability vanishes near 0 and 1.
        logits = hidden @ head.kernel + head.bias
        chosen = tf.gather(logits, genres, batch_dims=1)
    weights = tape.gradient(chosen, activations).numpy().mean(axis=(1, 2), keepdims=True)
    # The maps have a finer resolution than the activations if the network pools in between.
    maps = normalize(maps) if normalize else maps
    maps = np.maximum(keras.ops.convert_to_numpy(maps), 0)
    heat = np.maximum((maps * weights).sum(axis=-1), 0)
    height, width = posters.shape[1:3]
    resized = [Image.fromarray(one).resize((width, height), Image.BILINEAR) for one in heat]
    resized = np.stack([np.asarray(one) for one in resized])
    return resized / np.maximum(resized.max(axis=(1, 2), keepdims=True), 1e-12)


def overlay(poster, heat):
    """Draw a heat map over a poster in gray.

    Args:
        poster: uint8 (H, W, 3).
        heat: (H, W), 0 to 1.

    Returns:
        uint8 (H, W, 3).
    """
    gray = poster.mean(axis=2, keepdims=True) / 255
    colors = colormaps["inferno"](heat)[..., :3]
    opacity = 0.75 * heat[..., None]
    return (255 * ((1 - opacity) * gray + opacity * colors)).round().astype(np.uint8)
