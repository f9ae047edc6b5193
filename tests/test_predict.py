import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import predict
import preprocessing
from evaluation import SCORES
from model import PRETRAINED, open_model


def test_the_test_split_is_scored_beside_its_floor(pipeline, capsys):
    predict.main(data_dir=pipeline.data)
    out = capsys.readouterr().out
    test = pd.read_csv(pipeline.data / "samples.csv").query("split == 'test'")
    assert f"on {len(test)} test movies, each once" in out and "floor" in out
    content = json.loads((pipeline.data / "metrics.json").read_text())
    assert content["movies"] == len(test) and set(content["scores"]) == set(SCORES)
    for row in content["scores"].values():
        assert row["low"] <= row["score"] <= row["high"] and row["floor"] is not None
    assert set(content["average_precision"]) == {"Action", "Comedy", "Drama"}
    for name in ("average_precision.png", "test_posters.png"):
        with Image.open(pipeline.data / name) as picture:
            assert picture.width > 500


def test_test_predictions_agree_with_the_metrics(pipeline):
    table = pd.read_csv(pipeline.data / "test_predictions.csv", keep_default_na=False)
    genres = ["Action", "Comedy", "Drama"]
    assert list(table.columns) == ["id", "genres", "predicted_genres", *genres]
    samples = pd.read_csv(pipeline.data / "samples.csv").query("split == 'test'")
    assert dict(zip(table["id"], table["genres"], strict=True)) == dict(
        zip(samples["id"], samples["genres"], strict=True)
    )
    first = table[genres].to_numpy().argmax(axis=1)
    hits = [genres[i] in cell for i, cell in zip(first, table["genres"], strict=True)]
    content = json.loads((pipeline.data / "metrics.json").read_text())
    assert content["scores"]["precision_at_1"]["score"] == pytest.approx(np.mean(hits))


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


def test_files_and_the_store_give_the_same_probabilities(pipeline):
    scored = pd.read_csv(pipeline.data / "test_predictions.csv").set_index("id")
    movie = scored.index[0]
    table = predict.main([pipeline.images / f"{movie}.jpg"], pipeline.data)
    for genre in ("Action", "Comedy", "Drama"):
        assert table[genre][0] == pytest.approx(scored[genre][movie], abs=2e-4)


def test_without_a_model_the_pretrained_one_answers_and_says_so(pipeline, tmp_path, capsys):
    data = tmp_path / "data"
    table = predict.main([pipeline.images / "m000.jpg"], data)
    assert f"{data / 'model'} holds no model" in capsys.readouterr().out
    about = json.loads((PRETRAINED / "model.json").read_text())
    assert list(table.columns[3:]) == about["genres"]
    assert table[about["genres"]].notna().all(axis=None)
    assert (data / "predictions.csv").is_file()


def test_the_pretrained_model_is_whole_and_small():
    assert (PRETRAINED / "model.keras").stat().st_size <= 10_000_000
    network, about = open_model(PRETRAINED)
    assert network.input_shape == (None, about["H"], about["W"], 3)
    assert network.output_shape == (None, len(about["genres"]))
    card = (PRETRAINED / "README.md").read_text(encoding="utf-8")
    for genre in about["genres"]:
        assert f"| {genre} |" in card


def test_a_missing_model_and_a_missing_store_name_the_command(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "store", tmp_path / "data" / "store")
    with pytest.raises(SystemExit, match="model.json is missing. Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")
    with pytest.raises(SystemExit, match="Run: python preprocessing.py"):
        predict.main(data_dir=tmp_path)


def test_a_model_of_another_sample_is_refused(pipeline, tmp_path):
    shutil.copytree(pipeline.data, tmp_path / "data")
    samples = tmp_path / "data" / "samples.csv"
    samples.write_text(samples.read_text().replace("test", "TEMP").replace("val", "test"))
    samples.write_text(samples.read_text().replace("TEMP", "val"))
    preprocessing.main(tmp_path / "data", image_height=48, image_width=32, workers=1)
    with pytest.raises(SystemExit, match="another sample.*Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")


def test_a_model_of_another_image_size_is_refused(pipeline, tmp_path):
    shutil.copytree(pipeline.data, tmp_path / "data")
    preprocessing.main(tmp_path / "data", image_height=60, image_width=40, workers=1)
    with pytest.raises(SystemExit, match="another size. Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")


def test_bad_settings(pipeline):
    with pytest.raises(ValueError, match="top must be .* got 0"):
        predict.main(data_dir=pipeline.data, top=0)
