import re
import shutil

from postergenres.files import find_damage, record_checksums
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel

import numpy as np
import pytest
from conftest import ROOT, draw_poster
from PIL import ExifTags, Image

TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6


@pytest.fixture
def folder(pipeline, tmp_path):
    """A copy of the model of the pipeline."""
    return shutil.copytree(pipeline.data / "model", tmp_path / "model")


@pytest.mark.parametrize("leftover", [pytest.param(False, marks=pytest.mark.slow), True])
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


@pytest.mark.parametrize(
    ("form", "options", "most"),
    [
        ("JPEG", {}, 0.005),  # decoded by Pillow here, by simplejpeg there
        ("JPEG", {"exif": TURNED}, 1e-6),
        ("PNG", {}, 1e-6),
    ],
)
def test_the_code_in_the_documentation_predicts_what_predict_py_does(
    tmp_path, monkeypatch, form, options, most
):
    text = (ROOT / "docs" / "exported-models.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    poster = draw_poster(0)
    if form == "PNG":
        poster.putalpha(poster.getchannel("R"))
    poster.save(tmp_path / "poster.jpg", form, **options)
    folder = PRETRAINED_FOLDERS["improved"]
    for name in ("model.json", "model.tflite"):
        shutil.copy(folder / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    results = {}
    exec(code, results)
    model = PosterModel(folder, words=False)
    expected = model.predict(tmp_path / "poster.jpg")[model.genres].loc[0]
    np.testing.assert_allclose(results["probabilities"], expected, rtol=0, atol=most)
