"""Where the network looked: Grad-CAM.

The maps of the last convolution, after its activation, each weighted with the mean gradient of a
genre's logit, are added up and cut off below 0: what speaks for the genre, and where. Selvaraju et
al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
"""

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization, Conv2D, ReLU
from matplotlib import colormaps
from PIL import Image


def explain(model, posters, genres):
    """Heat maps for one genre of each poster.

    Args:
        model: of `networks.py`, with a last Conv2D and a Dense called "genres".
        posters: uint8 (N, H, W, 3).
        genres: (N,), the column of the genre to explain.

    Returns:
        float32 (N, H, W), 1 where the most speaks for the genre; all 0 where nothing does.
    """
    place = max(i for i, layer in enumerate(model.layers) if isinstance(layer, Conv2D))
    last, answer = model.layers[place], model.get_layer("genres")
    normalise, activated = lambda maps: maps, last  # "study" has the activation in the layer
    for layer, following in zip(model.layers[place:], model.layers[place + 1 :], strict=False):
        if isinstance(layer, BatchNormalization):  # "improved" pools, normalises, then cuts off
            normalise, activated = layer, following
            break
        if isinstance(following, ReLU):  # a backbone cuts off in a layer of its own
            last = activated = following
            break
    outputs = [last.output, activated.output, answer.input]
    network = keras.Model(model.inputs, outputs)
    with tf.GradientTape() as tape:
        maps, activations, hidden = network([posters], training=False)
        # The logit, not the probability, whose gradient vanishes where the network is sure.
        logits = hidden @ answer.kernel + answer.bias
        chosen = tf.gather(logits, genres, batch_dims=1)
    weights = tape.gradient(chosen, activations).numpy().mean(axis=(1, 2), keepdims=True)
    maps = np.maximum(keras.ops.convert_to_numpy(normalise(maps)), 0)  # finer than `activations`
    heat = np.maximum((maps * weights).sum(axis=-1), 0)
    height, width = posters.shape[1:3]
    resized = [Image.fromarray(one).resize((width, height), Image.BILINEAR) for one in heat]
    resized = np.stack([np.asarray(one) for one in resized])
    return resized / np.maximum(resized.max(axis=(1, 2), keepdims=True), 1e-12)


def overlay(poster, heat):
    """A poster, grey, under its heat map: uint8 (H, W, 3).

    Args:
        poster: uint8 (H, W, 3).
        heat: (H, W) of 0 to 1.
    """
    grey = poster.mean(axis=2, keepdims=True) / 255
    colours = colormaps["inferno"](heat)[..., :3]
    opacity = 0.75 * heat[..., None]
    return (255 * ((1 - opacity) * grey + opacity * colours)).round().astype(np.uint8)
