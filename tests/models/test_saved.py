import hashlib
import json
import shutil
import time

from postergenres.models import description, saved
from postergenres.models.inference import predict_probabilities
from postergenres.old_files import read_json, write_json

import keras
import numpy as np
import pytest

from model import build_network


def test_a_saved_model_predicts_the_same(tmp_path):
    network = build_network("improved", 40, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    before = predict_probabilities(network, images, rows, batch_size=3)
    assert before.shape == (4, 3) and (before[1] == before[2]).all()
    saved.save_model(network, {"genres": ["a", "b", "c"]}, tmp_path)
    again, about = saved.open_model(description.find_model(tmp_path, "improved"))
    assert about == {"genres": ["a", "b", "c"]}
    after = predict_probabilities(again, images, rows, batch_size=64)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.keras",
        "model.tflite",
    ]


def test_the_optimizer_is_not_saved(tmp_path):
    network = build_network("improved", 40, 32, 3)
    saved.save_model(network, {}, tmp_path / "before")
    network.compile("adamw", "binary_crossentropy")
    network.train_on_batch(np.zeros((2, 40, 32, 3), np.uint8), np.zeros((2, 3)))
    saved.save_model(network, {}, tmp_path / "after")
    sizes = [
        (tmp_path / name / "model" / "model.keras").stat().st_size for name in ("before", "after")
    ]
    assert abs(sizes[1] - sizes[0]) < 0.01 * sizes[0]


def test_model_json_is_readable_and_ends_with_a_newline(tmp_path):
    about = {"genres": ["Épouvante"]}
    written = saved.save_model(build_network("improved", 32, 32, 1), about, tmp_path)
    text = (tmp_path / "model" / "model.json").read_text(encoding="utf-8")
    network, export = (
        hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
        for name in ("model.keras", "model.tflite")
    )
    files = {"model_sha256": network, "export_sha256": export}
    content = json.dumps(about | files, ensure_ascii=False)
    checksum = hashlib.sha256(content.encode()).hexdigest()
    assert text == (
        '{\n  "genres": [\n    "Épouvante"\n  ],\n'
        f'  "model_sha256": "{network}",\n  "export_sha256": "{export}",\n'
        f'  "content_sha256": "{checksum}"\n}}\n'
    )
    assert written == json.loads(text)


def test_equal_weights_give_equal_bytes(tmp_path, monkeypatch):
    weights = build_network("improved", 32, 32, 1).get_weights()
    for name, now in (("one", 1e9), ("other", 1.7e9)):
        keras.utils.clear_session(free_memory=False)  # as in a training
        network = build_network("improved", 32, 32, 1)
        network.set_weights(weights)
        monkeypatch.setattr(time, "time", lambda now=now: now)
        saved.save_model(network, {}, tmp_path / name)
    for file in ("model.keras", "model.tflite"):
        one, other = (tmp_path / name / "model" / file for name in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


@pytest.fixture
def folder(tmp_path):
    """A copy of a pretrained model."""
    return shutil.copytree(description.PRETRAINED_FOLDERS["improved"], tmp_path / "model")


@pytest.mark.parametrize("name", list(description.PRETRAINED_FOLDERS))
def test_the_pretrained_models_have_checksums(name, capsys):
    saved.open_model(description.PRETRAINED_FOLDERS[name])
    assert capsys.readouterr().out == ""
    about = read_json(description.PRETRAINED_FOLDERS[name] / "model.json")
    assert list(about)[-3:] == ["model_sha256", "export_sha256", "content_sha256"]


def test_another_order_of_the_genres_is_noticed(folder):
    about = read_json(folder / "model.json")
    about["genres"][:2] = about["genres"][1::-1]
    write_json(about, folder / "model.json")
    with pytest.raises(SystemExit, match="model.json was changed.*Run: python train.py"):
        saved.open_model(folder)


@pytest.mark.parametrize("position", [0, 1000, 2_000_000, -5])
def test_a_flipped_byte_of_model_keras_is_noticed(folder, position):
    content = bytearray((folder / "model.keras").read_bytes())
    content[position] ^= 1
    (folder / "model.keras").write_bytes(content)
    with pytest.raises(SystemExit, match="model.keras is damaged or.*Run: python train.py"):
        saved.open_model(folder)


def test_a_model_of_an_older_version_is_opened_with_one_line(folder, capsys):
    forget_checksums(folder)
    saved.open_model(folder)
    assert capsys.readouterr().out == (
        f"note: {folder / 'model.json'} was written by an older version, without checksums: it is "
        "not verified\n"
    )


def forget_checksums(folder, **changes):
    """Make model.json one of an older version."""
    about = read_json(folder / "model.json") | changes
    del about["model_sha256"], about["content_sha256"]
    write_json(about, folder / "model.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"genres": 5}', b"\xff", b"{}"])
def test_a_model_json_of_another_shape_is_one_line(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(SystemExit, match="model.json (is damaged|has no usable).*python train.py"):
        saved.open_model(folder)


@pytest.mark.parametrize("size", [0, 100, 1_000_000, 4_400_000])
def test_a_model_keras_cut_short_is_one_line(folder, size):
    content = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(content[:size])
    with pytest.raises(SystemExit, match="model.keras is damaged.*python train.py"):
        saved.open_model(folder)
    forget_checksums(folder)
    with pytest.raises(SystemExit, match="model.keras cannot be opened.*python train.py"):
        saved.open_model(folder)


def test_another_number_of_genres_than_outputs_is_one_line(folder):
    forget_checksums(folder, genres=["a", "b"])
    with pytest.raises(SystemExit, match="model.json belongs to another model.keras"):
        saved.open_model(folder)


def test_a_damaged_pretrained_model_is_restored_with_git(folder, monkeypatch):
    monkeypatch.setitem(description.PRETRAINED_FOLDERS, "improved", folder)
    (folder / "model.json").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"Run: git checkout -- .*model$"):
        saved.open_model(folder)


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="model.json is missing. Run: python train.py"):
        saved.open_model(tmp_path / "model")


def test_a_missing_network_names_the_command(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(SystemExit, match="model.keras is missing. Run: python train.py"):
        saved.open_model(tmp_path)


def test_versions_name_python_and_the_packages():
    versions = saved.list_versions()
    assert set(versions) == set(
        "python tensorflow keras numpy scikit-learn pillow simplejpeg cykooz-resizer".split()
    )
    assert versions["keras"] == keras.__version__
    json.dumps(versions)
