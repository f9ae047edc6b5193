import io
import pickle
import struct
import sys
from collections import Counter, OrderedDict
from types import ModuleType

from postergenres.models import torch_weights

import numpy as np
import pytest


class Storage:
    """A stand-in for a PyTorch storage in a pickle."""

    def __init__(self, kind, key, values):
        self.kind, self.key, self.values = kind, key, values


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (*self.parts, False, OrderedDict())


@pytest.fixture
def torch(monkeypatch):
    """Fake modules with the PyTorch names that a pickle refers to."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "ByteStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*_):
        pass

    rebuild.__module__, rebuild.__qualname__ = utils.__name__, "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def write_pth(path, tensors, torch, magic=torch_weights.MAGIC):
    """Write tensors in the format that PyTorch wrote before 1.6."""
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            storages[value.key] = value
            kind = getattr(torch, value.kind)
            return "storage", kind, value.key, "cpu", len(value.values), None

    body = io.BytesIO()
    Pickler(body, protocol=2).dump(OrderedDict(tensors))
    with open(path, "wb") as file:
        for header in (magic, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        file.write(body.getvalue())
        pickle.dump(sorted(storages), file, protocol=2)
        for key in sorted(storages):
            values = storages[key].values
            file.write(struct.pack("<q", len(values)) + values.tobytes())
    return path


FLOATS = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))


def test_tensors_are_read_by_offset_and_stride(tmp_path, torch):
    count = Storage("LongStorage", "2", np.array([7], dtype="<i8"))
    tensors = {
        "rows": Tensor(FLOATS, 0, (3, 4), (4, 1)),
        "transposed": Tensor(FLOATS, 0, (4, 3), (1, 4)),
        "part": Tensor(FLOATS, 5, (2,), (3,)),
        "scalar": Tensor(count, 0, (), ()),
    }
    read = torch_weights.read_pth(write_pth(tmp_path / "a.pth", tensors, torch))
    assert list(read) == list(tensors)
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(read["rows"], whole)
    np.testing.assert_array_equal(read["transposed"], whole.T)
    assert read["part"].tolist() == [5, 8] and read["scalar"] == 7


@pytest.mark.parametrize("size, stride", [((4, 4), (4, 1)), ((2,), (12,)), ((2,), (-1,))])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, torch, size, stride):
    path = write_pth(tmp_path / "a.pth", {"a": Tensor(FLOATS, 0, size, stride)}, torch)
    with pytest.raises(ValueError, match="strides is incompatible|negative"):
        torch_weights.read_pth(path)


class Attack:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [eval, open, getattr, np.array, Counter])
def test_everything_except_tensors_is_refused(tmp_path, torch, function):
    """Both in place of the tensors and in place of the magic number."""
    attack = Attack(function, str(tmp_path / "pwned"))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "a.pth", {"a": attack}, torch))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "b.pth", {}, torch, magic=attack))


def test_other_formats_are_refused(tmp_path, torch):
    storage = Storage("ByteStorage", "1", np.arange(12, dtype="u1"))
    path = write_pth(tmp_path / "a.pth", {"a": Tensor(storage, 0, (12,), (1,))}, torch)
    with pytest.raises(pickle.UnpicklingError, match="torch.ByteStorage is not allowed"):
        torch_weights.read_pth(path)
    with pytest.raises(pickle.UnpicklingError, match="not a .pth file"):
        torch_weights.read_pth(write_pth(tmp_path / "b.pth", {}, torch, magic=1))


def test_a_batch_normalization_is_folded_into_the_convolution_before_it():
    rng = np.random.default_rng(0)
    weight, pixels = rng.normal(size=(5, 3, 1, 1)), rng.normal(size=(7, 3))
    norm = {name: rng.uniform(0.5, 2, 5) for name in ("weight", "bias", "running_mean")}
    norm |= {"running_var": rng.uniform(0.5, 2, 5)}
    tensors = {"conv.weight": weight} | {f"bn.{name}": values for name, values in norm.items()}
    kernel, bias = torch_weights.fold_norm(tensors, "conv", "bn", 0.1)
    plain = pixels @ weight[:, :, 0, 0].T
    scaled = (plain - norm["running_mean"]) / np.sqrt(norm["running_var"] + 0.1)
    expected = scaled * norm["weight"] + norm["bias"]
    np.testing.assert_allclose(pixels @ kernel[:, :, 0, 0].T + bias, expected)
