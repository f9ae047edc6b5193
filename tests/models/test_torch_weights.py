import io
import pickle
import struct
import sys
import zipfile
from collections import Counter, OrderedDict
from types import ModuleType

from postergenres.models import torch_weights

import numpy as np
import pytest

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """A stand-in for a PyTorch storage in a pickle."""

    def __init__(self, kind, key, values):
        self.kind, self.key, self.values = kind, key, values


@pytest.fixture
def torch(monkeypatch):
    """Fake modules with the PyTorch names that a pickle refers to."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "ByteStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        utils.__name__,
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (*self.parts, False, OrderedDict())


def pickle_tensors(tensors, torch):
    """Return tensors as PyTorch pickles them, and {key: Storage}."""
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
    return body.getvalue(), storages


def write_zipped(path, tensors, torch):
    """Write tensors in the format that PyTorch writes since 1.6."""
    body, storages = pickle_tensors(tensors, torch)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("any name/data.pkl", body)
        for key, storage in storages.items():
            archive.writestr(f"any name/data/{key}", storage.values.tobytes())
    return path


def write_pth(path, tensors, torch, magic=MAGIC):
    """Write tensors in the format that PyTorch wrote before 1.6."""
    body, storages = pickle_tensors(tensors, torch)
    with open(path, "wb") as file:
        for header in (magic, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        file.write(body)
        pickle.dump(sorted(storages), file, protocol=2)
        for key in sorted(storages):
            values = storages[key].values
            file.write(struct.pack("<q", len(values)) + values.tobytes())
    return path


both_formats = pytest.mark.parametrize("write", [write_pth, write_zipped])


@both_formats
def test_tensors_are_read_by_offset_and_stride(tmp_path, torch, write):
    floats = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    count = Storage("LongStorage", "2", np.array([7], dtype="<i8"))
    tensors = {
        "rows": Tensor(floats, 0, (3, 4), (4, 1)),
        "transposed": Tensor(floats, 0, (4, 3), (1, 4)),
        "part": Tensor(floats, 5, (2,), (3,)),
        "scalar": Tensor(count, 0, (), ()),
    }
    path = write(tmp_path / "a.pth", tensors, torch)
    read = torch_weights.read_pth(path)
    assert list(read) == list(tensors)
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(read["rows"], whole)
    np.testing.assert_array_equal(read["transposed"], whole.T)
    assert read["part"].tolist() == [5, 8] and read["scalar"] == 7
    assert list(torch_weights.read_pth(path, prefix="r")) == ["rows"]


@both_formats
@pytest.mark.parametrize(
    "size, stride", [((4, 4), (4, 1)), ((2,), (12,)), ((2,), (-1,)), ((99,), (0,))]
)
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, torch, size, stride, write):
    storage = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    path = write(tmp_path / "a.pth", {"a": Tensor(storage, 0, size, stride)}, torch)
    with pytest.raises(pickle.UnpicklingError, match="larger than its storage"):
        torch_weights.read_pth(path)


class Attack:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [eval, exec, open, __import__, getattr, np.array, Counter])
def test_everything_except_tensors_is_refused(tmp_path, torch, function):
    """Both in place of the tensors and in place of the magic number."""
    attack = Attack(function, str(tmp_path / "pwned"))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "a.pth", {"a": attack}, torch))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "b.pth", {}, torch, magic=attack))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a file of weights"):
        torch_weights.read_pth(write_zipped(tmp_path / "c.pth", {"a": attack}, torch))


def test_other_storages_and_damaged_files_are_refused(tmp_path, torch):
    storage = Storage("ByteStorage", "1", np.arange(12, dtype="u1"))
    path = write_pth(tmp_path / "a.pth", {"a": Tensor(storage, 0, (12,), (1,))}, torch)
    with pytest.raises(pickle.UnpicklingError, match="torch.ByteStorage is not allowed"):
        torch_weights.read_pth(path)
    with pytest.raises(pickle.UnpicklingError, match="not a .pth file"):
        torch_weights.read_pth(write_pth(tmp_path / "b.pth", {}, torch, magic=1))
    for tensors in ({"epoch": 5}, {"a": ("1", 0, (9,), (1,))}, {"a": ("9", 0, (1,), (1,))}):
        with pytest.raises(pickle.UnpicklingError, match="is damaged"):
            torch_weights.read_pth(write_pth(tmp_path / "d.pth", tensors, torch))
    floats = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    path = write_pth(tmp_path / "e.pth", {"a": Tensor(floats, 0, (12,), (1,))}, torch)
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(pickle.UnpicklingError):
            torch_weights.read_pth(path)
    for content in (b"", b"PK\x03\x04 as PyTorch writes today"):
        (tmp_path / "c.pth").write_bytes(content)
        with pytest.raises(pickle.UnpicklingError, match="not a .pth file"):
            torch_weights.read_pth(tmp_path / "c.pth")


def test_damaged_zip_files_are_refused(tmp_path, torch):
    floats = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    path = write_zipped(tmp_path / "a.pth", {"a": Tensor(floats, 0, (12,), (1,))}, torch)
    whole = bytearray(path.read_bytes())
    place = whole.index(floats.values.tobytes())
    path.write_bytes(whole[:place] + b"x" + whole[place + 1 :])
    with pytest.raises(pickle.UnpicklingError, match="is damaged: BadZipFile"):
        torch_weights.read_pth(path)
    for name in ("data.pkl", "data/1"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"any name/{name}", b"")
        with pytest.raises(pickle.UnpicklingError, match="is damaged"):
            torch_weights.read_pth(path)


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
