import os
import shutil
import subprocess
import sys
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.saved import open_model

import pandas as pd
import pytest
from conftest import ROOT, image_bytes
from filelock import FileLock
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


@pytest.mark.parametrize("name, megabytes", [("efficientnet_lite2", 10), ("improved", 7)])
def test_the_pretrained_models_are_complete_and_small(name, megabytes):
    assert (PRETRAINED_FOLDERS[name] / "model.keras").stat().st_size <= megabytes * 1e6
    network, about = open_model(PRETRAINED_FOLDERS[name])
    assert about["settings"]["architecture"] == name
    assert network.input_shape == (None, about["H"], about["W"], 3)
    assert network.output_shape == (None, len(about["genres"]))
    card = (PRETRAINED_FOLDERS["improved"].parent / "README.md").read_text(encoding="utf-8")
    for genre in about["genres"]:
        assert f"| {genre} |" in card


def test_the_examples_are_predicted_before_there_is_any_poster(tmp_path):
    table = predict.main(ROOT / "data" / "examples", tmp_path, model="improved", words=False)
    listed = pd.read_csv(ROOT / "data" / "examples" / "posters.csv")
    assert [Path(path).stem for path in table["path"]] == sorted(listed["id"])
    assert len(table) == 8 and (table["error"] == "").all()


def test_only_the_examples_and_pictures_of_pages_are_images_in_the_repository():
    """Posters of other films belong to their studios."""
    command = ["git", "ls-files", "*.jpg", "*.jpeg", "*.png", "*.webp", "*.gif"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    posters = [name for name in files if name.split("/")[0] not in ("docs", "benchmarks")]
    assert {name.rpartition("/")[0] for name in posters} <= {"data/examples"} and len(posters) <= 8


def test_a_missing_model_and_a_missing_store_name_the_command(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "store", tmp_path / "data" / "store")
    with pytest.raises(SystemExit, match="model is missing. Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")
    with pytest.raises(SystemExit, match="Run: python preprocessing.py"):
        predict.main(data_dir=tmp_path)


def test_a_model_is_named_for_posters_only(pipeline):
    with pytest.raises(ValueError, match="^model is for posters, and none were named, got 'impro"):
        predict.main(data_dir=pipeline.data, model="improved")


def test_bad_settings_are_refused(pipeline):
    bad = {"top": 0, "sheet": -1, "grad_cam": -1, "similar": -1, "model": "", "paths": 3}
    for name, value in bad.items():
        with pytest.raises(ValueError, match=f"^{name} .* got {value!r}"):
            predict.main(**{"data_dir": pipeline.data, name: value})


@pytest.mark.parametrize("names", [[], ["poster.jpg"]])
def test_a_second_run_at_the_same_time_is_refused(pipeline, names):
    with (
        FileLock(pipeline.data / ".predict.lock"),
        pytest.raises(SystemExit, match="Another predict.py is at work on "),
    ):
        predict.main(names, pipeline.data)


@pytest.mark.parametrize("has_poster", [True, False])
def test_the_shell_names_posters_and_gets_status_1_if_none_could_be_read(tmp_path, has_poster):
    """Nothing else but the progress bar is written to standard error."""
    (tmp_path / "a poster.jpg").write_bytes(image_bytes())
    posters = ["none.jpg", *["a poster.jpg"] * has_poster]
    command = [sys.executable, ROOT / "predict.py", *posters, "--top", "1", "--data-dir", "new"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == (0 if has_poster else 1), finished.stderr
    assert "none.jpg" in finished.stdout and "No such file" in finished.stdout
    *bars, last = finished.stderr.splitlines() or [""]
    assert all("predicting" in line for line in bars)
    assert has_poster or last.startswith("No poster could be read")
    assert (tmp_path / "new" / "predictions.csv").exists() == has_poster


def test_posters_are_predicted_without_tensorflow(pipeline, tmp_path):
    code = (
        "import sys, predict\n"
        "predict.main(sys.argv[1], sys.argv[2])\n"
        "assert not {'tensorflow', 'keras', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    shutil.copytree(pipeline.data / "model", tmp_path / "data" / "model")  # it reads no words
    command = [sys.executable, "-c", code, pipeline.images / "m000.jpg", "data"]
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
