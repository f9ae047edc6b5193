"""Export a trained network as model.tflite, which LiteRT runs without TensorFlow.

The file takes one poster and returns the probabilities of its genres and its features, both
averaged over the poster and its mirror image, and a heat map for each genre: which parts of the
poster raise its probability.

The heat maps are those of Grad-CAM: the last feature maps, each weighted with the mean gradient of
the genre's logit, added and cut off below 0. Between the maps and the logits, the networks have at
most one Dense layer and one ReLU, so that the gradient is a product of their weights. Source:
Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization.
"""

import tempfile
from pathlib import Path
from typing import Any

from postergenres.files import replacing

import keras
import numpy as np
from keras import layers

ops: Any = keras.ops  # Keras annotates that any result may be None

# The names of layers that Grad-CAM looks up; each function that builds a network sets them.
GRAD_CAM_MAPS = "grad_cam_maps"  # the last feature maps; every network has this layer
# Batch normalization to apply to the maps, if the network pools before it.
GRAD_CAM_NORMALIZATION = "grad_cam_normalization"
# What the gradient refers to, if it is not the output of the maps' layer. Saved models have the
# name; only the tests look it up, to compare with TensorFlow's gradients.
GRAD_CAM_ACTIVATIONS = "grad_cam_activations"


def export_model(model: keras.Model, path: Path) -> None:
    """Write a network of `model.build_network` for LiteRT; Keras must run on TensorFlow.

    Input `posters`: uint8 (1, H, W, 3). Outputs `probabilities`: float32 (1, G); `features`, the
    input of the last layer: float32 (1, F); and `heat_maps`: float32 (1, rows, columns, G), at
    least 0 and not scaled.
    """
    import tensorflow as tf  # here, because Keras on JAX does without it

    with tempfile.TemporaryDirectory() as folder:
        build_exported(model).export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if is_exact_in_float16(model):  # half of the size
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    with replacing(path) as part:
        part.write_bytes(content)


def is_exact_in_float16(model: keras.Model) -> bool:
    """Return whether float16 holds the weights as they are, as those that pack.py has rounded.

    The converter multiplies weights with those of a batch normalization, which changes them.
    """
    if any(isinstance(layer, layers.BatchNormalization) for layer in model.layers):
        return False
    with np.errstate(over="ignore"):
        return all((weights == weights.astype(np.float16)).all() for weights in model.get_weights())


def build_exported(model: keras.Model) -> keras.Model:
    """Return the network from one poster to the outputs of `export_model`, in float32."""
    model = copy_in_float32(model)
    outputs = {
        "probabilities": model.outputs[0],
        "features": model.layers[-1].input,
        "heat_maps": connect_heat_maps(model),
    }
    posters = keras.Input(batch_shape=(1, *model.input_shape[1:]), dtype="uint8", name="posters")
    views = ops.concatenate([posters, ops.flip(posters, axis=2)], axis=0)
    found = keras.Model(model.inputs, outputs)(views)
    exported = {
        name: ops.mean(found[name], axis=0, keepdims=True) for name in ("probabilities", "features")
    }
    exported["heat_maps"] = ops.take(found["heat_maps"], [0], axis=0)
    return keras.Model(posters, exported)


def copy_in_float32(model: keras.Model) -> keras.Model:
    """Copy a network that may compute in bfloat16, with layer names that the converter accepts."""

    def copy_layer(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config() | {"name": layer.name.lstrip("_")}
        if not isinstance(layer, layers.InputLayer):
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=copy_layer)
    copy.set_weights(model.get_weights())
    return copy


def connect_heat_maps(model: keras.Model) -> Any:
    """Return the tensor of a network's heat maps, (batch, rows, columns, G)."""
    maps = model.get_layer(GRAD_CAM_MAPS).output
    found = {layer.name: layer for layer in model.layers}
    # The maps have a finer resolution than the activations if the network pools in between.
    if GRAD_CAM_NORMALIZATION in found:
        maps = found[GRAD_CAM_NORMALIZATION](maps)
    rows, columns, channels = maps.shape[1:]
    maps = ops.reshape(ops.relu(maps), (-1, rows * columns, channels))
    heat = ops.relu(ops.matmul(maps, connect_channel_weights(model, channels)))
    return ops.reshape(heat, (-1, rows, columns, heat.shape[-1]))


def connect_channel_weights(model: keras.Model, channels: int) -> Any:
    """Return the gradient of each logit, summed over the positions of each feature map.

    The tensor broadcasts to (batch, channels, G). Max pooling passes a gradient on to one position,
    so that it does not change the sum.
    """
    found = {layer.name: layer for layer in model.layers}
    head = found["genres"].kernel
    if "hidden" not in found:  # the logits are linear in the mean of each feature map
        return head[None]
    hidden = found["hidden"].output
    first = next(i for i, layer in enumerate(model.layers) if isinstance(layer, layers.Dense))
    dense = model.layers[first]
    slope = np.ones(dense.units, np.float32)
    for layer in model.layers[first + 1 : model.layers.index(found["hidden"])]:
        if isinstance(layer, layers.BatchNormalization):
            variance = np.asarray(layer.moving_variance)
            slope *= np.asarray(layer.gamma) / np.sqrt(variance + layer.epsilon)
    kernel = np.asarray(dense.kernel).reshape(-1, channels, len(slope)).sum(axis=0) * slope
    is_active = ops.cast(hidden > 0, "float32")  # the derivative of the ReLU
    return ops.matmul(is_active[:, None] * kernel, head)
