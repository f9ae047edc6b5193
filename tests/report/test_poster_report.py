import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

from postergenres import load_model
from postergenres.models.exported import Outputs
from postergenres.poster_model import PosterModel, ReadPoster
from postergenres.report.poster_report import format_predictions, make_table, overlay, write_sheet
from postergenres.report.predictions import Prediction, Shown, predict_posters, predict_read
from postergenres.report.similar import Neighbor
from postergenres.scores.predicted_genres import RankedGenre

import numpy as np
import pandas as pd
import pytest
from conftest import image_bytes
from matplotlib import colormaps
from PIL import Image

import predict

GENRES = ["Action", "Drama", "War"]


def test_files_and_the_store_give_the_same_probabilities(pipeline):
    scored = pd.read_csv(pipeline.data / "test_predictions.csv").set_index("id")
    movie = scored.index[0]
    table = predict.main([pipeline.images / f"{movie}.jpg"], pipeline.data)
    for genre in ("Action", "Comedy", "Drama"):
        assert table[genre][0] == pytest.approx(scored[genre][movie], abs=2e-4)


@pytest.mark.parametrize("name", [None, "improved", "folder"])
def test_the_model_that_predicts_and_its_score_are_named(pipeline, tmp_path, capsys, name):
    """Your own model, if you have one, unless another one is named."""
    data, images = tmp_path / "data", [pipeline.images / "m000.jpg"]
    predict.main(images, data, words=False)
    assert "predicted by the pretrained efficientnet_lite2; mAP 0." in capsys.readouterr().out
    own = shutil.copytree(pipeline.data / "model", data / "model")
    table = predict.main(images, data, model=own if name == "folder" else name, words=False)
    model = load_model(name if name == "improved" else own, words=False)
    pd.testing.assert_frame_equal(table, model.predict(images).round(4))
    scored = f"mAP {model.scores['mAP']['score']:.3f} on its validation movies, floor 0."
    shown = "the pretrained improved" if name == "improved" else f"the model in {own}"
    assert f"predicted by {shown}; {scored}" in capsys.readouterr().out
    page = (data / "predictions.html").read_text(encoding="utf-8")
    assert f"Predicted by {shown}; {scored}" in page


def test_the_words_can_be_switched_off(fake_reader, pipeline, tmp_path, capsys):
    images = [pipeline.images / "m000.jpg"]
    with_words, without = (
        predict.main(images, tmp_path, model="improved", words=words) for words in (True, False)
    )
    first, second = re.findall("^predicted by .*", capsys.readouterr().out, re.M)
    assert "improved and the words on the posters; mAP 0.3" in first and "words" not in second
    assert "words" in with_words and "words" not in without
    assert with_words["Drama"][0] != without["Drama"][0]


def test_urls_are_predicted_in_order_and_a_bad_one_has_its_error(pipeline, host, capsys):
    host.bodies["red"] = image_bytes((220, 40, 40), (40, 60))
    host.bodies["blue"] = image_bytes((50, 60, 160), (40, 60))
    names = [f"{host.url}/{x}" for x in ("red/a.jpg", "404/b.jpg", "page/c.jpg", "blue/d.jpg")]
    table = predict.main(names, pipeline.data)
    assert list(table["path"]) == names
    reasons = ["", "HTTP 404", "not an image", ""]
    for reason, error in zip(reasons, table["error"], strict=True):
        assert error.startswith(reason) and bool(reason) == bool(error)
    assert table["Action"][0] > table["Drama"][0] and table["Drama"][3] > table["Action"][3]
    line = next(line for line in capsys.readouterr().out.splitlines() if names[1] in line)
    assert line.endswith("  not read: HTTP 404")


def test_a_poster_whose_path_is_not_utf8_is_predicted(pipeline, tmp_path):
    poster = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(pipeline.images / "m000.jpg", poster)
    predict.main(poster, pipeline.data)
    for name in ("predictions.csv", "similar.csv"):
        assert pd.read_csv(pipeline.data / name)["path"][0] == str(tmp_path / "caf?.jpg")


def test_odd_paths_are_rows_with_an_error_and_status_1_if_no_poster_was_read(pipeline, capsys):
    odd = "a\x1b[2J\nb\u202e.jpg"
    names = ["x" * 5000, "\ud83d.jpg", os.fsdecode(b"caf\xe9.jpg"), 'a|b,"c".jpg', odd]
    good, empty = pipeline.images / "m000.jpg", pipeline.images.parent / "empty"
    empty.mkdir()
    predict.main([*names, empty, good], pipeline.data)
    page, table = (pipeline.data / f"predictions.{end}" for end in ("html", "csv"))
    written = pd.read_csv(table, keep_default_na=False)
    assert (written["error"] != "").tolist() == [True] * 6 + [False] and written["path"][4] == odd
    assert written["error"][5] == "no images in this folder"
    before = page.read_bytes(), table.read_bytes()
    with pytest.raises(SystemExit, match="No poster could be read"):
        predict.main(names, pipeline.data)
    assert (page.read_bytes(), table.read_bytes()) == before
    out = capsys.readouterr().out
    assert r"a\x1b[2J\nb\u202e.jpg " in out and not {"\x1b", "\u202e"} & set(out)


def test_the_page_and_the_heat_maps_can_be_left_out(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "model", tmp_path / "model")
    paths = sorted(pipeline.images.glob("*.jpg"))[:3]
    whole = predict.main(paths, tmp_path)
    for settings, images in (({}, 6), ({"grad_cam": 0, "top": 1}, 3), ({"sheet": 0}, 0)):
        assert predict.main(paths, tmp_path, **settings).equals(whole)
        page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
        assert page.count("<img") == images and ("Grad-CAM" in page) == (images == 6)


class Network:
    """Answer with given outputs."""

    def __init__(self, probabilities, heat_maps):
        features = np.zeros((len(probabilities), 2), np.float32)
        self.outputs = Outputs(np.array(probabilities, np.float32), heat_maps, features)

    def predict(self, posters):
        assert len(posters) == len(self.outputs.probabilities)
        return self.outputs


def make_model(network, words_model=None):
    """Return a `PosterModel` with a network and without a folder."""
    model = object.__new__(PosterModel)
    model.network, model.words_model, model.genres, model.size = (
        network,
        words_model,
        GENRES,
        (30, 20),
    )
    return model


def test_unread_posters_stay_without_a_prediction_among_the_others():
    heat_maps = np.random.default_rng(0).random((2, 4, 3, 3), dtype=np.float32)
    network = Network([[0.9, 0.6, 0.1], [0.1, 0.2, 0.8]], heat_maps)
    pixels = np.zeros((30, 20, 3), np.uint8)
    posters = [ReadPoster("a", pixels), ReadPoster("b", error="broken"), ReadPoster("c", pixels)]
    model = make_model(network)
    first, unread, last = predict_read(model, posters, top=3)
    assert [each.genre for each in first.ranking] == GENRES
    assert [each.is_predicted for each in first.ranking] == [True, True, False]
    assert last.ranking[0].genre == "War" and last.probabilities[2] == np.float32(0.8)
    np.testing.assert_array_equal(first.heat, heat_maps[0, ..., 0])  # of the most probable genre
    np.testing.assert_array_equal(last.heat, heat_maps[1, ..., 2])
    assert np.isnan(unread.probabilities).all() and unread.ranking == () and unread.heat is None
    assert predict_read(model, posters[1:2], top=3)[0].poster.error

    table = make_table(model, [first, unread, last])
    assert list(table["predicted_genres"]) == ["Action|Drama", "", "War"]
    assert list(table["error"]) == ["", "broken", ""]
    assert format_predictions([first, unread, last]).splitlines() == [
        "poster  predicted genres; next: the most probable other genres",
        "a  Action 90 %, Drama 60 %; next: War 10 %",
        "b  not read: broken",
        "c  War 80 %; next: Drama 20 %, Action 10 %",
    ]


def test_only_the_first_posters_keep_what_the_page_shows(tmp_path):
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    names, shown = [str(tmp_path / "a.jpg")] * 3, Shown(top=1, sheet=2, grad_cam=1, similar=0)
    network = Network([[0.9, 0.6, 0.1]], np.zeros((1, 2, 2, 3), np.float32))
    found = list(predict_posters(make_model(network), names, shown, None, batch_size=1))
    assert [each.poster.pixels is not None for each in found] == [True, True, False]
    assert [each.heat is not None for each in found] == [True, False, False]
    assert [each.ranking[0].genre for each in found] == ["Action"] * 3


def test_the_words_change_the_probabilities_and_stand_in_the_table():
    network = Network([[0.9, 0.6, 0.1]], np.zeros((1, 2, 2, 3), np.float32))
    words = [("war", 0.9)]
    poster = ReadPoster("a", np.zeros((30, 20, 3), np.uint8), words=words)

    def add_words(probabilities, texts):
        assert texts == [words]
        return probabilities[:, ::-1]

    words_model = SimpleNamespace(add_words=add_words, show=lambda _: "for people")
    model = make_model(network, words_model)
    (prediction,) = predict_read(model, [poster], top=1)
    assert prediction.ranking[0].genre == "War" and prediction.words == "for people"
    table = make_table(model, [prediction])
    assert list(table.columns) == ["path", "error", "predicted_genres", "words", *GENRES]
    assert table["words"][0] == "war"


# --- the page -------------------------------------------------------------------------------------

RANKING = [RankedGenre("Action", 0.9, True), RankedGenre("Drama", 0.5, False)]
POSTER = ReadPoster("a.jpg", np.full((30, 20, 3), 99, np.uint8))
MISSING = Prediction(ReadPoster("<i>.jpg", error="HTTP 404"), np.full(2, np.nan))
HEAT = np.ones((2, 2), np.float32)


def write_page(predictions, tmp_path, **shown):
    shown = Shown(top=3, similar=5, **shown)
    write_sheet(predictions, shown, "the model", tmp_path / "predictions.html")
    return (tmp_path / "predictions.html").read_text(encoding="utf-8")


def test_the_page_shows_bars_errors_and_heat_maps_of_the_first_posters(tmp_path):
    first = Prediction(POSTER, np.array([0.9, 0.5]), RANKING, HEAT, words="GO WEST")
    last = replace(first, poster=ReadPoster("c.jpg"), heat=None)
    page = write_page([first, MISSING, last], tmp_path, sheet=2, grad_cam=1)
    assert page.count("<img") == 2 and page.count("data:image/jpeg") == 2
    assert "<b>Action</b>" in page and "<b>Drama</b>" not in page and "Drama" in page
    assert "HTTP 404" in page and "the model" in page
    assert "Words: GO WEST" in page and page.count("The words are those read") == 1
    assert "&lt;i&gt;.jpg" in page and "<i>.jpg" not in page and "c.jpg" not in page


def test_the_page_shows_the_similar_movies_of_each_poster(tmp_path):
    (tmp_path / "near.jpg").write_bytes(image_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    neighbors = [
        Neighbor("m1", "A <b> (1999)", ["Action", "Drama"], 0.987, tmp_path / "near.jpg"),
        Neighbor("m2", "", ["War"], 0.5, None),
        Neighbor("m3", "Third", ["War"], 0.4, tmp_path / "broken.jpg"),
    ]
    first = Prediction(POSTER, np.array([0.9, 0.5]), RANKING, neighbors=neighbors)
    page = write_page([first, MISSING], tmp_path, sheet=2, grad_cam=0)
    assert page.count("<img") == 2 and page.count('<ol class="similar">') == 1
    assert page.count('alt=""') == 1  # the title stands beside it
    assert "A &lt;b&gt; (1999)" in page and "Action, Drama" in page and "0.99" in page
    assert "m2" in page and "m1" not in page and "A similarity of 1 means" in page
    page = write_page([replace(first, neighbors=()), MISSING], tmp_path, sheet=2, grad_cam=0)
    assert '<ol class="similar">' not in page and "similar" not in page.split("</style>")[1].lower()


def test_the_heat_map_is_scaled_to_the_poster_and_its_maximum_to_one():
    poster = np.full((40, 30, 3), 90, np.uint8)
    heat = np.array([[0, 2], [4, 8]], np.float32)
    shown = overlay(poster, heat)
    assert shown.shape == (40, 30, 3) and shown.dtype == np.uint8
    scaled = np.asarray(Image.fromarray(heat / 8).resize((30, 40), Image.Resampling.BILINEAR))
    opacity = 0.75 * scaled[..., None]
    expected = (1 - opacity) * 90 + opacity * 255 * colormaps["inferno"](scaled)[..., :3]
    assert abs(shown - expected).max() <= 0.51
    assert abs(overlay(poster, 5 * heat).astype(int) - shown).max() <= 1


def test_a_poster_without_heat_becomes_gray():
    poster = np.full((40, 30, 3), (30, 60, 90), np.uint8)
    assert (overlay(poster, np.zeros((2, 2), np.float32)) == 60).all()
