"""Read PyTorch weight files of installed packages without PyTorch."""

import importlib.util
import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np


class TensorUnpickler(pickle.Unpickler):
    """Unpickler that accepts only tensors, because other pickles can run any code.

    A tensor is loaded as (storage key, offset, size, stride), a storage as its key.
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
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")

    def persistent_load(self, saved_id):
        _, kind, key, *_ = saved_id
        self.types[key] = np.dtype(self.STORAGES[kind])
        return key


def find_file(package, pattern, install):
    """Return the path of a file in an installed package, which is not imported.

    Args:
        package: its name on PyPI, with hyphens.
        pattern: of the path in the package, see `pathlib.Path.glob`.
        install: arguments of pip that install the package.

    Raises:
        SystemExit: if the package is not installed; the message names the command that installs it.
    """
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else ()
    for path in chain.from_iterable(Path(folder).glob(pattern) for folder in folders):
        return path
    sys.exit(f"The package {package} is missing. Run: python -m pip install {install}")


def read_pth(path, prefix=""):
    """Read tensors of a file that PyTorch wrote, before or since version 1.6.

    Args:
        path: of the file.
        prefix: with which the names of the tensors to read begin.

    Returns:
        {name: array}, in the order and with the shapes of the file.

    Raises:
        pickle.UnpicklingError: if the file has another format, is damaged, or contains anything
            that is not a tensor.
    """
    read = read_zipped if zipfile.is_zipfile(path) else read_unzipped
    try:
        return read(path, prefix)
    except (
        AttributeError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise pickle.UnpicklingError(f"{path} is damaged: {error!r}") from error


def read_zipped(path, prefix):
    """Read the format since PyTorch 1.6 as `read_pth`; a damaged file may raise any exception."""
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].split("/")[0]
        unpickler = TensorUnpickler(archive.open(f"{folder}/data.pkl"))
        tensors = unpickler.load()

        @cache
        def read_storage(key):
            return np.frombuffer(archive.read(f"{folder}/data/{key}"), unpickler.types[key])

        return {
            name: rebuild_tensor(read_storage, *tensor)
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }


def read_unzipped(path, prefix):
    """Read the format before PyTorch 1.6 as `read_pth`; a damaged file may raise any exception."""
    with open(path, "rb") as file:
        starts_as_pickle = file.read(2) == b"\x80\x02"
        file.seek(0)
        if not starts_as_pickle or TensorUnpickler(file).load() != 0x1950A86A20F9469CFC6C:
            raise pickle.UnpicklingError(f"{path} is not a .pth file of PyTorch")
        TensorUnpickler(file).load()  # format version
        TensorUnpickler(file).load()  # system that wrote the file
        unpickler = TensorUnpickler(file)
        tensors = unpickler.load()
        storages = {}
        for key in TensorUnpickler(file).load():
            dtype = unpickler.types[key]
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {
        name: rebuild_tensor(storages.__getitem__, *tensor)
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def rebuild_tensor(read_storage, key, offset, size, stride):
    """Return a copy of the part of a storage that a tensor refers to; all in numbers, not bytes."""
    storage = read_storage(key)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or max(last, math.prod(size) - 1) >= len(storage):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    bytes_apart = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, bytes_apart).copy()


def fold_norm(tensors, convolution, norm, epsilon):
    """Fold a batch normalization with fixed statistics into the convolution before it.

    The normalization scales and shifts each channel; the scale goes into the kernel, the shift into
    the bias.

    Args:
        tensors: {tensor name: array} of `read_pth`.
        convolution: name of a convolution without bias.
        norm: name of the batch normalization.
        epsilon: of the batch normalization.

    Returns:
        kernel (out, in, H, W) and bias (out,).
    """
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + epsilon)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return tensors[f"{convolution}.weight"] * scale[:, None, None, None], bias
