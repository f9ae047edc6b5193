import json
import os
import shutil

from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.report.gradcam import overlay
from postergenres.report.poster_report import (
    Predictions,
    draw_heat_maps,
    print_predictions,
)

import numpy as np
import pandas as pd
import pytest
from conftest import image_bytes

import predict


def test_files_and_the_store_give_the_same_probabilities(pipeline):
    scored = pd.read_csv(pipeline.data / "test_predictions.csv").set_index("id")
    movie = scored.index[0]
    table = predict.main([pipeline.images / f"{movie}.jpg"], pipeline.data)
    for genre in ("Action", "Comedy", "Drama"):
        assert table[genre][0] == pytest.approx(scored[genre][movie], abs=2e-4)


def test_without_a_model_a_pretrained_one_predicts_and_is_named(
    pipeline, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("postergenres.words.reading.can_read", lambda: False)
    data = tmp_path / "data"
    table = predict.main([pipeline.images / "m000.jpg"], data)
    out = capsys.readouterr().out
    assert f"{data / 'model'} holds no model; predicted by the pretrained" in out
    about = json.loads((PRETRAINED_FOLDERS[predict.PRETRAINED] / "model.json").read_text())
    assert list(table.columns[3:]) == about["genres"]
    assert table[about["genres"]].notna().all(axis=None)
    assert (data / "predictions.csv").is_file()


def test_urls_are_predicted_in_order_and_a_bad_one_has_its_error(pipeline, host, capsys):
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


def test_odd_paths_are_rows_with_an_error(pipeline):
    names = ["x" * 5000, "\ud83d.jpg", os.fsdecode(b"caf\xe9.jpg"), 'a|b,"c".jpg']
    table = predict.main(names, pipeline.data)
    assert len(table) == 4 and (table["error"] != "").all()
    written = pd.read_csv(pipeline.data / "predictions.csv", keep_default_na=False)
    assert list(written["path"]) == list(table["path"])


def test_the_page_and_the_heat_maps_can_be_left_out(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "model", tmp_path / "model")
    paths = sorted(pipeline.images.glob("*.jpg"))[:3]
    whole = predict.main(paths, tmp_path)
    page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
    assert page.count("<img") == 6
    assert predict.main(paths, tmp_path, grad_cam=0, top=1).equals(whole)
    page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3 and "Grad-CAM" not in page
    assert predict.main(paths, tmp_path, sheet=0).equals(whole)
    assert "<img" not in (tmp_path / "predictions.html").read_text(encoding="utf-8")


def test_the_table_shows_the_predicted_and_the_most_probable_genres(capsys):
    table = pd.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"], "error": ["", "", "HTTP 404"]})
    ranking = [("Action", 0.9, True), ("Drama", 0.5, True), ("War", 0.1, False)]
    print_predictions(table, [ranking, ranking[:2], ranking])
    assert capsys.readouterr().out.splitlines() == [
        "poster  predicted genres; next: the most probable other genres",
        "a.jpg  Action 90 %, Drama 50 %; next: War 10 %",
        "b.jpg  Action 90 %, Drama 50 %",
        "c.jpg  not read: HTTP 404",
    ]


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(pipeline, capsys):
    name = "a\x1b[2J\nb\u202e.jpg"
    table = predict.main([name], pipeline.data)
    out = capsys.readouterr().out
    assert r"a\x1b[2J\nb\u202e.jpg  not read: " in out and not {"\x1b", "\u202e"} & set(out)
    assert table["path"][0] == name


def test_heat_maps_are_drawn_for_the_most_probable_genre(capsys):
    posters = np.random.default_rng(0).integers(0, 256, (2, 30, 20, 3), dtype=np.uint8)
    heat = np.random.default_rng(1).random((2, 4, 3, 2), dtype=np.float32)
    probabilities = np.array([[0.1, 0.2], [np.nan, np.nan], [0.9, 0.8], [0.5, 0.4]])
    thumbnails, heat_maps = [posters[0], None, posters[1], posters[1]], [heat[0], None, heat[1]]
    predictions = Predictions(probabilities, ["", "none", "", ""], [""] * 4, thumbnails, heat_maps)
    shown = draw_heat_maps(predictions)
    assert len(shown) == 3 and shown[1] is None
    np.testing.assert_array_equal(shown[0], overlay(posters[0], heat[0, ..., 1]))
    np.testing.assert_array_equal(shown[2], overlay(posters[1], heat[1, ..., 0]))
    assert capsys.readouterr().out == ""


def test_predictions_of_an_older_model_come_without_heat_maps(capsys):
    poster = np.zeros((30, 20, 3), np.uint8)
    predictions = Predictions(np.array([[0.5]]), [""], [""], [poster], [None])
    assert draw_heat_maps(predictions) == []
    assert capsys.readouterr().out.count("No heat maps: ") == 1
    assert draw_heat_maps(predictions._replace(thumbnails=[None])) == [None]
    assert draw_heat_maps(predictions._replace(heat_maps=[])) == []
    assert capsys.readouterr().out == ""
