"""Read PyTorch weight files of installed packages without PyTorch."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # a .pth file of PyTorch before 1.6 begins with it


class TensorUnpickler(pickle.Unpickler):
    """Unpickler that accepts only tensors, because other pickles can run any code.

    A tensor is loaded as (storage key, offset, size, stride), a storage as its key.
    """

    STORAGES = {"FloatStorage": np.float32, "LongStorage": np.int64}

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.types: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *rest: (storage, offset, size, stride)
        if module == "torch" and name in self.STORAGES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")

    def persistent_load(self, pid: Any, /) -> str:
        _, kind, key, *_ = pid
        self.types[key] = np.dtype(self.STORAGES[kind])
        return key


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a file that PyTorch wrote before version 1.6.

    Raises:
        pickle.UnpicklingError: the file has another format, or contains anything but tensors.
        ValueError: a tensor is larger than its storage.
    """
    with open(path, "rb") as file:
        if TensorUnpickler(file).load() != MAGIC:
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
        name: rebuild_tensor(storages[key], offset, size, stride)
        for name, (key, offset, size, stride) in tensors.items()
    }


def rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> np.ndarray:
    """Return a copy of the part of a storage that a tensor refers to; all in numbers, not bytes."""
    tensor = np.ndarray(
        size,
        storage.dtype,
        buffer=storage,
        offset=offset * storage.itemsize,
        strides=[numbers * storage.itemsize for numbers in stride],
    )
    return tensor.copy()


def fold_norm(
    tensors: dict[str, np.ndarray], convolution: str, norm: str, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fold a batch normalization with fixed statistics into the convolution before it.

    The normalization scales and shifts each channel; the scale goes into the kernel, (out, in, H,
    W), the shift into the bias, (out,). The arguments are names of both layers in the tensors.
    """
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + epsilon)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return tensors[f"{convolution}.weight"] * scale[:, None, None, None], bias
