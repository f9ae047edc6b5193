import shutil
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.report import doubtful_labels
from postergenres.report.doubtful_labels import (
    choose_shown,
    describe_pairs,
    describe_weakness,
    flag_labels,
    list_cards,
    rank_labels,
    rate_labels,
)
from postergenres.report.test_report import Predicted, score_test, write_doubtful_labels
from postergenres.scores.metrics import estimate_prior

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from test_score_page import Page

import predict

needs_cleanlab = pytest.mark.skipif(
    not doubtful_labels.has_cleanlab(), reason="python -m pip install -r requirements/labels.txt"
)


def draw_flipped(share=0.02, seed=0):
    """Return labels of which some were flipped, which ones, and calibrated probabilities."""
    rng = np.random.default_rng(seed)
    probabilities = expit(rng.normal(np.linspace(-4, 0, 6), 2.5, (600, 6)))
    labels = (rng.random(probabilities.shape) < probabilities).astype(np.uint8)
    is_flipped = rng.random(labels.shape) < share
    return labels ^ is_flipped, is_flipped, probabilities


@needs_cleanlab
def test_flipped_labels_are_found_far_more_often_than_by_chance():
    labels, is_flipped, probabilities = draw_flipped()
    table = rank_labels(labels, probabilities, estimate_prior(labels))
    found = is_flipped[table["movie"], table["genre"]]
    assert found.mean() > 4 * is_flipped.mean() and found.sum() > 0.4 * is_flipped.sum()
    assert found[:24].mean() > found.mean()
    assert table["label_quality"].is_monotonic_increasing
    assert (table["listed"] == (labels[table["movie"], table["genre"]] == 1)).all()
    assert (table["probability"] == probabilities[table["movie"], table["genre"]]).all()


def test_a_listed_genre_is_doubtful_if_its_probability_is_low_for_that_genre():
    probabilities, prior = np.array([[0.01, 0.01, 0.9]]), np.array([0.01, 0.5, 0.5])
    quality = rate_labels(np.array([[1, 1, 0]]), probabilities, prior)
    np.testing.assert_allclose(quality, [[0.5, 0.01, 0.1]])


@needs_cleanlab
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("movies", "genres"), [(1, 1), (3, 2), (40, 1), (60, 1000)])
def test_any_labels_and_probabilities_can_be_questioned(movies, genres):
    rng = np.random.default_rng(0)
    labels = (rng.random((movies, genres)) < 0.2).astype(np.uint8)
    labels[np.arange(movies), rng.integers(genres, size=movies)] = 1
    probabilities = rng.random(labels.shape).round()  # the model is sure, and often wrong
    table = rank_labels(labels, probabilities, estimate_prior(labels))
    assert table["label_quality"].between(0, 1).all()
    assert len(choose_shown(table)) <= 24


@needs_cleanlab
def test_a_genre_that_no_movie_or_every_movie_has_is_not_flagged():
    labels, _, probabilities = draw_flipped()
    labels[:, 0], labels[:, 1] = 0, 1
    is_flagged = flag_labels(labels, 1 - probabilities)
    assert not is_flagged[:, :2].any() and is_flagged[:, 2:].any()


def list_pairs(listed, genres, movies):
    quality = np.linspace(0.1, 0.9, len(genres))
    table = {"movie": movies, "genre": genres, "listed": listed, "label_quality": quality}
    return pd.DataFrame(table | {"probability": 0.5})


def test_the_page_shows_listed_and_missing_genres_of_several_genres_and_movies():
    count = 60
    table = list_pairs([False] * 40 + [True] * 20, [0] * 30 + [*range(10)] * 3, range(count))
    shown = choose_shown(table, count=8, most_of_genre=3)
    assert shown["label_quality"].is_monotonic_increasing
    assert list(shown["listed"]) == [False] * 4 + [True] * 4
    assert list(shown["genre"]) == [0, 0, 0, 1, 0, 1, 2, 3]
    twice = list_pairs([True] * 4, range(4), [7, 7, 8, 7])
    assert list(choose_shown(twice)["movie"]) == [7, 8]
    one_kind = list_pairs([True] * 6, range(6), range(6))
    assert len(choose_shown(one_kind, count=4)) == 4
    assert len(choose_shown(one_kind.head(0))) == 0


def test_cards_and_rows_describe_the_movie_of_the_store():
    index = pd.DataFrame({"id": ["a", "b", "c"], "split": ["train", "val", "test"], "copies": 1})
    labels = np.array([[1, 0], [1, 1], [0, 1]], np.uint8)
    images = np.zeros((3, 6, 4, 3), np.uint8)
    store = SimpleNamespace(index=index, labels=labels, images=images, genres=["<i>A", "B"])
    rows = np.array([1, 2])
    table = list_pairs([True, False], [1, 0], [0, 1])
    titles = {"b": "x\u202e" + "y" * 200}
    cards = list_cards(table, store, rows, titles)
    assert [card["genres"] for card in cards] == [["<i>A", "B"], ["B"]]
    assert [card["genre"] for card in cards] == ["B", "<i>A"]
    assert [card["split"] for card in cards] == ["validation movie", "test movie"]
    assert cards[0]["title"].startswith("x\\u202eyy") and len(cards[0]["title"]) == 100
    assert cards[1]["title"] == "c"  # without a title, its id
    written = describe_pairs(table, store, rows, titles)
    columns = ["id", "title", "split", "genre", "listed", "probability", "label_quality"]
    assert list(written.columns) == columns
    assert list(written["listed"]) == ["yes", "no"] and list(written["split"]) == ["val", "test"]
    assert written["title"][0] == titles["b"] and written["title"][1] == ""


# --- in step 5 ------------------------------------------------------------------------------------


def draw_predicted(store, share):
    """Draw predictions: by chance, but a share of the labels of the validation movies is known."""
    rng = np.random.default_rng(0)
    drawn = {split: rng.random((len(store.rows(split)), 3)) for split in ("test", "val")}
    is_known = rng.random(drawn["val"].shape) < share
    drawn["val"] = np.where(is_known, store.labels[store.rows("val")], drawn["val"])
    return Predicted(drawn, np.zeros((0, 1)), {})


@needs_cleanlab
@pytest.mark.parametrize(("share", "is_weak"), [(0, True), (0.6, False)])
def test_a_model_near_its_floor_questions_no_label(pipeline, tmp_path, capsys, share, is_weak):
    store = open_store(pipeline.data)
    prior = estimate_prior(store.labels)
    doubtful = write_doubtful_labels(draw_predicted(store, share), prior, store, tmp_path)
    rows = pd.read_csv(tmp_path / "doubtful_labels.csv")
    assert (len(rows) == 0) == (doubtful["cards"] == []) == is_weak
    assert doubtful["weakness"].startswith("The model is too weak to question labels") == is_weak
    assert ("note: The model is too weak" in capsys.readouterr().out) == is_weak


@pytest.mark.parametrize("labels", [[[1, 0], [1, 0]], [[1, 1], [1, 1]]])
def test_movies_that_cannot_be_ranked_question_no_label(labels):
    assert "macro ROC-AUC on the validation movies is 0.500," in describe_weakness(
        np.array(labels), np.full((2, 2), 0.5)
    )


@needs_cleanlab
def test_step_5_lists_movies_that_the_model_was_not_trained_on(pipeline, tmp_path):
    store = open_store(pipeline.data)
    prior = estimate_prior(store.labels)
    (tmp_path / "samples.csv").write_bytes((pipeline.data / "samples.csv").read_bytes())
    predicted = draw_predicted(store, share=0.6)
    doubtful = write_doubtful_labels(predicted, prior, store, tmp_path)
    table = pd.read_csv(tmp_path / "doubtful_labels.csv", keep_default_na=False)
    assert doubtful["count"] == len(table) > 24 and len(doubtful["cards"]) > 10
    samples = pd.read_csv(tmp_path / "samples.csv", keep_default_na=False).set_index("id")
    known = samples.loc[table["id"]]
    assert set(table["split"]) == {"val", "test"}
    for name in ("title", "split"):
        assert list(known[name]) == list(table[name])
    listed = [
        genre in cell.split("|")
        for genre, cell in zip(table["genre"], known["genres"], strict=True)
    ]
    assert ["yes" if has_it else "no" for has_it in listed] == list(table["listed"])
    for row in table.itertuples():
        (place,) = np.flatnonzero(store.index["id"].iloc[store.rows(row.split)] == row.id)
        probability = predicted.probabilities[row.split][place, store.genres.index(row.genre)]
        assert row.probability == pytest.approx(probability, abs=1e-4)


@needs_cleanlab
def test_step_5_changes_no_label_and_says_if_none_is_doubtful(pipeline, tmp_path):
    """The colored posters are predicted without a mistake."""
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    predict.main(data_dir=data)
    for name in ("store/labels.npy", "samples.csv"):
        assert (data / name).read_bytes() == (pipeline.data / name).read_bytes()
    assert (data / "doubtful_labels.csv").read_text().count("\n") == 1
    assert "cleanlab flags no label of the validation" in Page(data / "report.html").text


def test_without_cleanlab_the_report_names_the_command_and_no_old_list_stays(
    pipeline, tmp_path, capsys
):
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    (data / "doubtful_labels.csv").write_text("of another model")
    score_test(data, has_cleanlab=False)
    assert not (data / "doubtful_labels.csv").exists()
    text = Page(data / "report.html").text
    assert "Labels to question To list the labels that the model doubts, run" in text
    assert "python -m pip install -r requirements/labels.txt" in text
    out = capsys.readouterr().out
    assert "test_predictions.csv\n" in out and "doubtful" not in out
