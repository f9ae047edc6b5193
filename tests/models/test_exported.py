import re
import shutil
import subprocess
import sys

from postergenres.files import find_damage, record_checksums
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel

import pytest
from conftest import ROOT


@pytest.fixture
def folder(pipeline, tmp_path):
    """A copy of the model of the pipeline."""
    return shutil.copytree(pipeline.data / "model", tmp_path / "model")


@pytest.mark.parametrize("leftover", [False, True])
def test_a_model_that_was_trained_with_jax_gets_its_export_once(folder, capsys, leftover):
    """Also if a run was killed between the file and its checksum."""
    shutil.copy(folder / "model.tflite", folder.parent)
    (folder / "checksums.json").unlink()
    record_checksums(folder, ["model.json", "model.keras"])
    if not leftover:
        (folder / "model.tflite").unlink()
    add_missing_export(folder)
    assert f"wrote {folder / 'model.tflite'}\n" in capsys.readouterr().out
    again, before = folder / "model.tflite", folder.parent / "model.tflite"
    assert len(again.read_bytes()) == pytest.approx(len(before.read_bytes()), rel=0.01)
    assert find_damage(folder) is None
    add_missing_export(folder)
    assert capsys.readouterr().out == ""


def test_the_code_in_the_documentation_works_without_this_repository(pipeline, folder):
    text = (ROOT / "docs" / "exported-models.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copy(pipeline.images / "m000.jpg", folder / "poster.jpg")
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    model = PosterModel(folder)
    probabilities = model.predict(folder / "poster.jpg")[model.genres].loc[0].to_dict()
    lines = [line.split() for line in printed.splitlines()]
    assert [genre for genre, _ in lines] == sorted(probabilities, key=probabilities.get)[::-1]
    assert all(abs(float(shown) - probabilities[genre]) <= 0.01 for genre, shown in lines)
