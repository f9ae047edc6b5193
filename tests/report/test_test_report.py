import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.files import record_checksums, write_json
from postergenres.report.test_report import (
    is_demonstration,
    list_gallery,
    open_model_of_store,
    save_map,
)
from postergenres.scores.metrics import SCORES
from postergenres.training.trained_on import WEIGHTS_FILE, list_movies

import numpy as np
import pandas as pd
import pytest
from conftest import load_draw

import database
import predict
import preprocessing


def test_the_test_movies_are_scored_beside_the_floor(pipeline, capsys):
    predict.main(data_dir=pipeline.data)
    out = capsys.readouterr().out
    test = pd.read_csv(pipeline.data / "samples.csv").query("split == 'test'")
    assert f"on {len(test)} test movies, each once" in out and "floor" in out
    assert "\nwith fewer than 500 test movies, the interval of mAP holds in 83 to 96 %" in out
    content = json.loads((pipeline.data / "metrics.json").read_text())
    assert content["movies"] == len(test) and set(content["scores"]) == set(SCORES)
    error = content["scores"].pop("calibration_error")
    assert error["low"] is error["high"] is None and error["floor"] is not None
    for row in content["scores"].values():
        assert row["low"] <= row["score"] <= row["high"] and row["floor"] is not None
    assert set(content["average_precision"]) == {"Action", "Comedy", "Drama"}


def test_the_predictions_agree_with_the_metrics(pipeline):
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


def test_movies_behind_the_initial_weights_are_left_out(pipeline, tmp_path, capsys):
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    store, model = open_store(data), data / "model"
    seen, others = np.split(store.rows("test"), [5])
    listed = list_movies(store.index["id"].iloc[seen], store.images, seen)
    np.save(model / WEIGHTS_FILE, listed)
    write_json(pipeline.about | {"weights": {"name": "improved"}}, model / "model.json")
    record_checksums(model, [WEIGHTS_FILE, "model.json"])
    predict.main(data_dir=data)
    out = capsys.readouterr().out
    assert "left out: 5 test movies that the initial weights were trained on\n" in out
    content = json.loads((data / "metrics.json").read_text())
    assert content["left_out"] == 5 and content["movies"] == len(others)
    ids = pd.read_csv(data / "test_predictions.csv")["id"]
    assert list(ids) == store.index["id"].iloc[others].tolist()
    page = (data / "report.html").read_text(encoding="utf-8")
    assert "weights of <b>improved</b>. 5 test movies" in page


@pytest.mark.parametrize("another", ["sample", "size"])
def test_a_model_of_another_sample_or_poster_size_is_refused(pipeline, tmp_path, another):
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    height, width = (60, 40) if another == "size" else (48, 32)
    if another == "sample":
        samples = pd.read_csv(data / "samples.csv", dtype=str, keep_default_na=False)
        samples["split"] = samples["split"].replace({"test": "val", "val": "test"})
        samples.to_csv(data / "samples.csv", index=False)
    preprocessing.main(data, image_height=height, image_width=width, workers=1)
    with pytest.raises(SystemExit, match=f"another {another}.*Run: python train.py"):
        predict.main(data_dir=data)


def test_changed_posters_are_noted(pipeline, capsys):
    store = open_store(pipeline.data)
    open_model_of_store(store, pipeline.data / "model")
    note = "note: posters in the store have changed since the model was trained\n"
    assert note not in capsys.readouterr().out
    open_model_of_store(replace(store, sha256="another"), pipeline.data / "model")
    assert note in capsys.readouterr().out


def test_the_same_model_and_store_give_the_same_metrics_and_pictures(pipeline, tmp_path):
    again = shutil.copytree(pipeline.data, tmp_path / "data")
    predict.main(data_dir=again)
    written = [path.name for path in again.glob("*.png")]
    assert len(written) == 6
    tables = [path.name for path in pipeline.data.glob("*labels.csv")]  # with cleanlab
    for name in [*written, *tables, "metrics.json", "test_predictions.csv", "report.html"]:
        assert (again / name).read_bytes() == (pipeline.data / name).read_bytes(), name


def test_the_gallery_has_the_titles_of_samples_csv(pipeline, tmp_path):
    store = open_store(pipeline.data)
    rows = store.rows("test")[:2]
    first, second = store.index["id"].iloc[rows]
    samples = pd.DataFrame({"id": [first, second], "title": ["Night Train", ""]})
    samples.to_csv(tmp_path / "samples.csv", index=False)
    labels = store.labels[rows]
    test = SimpleNamespace(
        rows=rows,
        labels=labels,
        probabilities=np.array([[0.1], [0.7]]) + 0.1 * labels,
        is_predicted=labels == 1,
        prior=np.full(3, 0.5),
    )
    shown = list_gallery(test, store, tmp_path)
    assert {card["title"] for card in shown["cards"]} == {"Night Train", second}
    assert {row["kind"] for card in shown["cards"] for row in card["rows"]} == {"right"}
    assert shown["genres"] == [store.genres[i] for i in np.flatnonzero(labels.any(axis=0))]


def list_urls(folder, urls):
    lines = [f"{i},x,Drama,{url},ok," for i, url in enumerate(urls)]
    text = "\n".join(["id,title,genres,url,status,error", *lines]) + "\n"
    (folder / "posters.csv").write_text(text, encoding="utf-8")


def test_the_demonstration_set_is_recognized_by_the_names_of_its_posters(pipeline, tmp_path):
    assert not is_demonstration(tmp_path)  # no posters.csv: real data
    assert not is_demonstration(pipeline.data)
    sample = tmp_path / "sample"
    load_draw().main(sample, movies=20)
    database.main(tmp_path, sample / "movies_metadata.csv", sample / "posters")
    assert is_demonstration(tmp_path)
    for urls, expected in (
        (["", "data/sample/posters/drawn00001.jpg", r"C:\posters\drawn00002.jpg"], True),
        (["drawn00001.jpg", "https://host/tt0000001.jpg"], False),
        (["", ""], False),
    ):
        list_urls(tmp_path, urls)
        assert is_demonstration(tmp_path) == expected


def test_a_demonstration_keeps_the_study_in_the_metrics_but_not_in_the_report(
    pipeline, tmp_path, capsys
):
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    list_urls(data, ["drawn00001.jpg"])
    predict.main(data_dir=data)
    assert "say nothing about real movies" in capsys.readouterr().out
    assert (data / "metrics.json").read_bytes() == (pipeline.data / "metrics.json").read_bytes()
    page = (data / "report.html").read_text(encoding="utf-8")
    assert "drawn, not real" in page and "Comparison with the study" not in page
    page = (pipeline.data / "report.html").read_text(encoding="utf-8")
    assert "drawn, not real" not in page and "Comparison with the study" in page


def test_an_old_map_is_deleted_if_there_are_too_few_posters_for_one(tmp_path):
    path = tmp_path / "poster_map.png"
    path.write_bytes(b"of other posters")
    save_map(None, features=np.zeros((20, 4)), genres=[], path=path)
    assert not path.exists()
