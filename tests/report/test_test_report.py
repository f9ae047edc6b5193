import json
import shutil
from dataclasses import replace

from postergenres.dataset.store import open_store
from postergenres.report.score_lines import format_test_scores
from postergenres.report.test_report import is_demonstration, open_model_of_store, save_map
from postergenres.scores.bootstrap import ComparedScores
from postergenres.scores.metrics import SCORES

import numpy as np
import pandas as pd
import pytest
from conftest import load_draw
from PIL import Image

import database
import predict
import preprocessing


def test_the_test_movies_are_scored_beside_the_floor(pipeline, capsys):
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


def test_a_model_that_was_trained_on_another_sample_is_refused(pipeline, tmp_path):
    shutil.copytree(pipeline.data, tmp_path / "data")
    samples = tmp_path / "data" / "samples.csv"
    samples.write_text(samples.read_text().replace("test", "TEMP").replace("val", "test"))
    samples.write_text(samples.read_text().replace("TEMP", "val"))
    preprocessing.main(tmp_path / "data", image_height=48, image_width=32, workers=1)
    with pytest.raises(SystemExit, match="another sample.*Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")


def test_changed_posters_are_noted(pipeline, capsys):
    store = open_store(pipeline.data)
    open_model_of_store(store, pipeline.data / "model")
    note = "note: posters in the store have changed since the model was trained\n"
    assert note not in capsys.readouterr().out
    open_model_of_store(replace(store, sha256="another"), pipeline.data / "model")
    assert note in capsys.readouterr().out


def test_a_model_that_was_trained_on_another_poster_size_is_refused(pipeline, tmp_path):
    shutil.copytree(pipeline.data, tmp_path / "data")
    preprocessing.main(tmp_path / "data", image_height=60, image_width=40, workers=1)
    with pytest.raises(SystemExit, match="another size. Run: python train.py"):
        predict.main(data_dir=tmp_path / "data")


def test_the_same_model_and_store_give_the_same_metrics_and_pictures(pipeline, tmp_path):
    again = tmp_path / "data"
    shutil.copytree(pipeline.data, again)
    predict.main(data_dir=again)
    written = [path.name for path in again.glob("*.png")]
    assert len(written) == 7
    tables = [path.name for path in pipeline.data.glob("*labels.csv")]  # with cleanlab
    for name in [*written, *tables, "metrics.json", "test_predictions.csv", "report.html"]:
        assert (again / name).read_bytes() == (pipeline.data / name).read_bytes(), name


def make_scores(floor=0.5):
    """Return scores with one genre that no test movie has."""
    columns = {"score": 0.5, "low": 0.4, "high": 0.6, "floor": floor}
    overall = pd.DataFrame([columns] * len(SCORES), index=list(SCORES))
    per_genre = pd.DataFrame([columns, columns | {"score": np.nan}], index=["Drama", "War"])
    return ComparedScores(overall, per_genre)


def test_real_posters_are_compared_with_the_study():
    text = format_test_scores(make_scores(), is_drawn=False)
    assert "compared with the study" in text and "drawn" not in text
    assert "0.39   0.389" in text and "0.64   0.650" in text
    assert "because no test movie has them: War" in text


def test_drawn_posters_are_not_compared_with_the_study():
    text = format_test_scores(make_scores(), is_drawn=True)
    assert "drawn: scores on them say nothing about real movies" in text
    assert "compared with the study" not in text and "0.389" not in text and "0.650" not in text


def test_a_model_that_reads_words_is_scored_without_them_too():
    scores = {name: {"score": 0.25, "floor": 0.5} for name in SCORES}
    text = format_test_scores(make_scores(), is_drawn=True, without_words=scores)
    assert text.splitlines()[-1] == (
        "without the words on the posters: binary cross-entropy 0.250, mean average precision "
        "0.250, macro ROC-AUC 0.250"
    )


def list_urls(folder, urls):
    lines = [f"{i},x,Drama,{url},ok," for i, url in enumerate(urls)]
    text = "\n".join(["id,title,genres,url,status,error", *lines]) + "\n"
    (folder / "posters.csv").write_text(text, encoding="utf-8")


def test_the_demonstration_set_is_recognized_by_the_names_of_its_posters(pipeline, tmp_path):
    assert not is_demonstration(tmp_path)  # no posters.csv: real data
    assert not is_demonstration(pipeline.data)
    load_draw().main(tmp_path / "sample", movies=20)
    database.main(
        tmp_path, tmp_path / "sample" / "movies_metadata.csv", tmp_path / "sample" / "posters"
    )
    assert is_demonstration(tmp_path)
    list_urls(tmp_path, ["", "data/sample/posters/drawn00001.jpg", r"C:\posters\drawn00002.jpg"])
    assert is_demonstration(tmp_path)
    list_urls(tmp_path, ["drawn00001.jpg", "https://host/tt0000001.jpg"])
    assert not is_demonstration(tmp_path)
    list_urls(tmp_path, ["", ""])
    assert not is_demonstration(tmp_path)


def test_a_demonstration_keeps_the_study_in_the_metrics_but_not_in_the_report(
    pipeline, tmp_path, capsys
):
    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)
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
