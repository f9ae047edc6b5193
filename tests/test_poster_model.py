"""The Python API: `postergenres.load_model`, and what its model predicts."""

import io
import os
import re
import shutil
import subprocess
import sys

from postergenres import load_model
from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.saved import open_model, predict_batch

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, contents, draw_poster, image_bytes
from PIL import Image
from test_packaging import read_ranges


@pytest.fixture(scope="module")
def improved():
    return load_model("improved", words=False)


def test_a_trained_model_is_opened_without_a_word_and_predicts_as_keras(pipeline, capfd):
    folder = pipeline.data / "model"
    before = contents(folder)
    model, store = load_model(folder), open_store(pipeline.data)
    rows = store.rows("test")[:20]
    table = model.predict(pipeline.images / f"{movie}.jpg" for movie in store.index["id"][rows])
    assert capfd.readouterr() == ("", "") and contents(folder) == before
    network, about = open_model(folder)
    assert model.about == about and model.scores["mAP"] == about["scores"]["mAP"]
    expected = predict_batch(network, store.images[rows])
    np.testing.assert_allclose(table[model.genres], expected, atol=1e-5)


def test_paths_bytes_arrays_and_images_give_the_same_probabilities(improved, tmp_path):
    images = [draw_poster(seed) for seed in range(3)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    table = improved.predict(paths)
    assert list(table.columns) == ["path", "error", "predicted_genres", *improved.genres]
    assert table["path"].tolist() == [str(path) for path in paths]
    arrays = [np.asarray(image) for image in images]
    for posters in (map(str, paths), [x.read_bytes() for x in paths], images, np.stack(arrays)):
        again = improved.predict(posters)
        pd.testing.assert_frame_equal(again.assign(path=table["path"]), table)
    for one in (str(paths[1]), paths[1].read_bytes(), images[1], arrays[1]):
        (row,) = improved.predict(one)[improved.genres].to_numpy()
        np.testing.assert_array_equal(row, table.loc[1, improved.genres].to_numpy(float))
    assert list(improved.predict([]).columns) == list(table.columns)


def test_an_image_is_turned_and_laid_on_white_as_its_file_is(improved, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    transparent = Image.new("P", (40, 60))
    transparent.putpalette([220, 40, 40, 50, 60, 160])
    transparent.paste(1, (0, 0, 40, 30))
    files = {
        "a.png": (draw_poster(0), {"exif": turned}),
        "b.png": (transparent, {"transparency": 0}),
    }
    for name, (image, options) in files.items():
        image.save(tmp_path / name, **options)
        with Image.open(tmp_path / name) as opened:
            from_image = improved.predict(opened)
        from_file = improved.predict(tmp_path / name)
        assert from_image[improved.genres].equals(from_file[improved.genres]), name
        assert not from_file[improved.genres].equals(improved.predict(image)[improved.genres])


def test_a_bad_poster_is_a_row_and_what_is_no_poster_an_error(improved, tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"text")
    cut_short = Image.open(io.BytesIO(image_bytes(size=(400, 600))[:3000]))
    table = improved.predict([tmp_path / "text.jpg", image_bytes(), cut_short])
    assert (table["error"] != "").tolist() == [True, False, True]
    assert table["predicted_genres"].map(bool).tolist() == [False, True, False]
    assert table[improved.genres].isna().any(axis=1).tolist() == [True, False, True]
    for poster in (np.zeros((60, 40, 3)), [None], None):
        with pytest.raises(TypeError):
            improved.predict(poster)


def test_words_are_read_unless_they_are_switched_off(fake_reader):
    table = load_model("improved").predict(image_bytes((220, 40, 40)))
    assert table["words"][0] == "explosion / explosion"
    assert "words" not in load_model("improved", words=False).predict(image_bytes())


def test_a_model_that_cannot_be_used_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="model should be .* or the folder of a model, got 'vgg'"):
        load_model("vgg")
    folder = shutil.copytree(PRETRAINED_FOLDERS["improved"], tmp_path / "model")
    (folder / "model.tflite").write_bytes((folder / "model.tflite").read_bytes()[:5000])
    with pytest.raises(ValueError, match="model.tflite was changed or damaged. Run: python train"):
        load_model(folder)


def test_prediction_needs_only_the_core_requirements(tmp_path):
    """Nothing that only the extras install is imported."""
    others = (read_ranges("train").keys() | read_ranges("text").keys()) - read_ranges().keys()
    modules = {"scikit-learn": "sklearn", "iterative-stratification": "iterstrat"}
    code = (
        "import sys, postergenres\n"
        "postergenres.load_model(words=False).predict(sys.argv[1])\n"
        "print(*sys.modules)"
    )
    (tmp_path / "poster.jpg").write_bytes(image_bytes())
    command = [sys.executable, "-c", code, tmp_path / "poster.jpg"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in printed.stdout.split()}
    assert "pandas" in imported
    assert not imported & {modules.get(name, name) for name in others}


def test_the_code_in_the_documentation_works(monkeypatch, capsys):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(code, {})
    assert "data/examples/tt0016220.jpg" in capsys.readouterr().out
