import random
import shutil

from postergenres.models import description, saved

import pytest


def test_any_flipped_byte_of_model_json_is_noticed_or_harmless(tmp_path):
    folder = shutil.copytree(description.PRETRAINED_FOLDERS["improved"], tmp_path / "model")
    path, rng = folder / "model.json", random.Random(0)
    original, about = path.read_bytes(), description.read_about(folder)
    for position in [*range(80), *rng.sample(range(len(original)), 200)]:
        changed = bytearray(original)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            assert description.read_about(folder) == about
        except SystemExit as end:
            assert "Run: python train.py" in end.code and "\n" not in end.code


def test_a_discarded_model_is_not_found(tmp_path):
    saved.discard_model(tmp_path)
    (tmp_path / "model" / "model.json").write_text("{}")
    assert description.find_model(tmp_path, "improved") == tmp_path / "model"
    saved.discard_model(tmp_path)
    assert (
        description.find_model(tmp_path, "improved") == description.PRETRAINED_FOLDERS["improved"]
    )


def test_an_unknown_pretrained_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pretrained must be one of .* got 'vgg'"):
        description.find_model(tmp_path, "vgg")


def test_a_model_of_another_sample_is_refused(tmp_path):
    description.check_sample({"samples_sha256": "abc"}, "abc", tmp_path)
    with pytest.raises(SystemExit, match="another sample.*Run: python train.py"):
        description.check_sample({"samples_sha256": "abc"}, "def", tmp_path)
