import os
import shutil
import subprocess
import sys

from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.saved import open_model
from postergenres.old_files import lock_file

import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

import predict
import preprocessing


def test_named_posters_are_predicted_in_order(pipeline, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for colour, name in (((50, 60, 160), "b.png"), ((220, 40, 40), "a.jpg")):
        Image.new("RGB", (200, 300), colour).save(tmp_path / "folder" / name)
    (tmp_path / "folder" / "notes.txt").write_text("no poster")
    (tmp_path / "broken.jpg").write_bytes(b"text")
    (tmp_path / "empty").mkdir()
    names = ["broken.jpg", "folder", "none.jpg", "empty"]
    paths = [tmp_path / name for name in names]
    table = predict.main(paths, pipeline.data, top=2)
    names = [path.rsplit("/", 1)[-1] for path in table["path"].str.replace("\\", "/")]
    assert names == ["broken.jpg", "a.jpg", "b.png", "none.jpg", "empty"]
    assert "cannot identify" in table["error"][0] and "No such file" in table["error"][3]
    assert list(table["error"][1:3]) == ["", ""] and table["error"][4] != ""
    assert table["Action"][1] > table["Drama"][1] and table["Drama"][2] > table["Action"][2]
    assert table.loc[[0, 3, 4], ["Action", "Comedy", "Drama"]].isna().all(axis=None)
    written = pd.read_csv(pipeline.data / "predictions.csv", keep_default_na=False)
    columns = ["path", "error", "predicted_genres", "Action", "Comedy", "Drama"]
    assert list(written.columns) == columns and len(written) == 5
    line = next(line for line in capsys.readouterr().out.splitlines() if "a.jpg" in line)
    assert line.count("%") == 2 and "Action" in line


@pytest.mark.parametrize("name, megabytes", [("efficientnet_lite2", 10), ("improved", 5)])
def test_the_pretrained_models_are_complete_and_small(name, megabytes):
    assert (PRETRAINED_FOLDERS[name] / "model.keras").stat().st_size <= megabytes * 1e6
    network, about = open_model(PRETRAINED_FOLDERS[name])
    assert about["settings"]["architecture"] == name
    assert network.input_shape == (None, about["H"], about["W"], 3)
    assert network.output_shape == (None, len(about["genres"]))
    card = (PRETRAINED_FOLDERS["improved"].parent / "README.md").read_text(encoding="utf-8")
    for genre in about["genres"]:
        assert f"| {genre} |" in card


def test_a_missing_model_and_a_missing_store_name_the_command(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "store", tmp_path / "data" / "store")
    with pytest.raises(SystemExit, match="model.json is missing. Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")
    with pytest.raises(SystemExit, match="Run: python preprocessing.py"):
        predict.main(data_dir=tmp_path)


def test_bad_settings_are_refused(pipeline):
    with pytest.raises(ValueError, match="top must be .* got 0"):
        predict.main(data_dir=pipeline.data, top=0)
    for name in ("sheet", "grad_cam"):
        with pytest.raises(ValueError, match=f"{name} must be .* got -1"):
            predict.main(data_dir=pipeline.data, **{name: -1})
    with pytest.raises(ValueError, match="pretrained must be one of .* got 'vgg'"):
        predict.main(["poster.jpg"], pipeline.data, pretrained="vgg")


@pytest.mark.parametrize("names", [[], ["poster.jpg"]])
def test_a_second_run_at_the_same_time_is_refused(pipeline, names):
    with (
        lock_file(pipeline.data / "predict.lock", "locked"),
        pytest.raises(SystemExit, match="Another predict.py is at work on .* run this again"),
    ):
        predict.main(names, pipeline.data)
    assert not (pipeline.data / "predict.lock").exists()


def test_leftovers_of_killed_runs_are_deleted(pipeline):
    left = [pipeline.data / name for name in ("predictions.7.part.csv", "report.7.part.html")]
    for path in left:
        path.write_text("half")
    predict.main(data_dir=pipeline.data)
    predict.main("none.jpg", pipeline.data)
    assert not any(path.exists() for path in left)


def test_nothing_but_progress_is_written_to_standard_error(tmp_path):
    command = [sys.executable, ROOT / "predict.py", "none.jpg"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0 and "No such file" in finished.stdout
    assert finished.stderr == "" or "predicting" in finished.stderr
    assert len(finished.stderr.splitlines()) <= 1


def test_posters_are_predicted_without_tensorflow(pipeline, tmp_path):
    code = (
        "import sys, predict\n"
        "import postergenres.words.reading\n"
        "postergenres.words.reading.can_read = lambda: False\n"
        "predict.main(sys.argv[1], 'data')\n"
        "assert not {'tensorflow', 'keras', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, pipeline.images / "m000.jpg"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert "INFO" not in finished.stderr
    page = (tmp_path / "data" / "predictions.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2  # the poster and its heat map


def test_a_folder_that_cannot_be_written_ends_in_one_line(pipeline, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SystemExit, match="Stopped: .* run: python predict.py"):
        predict.main(pipeline.images, tmp_path / "data")


def test_the_floor_is_of_all_training_movies_unless_samples_csv_is_made_by_hand(pipeline, tmp_path):
    store = open_store(pipeline.data)
    posters = pd.read_csv(pipeline.data / "posters.csv")
    samples = pd.read_csv(pipeline.data / "samples.csv")
    held_out = set(samples["id"][samples["split"] != "train"])
    train = posters[~posters["id"].isin(held_out)]
    assert store.train_movies == len(train) > (samples["split"] == "train").sum()
    counts = [train["genres"].str.contains(genre).sum() for genre in store.genres]
    assert list(store.train_counts) == counts

    shutil.copytree(pipeline.data, tmp_path / "data")
    samples.drop(index=samples.index[samples["split"] == "train"][:20]).to_csv(
        tmp_path / "data" / "samples.csv", index=False
    )
    preprocessing.main(tmp_path / "data", image_height=48, image_width=32, workers=1)
    store = open_store(tmp_path / "data")
    assert store.train_movies == (samples["split"] == "train").sum() - 20
    assert list(store.train_counts) == list(store.labels[store.rows("train")].sum(axis=0))
