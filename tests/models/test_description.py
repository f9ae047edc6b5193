import random
import re
import shutil

from postergenres.files import writing_folder
from postergenres.models import description

import pytest


@pytest.fixture
def folder(tmp_path):
    """A copy of a pretrained model."""
    return shutil.copytree(description.PRETRAINED_FOLDERS["improved"], tmp_path / "model")


@pytest.mark.parametrize("name", sorted(description.PRETRAINED_FOLDERS))
def test_the_pretrained_models_are_as_they_were_written(name):
    about = description.read_about(description.PRETRAINED_FOLDERS[name])
    assert about["settings"]["architecture"] == name


def test_a_trained_model_comes_before_a_pretrained_one(tmp_path):
    pretrained = description.PRETRAINED_FOLDERS["efficientnet_lite2"]
    assert description.choose_model(tmp_path) == pretrained
    with writing_folder(tmp_path / "model") as part:
        (part / "model.json").write_text("{}")
    assert description.choose_model(tmp_path) == tmp_path / "model"
    (tmp_path / "model").rename(tmp_path / "model.old")  # a kill while train.py replaced it
    assert description.choose_model(tmp_path) == tmp_path / "model"


def test_a_model_is_named_by_a_pretrained_name_or_its_folder(tmp_path):
    for name, folder in description.PRETRAINED_FOLDERS.items():
        assert description.find_model(name) == folder
    assert description.find_model(tmp_path) == tmp_path
    with pytest.raises(ValueError, match="^model should be .*improved.* or the folder.*'vgg'$"):
        description.find_model("vgg")


@pytest.mark.parametrize("name", ["model.json", "model.keras", "model.tflite", "words.npz"])
def test_any_flipped_byte_is_one_line(folder, name):
    path, rng = folder / name, random.Random(0)
    original = path.read_bytes()
    for position in [0, len(original) - 1, rng.randrange(len(original))]:
        changed = bytearray(original)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        line = re.escape(f"{path} was changed or damaged. Run: python train.py")
        with pytest.raises(SystemExit, match=f"^{line}$"):
            description.read_about(folder)


def test_only_the_files_that_are_read_are_checked(folder):
    (folder / "model.keras").write_bytes(b"")
    description.read_about(folder, ["model.json", "model.tflite"])
    (folder / "model.tflite").unlink()
    with pytest.raises(SystemExit, match="model.tflite is missing. Run: python train.py"):
        description.read_about(folder, ["model.json", "model.tflite"])


def test_a_damaged_pretrained_model_is_restored_with_git(folder, monkeypatch):
    monkeypatch.setitem(description.PRETRAINED_FOLDERS, "improved", folder)
    (folder / "model.json").write_bytes(b"")
    with pytest.raises(SystemExit, match=f"damaged. Run: git checkout -- {folder};"):
        description.read_about(folder)


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="model is missing. Run: python train.py"):
        description.read_about(tmp_path / "model")


def test_a_model_of_another_sample_is_refused(tmp_path):
    description.check_sample({"samples_sha256": "abc"}, "abc", tmp_path)
    with pytest.raises(SystemExit, match="another sample.*Run: python train.py"):
        description.check_sample({"samples_sha256": "abc"}, "def", tmp_path)
