"""Read PyTorch weight files without PyTorch."""

import math
import pickle
from collections import OrderedDict

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


def read_pth(path):
    """Read the tensors of a .pth file in the format that PyTorch wrote before 1.6.

    Args:
        path: of the file.

    Returns:
        {name: array}, in the order and with the shapes of the file.

    Raises:
        pickle.UnpicklingError: if the file has another format, is damaged, or contains anything
            that is not a tensor.
    """
    try:
        return read_tensors(path)
    except (AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(f"{path} is damaged: {error!r}") from error


def read_tensors(path):
    """Read the tensors as `read_pth`; a damaged file may raise any exception."""
    with open(path, "rb") as file:
        starts_as_pickle = file.read(2) == b"\x80\x02"
        file.seek(0)
        if not starts_as_pickle or TensorUnpickler(file).load() != 0x1950A86A20F9469CFC6C:
            raise pickle.UnpicklingError(f"{path} is not a .pth file of PyTorch before 1.6")
        TensorUnpickler(file).load()  # format version
        TensorUnpickler(file).load()  # system that wrote the file
        unpickler = TensorUnpickler(file)
        tensors = unpickler.load()
        storages = {}
        for key in TensorUnpickler(file).load():
            dtype = unpickler.types[key]
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: rebuild_tensor(storages, *tensor) for name, tensor in tensors.items()}


def rebuild_tensor(storages, key, offset, size, stride):
    """Return a copy of the part of a storage that a tensor refers to; all in numbers, not bytes."""
    storage = storages[key]
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or max(last, math.prod(size) - 1) >= len(storage):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    bytes_apart = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, bytes_apart).copy()
