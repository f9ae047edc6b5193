import re
import shutil
import subprocess
import sys

from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.models import description, export
from postergenres.models.exported import open_exported
from postergenres.models.inference import predict_batch
from postergenres.models.saved import open_model
from postergenres.old_files import read_json, without_checksum, write_json

import keras
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


def delete(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-20_000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [pytest.param(delete, marks=pytest.mark.slow), pytest.param(cut, marks=pytest.mark.slow), flip],
)
def test_a_damaged_export_is_made_again(folder, damage, capfd):
    written = (folder / "model.tflite").read_bytes()
    damage(folder / "model.tflite")
    open_exported(folder)
    out, err = capfd.readouterr()
    assert out == (
        f"{folder / 'model.tflite'} is missing, damaged or of another model; making it again from "
        "model.keras\n"
    )
    assert err == ""
    assert len((folder / "model.tflite").read_bytes()) == pytest.approx(len(written), rel=0.01)
    open_exported(folder)
    assert capfd.readouterr() == ("", "")


def test_the_export_of_another_model_is_made_again(folder, tmp_path, capsys):
    other = description.PRETRAINED_FOLDERS["improved"]
    shutil.copy(other / "model.tflite", folder)
    model, about = open_exported(folder)
    assert "making it again" in capsys.readouterr().out
    assert model.predict(np.zeros((1, 48, 32, 3), np.uint8))[0].shape == (1, len(about["genres"]))


def test_an_export_of_an_older_version_without_features_is_made_again(folder, capfd, monkeypatch):
    build = export.build_exported

    def build_older(model):
        built = build(model)
        outputs = {name: x for name, x in built.output.items() if name != "features"}
        return keras.Model(built.input, outputs)

    monkeypatch.setattr(export, "build_exported", build_older)
    export.export_model(open_model(folder)[0], folder / "model.tflite")
    about = read_json(folder / "model.json")
    older = description.write_about(about, folder)["export_sha256"]
    monkeypatch.setattr(export, "build_exported", build)
    capfd.readouterr()
    model, _ = open_exported(folder)
    assert capfd.readouterr() == (
        f"{folder / 'model.tflite'} was written by an older version; making it again from "
        "model.keras\n",
        "",
    )
    assert model.predict(np.zeros((1, 48, 32, 3), np.uint8)).features.shape == (1, 256)
    assert read_json(folder / "model.json")["export_sha256"] != older
    open_exported(folder)
    assert capfd.readouterr() == ("", "")


def test_a_model_of_a_version_without_exports_gets_one(folder, capsys):
    (folder / "model.tflite").unlink()
    about = without_checksum(read_json(folder / "model.json"), "export_sha256")
    description.write_about(about, folder)
    assert "export_sha256" not in read_json(folder / "model.json")
    open_exported(folder)
    assert "making it again" in capsys.readouterr().out
    assert "export_sha256" in read_json(folder / "model.json")
    open_model(folder)


def test_a_model_without_checksums_gets_none(folder, capsys):
    """It is not verified, and no checksum may say that it was."""
    about = without_checksum(read_json(folder / "model.json"), "model_sha256", "export_sha256")
    write_json(about, folder / "model.json")
    open_exported(folder)
    assert "without checksums: it is not verified" in capsys.readouterr().out
    assert read_json(folder / "model.json") == about


def test_a_damaged_pretrained_export_is_restored_with_git(folder, monkeypatch):
    monkeypatch.setitem(description.PRETRAINED_FOLDERS, "improved", folder)
    flip(folder / "model.tflite")
    with pytest.raises(SystemExit, match=r"model.tflite is missing or damaged. Run: git checkout"):
        open_exported(folder)


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
