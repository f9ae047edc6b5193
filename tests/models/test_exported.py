import re
import shutil
import subprocess
import sys

from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.files import find_damage, record_checksums
from postergenres.models.exported import open_exported
from postergenres.models.saved import open_model, predict_batch

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def folder(pipeline, tmp_path):
    """A copy of the model of the pipeline."""
    return shutil.copytree(pipeline.data / "model", tmp_path / "model")


def test_a_trained_model_is_opened_without_a_word(pipeline, folder, capsys):
    model, about = open_exported(folder)
    assert capsys.readouterr() == ("", "")
    network, expected = open_model(folder)
    assert about == expected
    posters = open_store(pipeline.data).images[:100]
    probabilities, heat_maps, features = model.predict(posters)
    np.testing.assert_allclose(probabilities, predict_batch(network, posters), atol=1e-5)
    assert len(heat_maps) == len(features) == 100
    assert model.describe_outputs()["features"] == (1, features.shape[1])


def test_a_damaged_export_is_one_line(folder):
    (folder / "model.tflite").write_bytes((folder / "model.tflite").read_bytes()[:5000])
    with pytest.raises(SystemExit, match="model.tflite was changed or damaged. Run: python train"):
        open_exported(folder)


@pytest.mark.parametrize("leftover", [False, True])
def test_a_model_that_was_trained_with_jax_gets_its_export_once(folder, capsys, leftover):
    """Also if a run was killed between the file and its checksum."""
    shutil.copy(folder / "model.tflite", folder.parent)
    (folder / "checksums.json").unlink()
    record_checksums(folder, ["model.json", "model.keras"])
    if not leftover:
        (folder / "model.tflite").unlink()
    open_exported(folder)
    assert f"wrote {folder / 'model.tflite'}\n" in capsys.readouterr().out
    again, before = folder / "model.tflite", folder.parent / "model.tflite"
    assert len(again.read_bytes()) == pytest.approx(len(before.read_bytes()), rel=0.01)
    assert find_damage(folder) is None
    open_exported(folder)
    assert capsys.readouterr().out == ""


def test_the_code_in_the_documentation_works_without_this_repository(pipeline, folder):
    text = (ROOT / "docs" / "exported-models.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copy(pipeline.images / "m000.jpg", folder / "poster.jpg")
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    model, about = open_exported(folder)
    pixels = decode_poster(folder / "poster.jpg", about["H"], about["W"])
    probabilities = dict(zip(about["genres"], model.predict(pixels[None])[0][0], strict=True))
    lines = [line.split() for line in printed.splitlines()]
    assert [genre for genre, _ in lines] == sorted(probabilities, key=probabilities.get)[::-1]
    assert all(abs(float(shown) - probabilities[genre]) <= 0.01 for genre, shown in lines)
