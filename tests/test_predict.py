import json
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from conftest import image_bytes
from PIL import Image

import predict
import preprocessing
from postergenres.dataset.store import open_store
from postergenres.evaluation.metrics import SCORES
from postergenres.evaluation.named_posters import decode_batches
from postergenres.models.saved import PRETRAINED_FOLDERS, open_model


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
    about = json.loads((PRETRAINED_FOLDERS[predict.PRETRAINED] / "model.json").read_text())
    assert list(table.columns[3:]) == about["genres"]
    assert table[about["genres"]].notna().all(axis=None)
    assert (data / "predictions.csv").is_file()


@pytest.mark.parametrize("name, megabytes", [("efficientnet_lite2", 10), ("improved", 5)])
def test_the_pretrained_models_are_whole_and_small(name, megabytes):
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
    with pytest.raises(ValueError, match="pretrained must be one of .* got 'vgg'"):
        predict.main(["poster.jpg"], pipeline.data, pretrained="vgg")


def test_urls_are_predicted_in_order_with_the_reason_where_they_cannot(pipeline, host, capsys):
    host.bodies["red"] = image_bytes((220, 40, 40), (40, 60))
    host.bodies["blue"] = image_bytes((50, 60, 160), (40, 60))
    names = "red/a.jpg 404/b.jpg page/c.jpg blue/d.jpg truncated/e.jpg red/a.jpg".split()
    names = [f"{host.url}/{name}" for name in names] + ["http://127.0.0.1:1/f.jpg", "http://[/g"]
    table = predict.main(names, pipeline.data)
    assert list(table["path"]) == names
    reasons = ["", "HTTP 404", "not an image", "", "cut short", "", "ClientConnector", "ValueError"]
    for reason, error in zip(reasons, table["error"], strict=True):
        assert error.startswith(reason) and bool(reason) == bool(error)
    assert table["Action"][0] > table["Drama"][0] and table["Drama"][3] > table["Action"][3]
    assert table["Action"][0] == table["Action"][5]
    line = next(line for line in capsys.readouterr().out.splitlines() if names[1] in line)
    assert line.endswith("  not read: HTTP 404")


def test_who_stops_it_does_not_wait_for_a_host(pipeline, host):
    names = [next(pipeline.images.glob("*.jpg")), *[f"{host.url}/slow/{i}.jpg" for i in range(9)]]
    batches = decode_batches(list(map(str, names)), 48, 32, batch_size=1)
    begin = time.monotonic()
    assert next(batches)[0][1] == ""
    batches.close()
    assert time.monotonic() - begin < 1.5  # the host takes 2 s


def test_a_folder_that_cannot_be_written_ends_in_one_line(pipeline, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SystemExit, match="Stopped: .* run: python predict.py"):
        predict.main(pipeline.images, tmp_path / "data")


def test_odd_names_are_rows(pipeline):
    names = ["x" * 5000, "\ud83d.jpg", os.fsdecode(b"caf\xe9.jpg"), 'a|b,"c".jpg']
    table = predict.main(names, pipeline.data)
    assert len(table) == 4 and (table["error"] != "").all()
    written = pd.read_csv(pipeline.data / "predictions.csv", keep_default_na=False)
    assert list(written["path"]) == list(table["path"])


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
