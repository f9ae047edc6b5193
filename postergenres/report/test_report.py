"""Score the model of step 4 on the test movies, and write the scores, predictions and report."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.dataset.samples import read_titles
from postergenres.dataset.store import Store, open_store
from postergenres.download.manifest import read_manifest
from postergenres.files import describe_file, write_csv, write_json
from postergenres.models.description import check_sample
from postergenres.models.saved import add_features, open_model, predict_with_features
from postergenres.report import doubtful_labels, gallery, plots, poster_map
from postergenres.report.score_page import format_test_scores, write_report
from postergenres.scores.bootstrap import (
    INTERVAL,
    ComparedScores,
    compare_with_prior,
    describe_mean_interval,
)
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.metrics import (
    STUDY,
    beside_floor,
    compute_scores,
    measure_confusions,
    measure_reliability,
    prior_of_counts,
)
from postergenres.scores.predicted_genres import join_genres, join_predicted, read_thresholds
from postergenres.training.trained_on import leave_out, read_behind_weights
from postergenres.words.cache import read_stored_posters
from postergenres.words.combination import open_words
from postergenres.words.reading import find_fault

import keras
import numpy as np
import pandas as pd

DOUBTFUL = "doubtful_labels.csv"
DRAWN_POSTER = r"(.*[/\\])?drawn\d{5}\.jpg"  # the path of a poster that data/sample/draw.py drew


@dataclass(frozen=True)
class Predicted:
    """Predictions of the test movies and, if labels are to be questioned, the validation movies."""

    probabilities: dict[str, np.ndarray]  # by split, (M, G)
    features: np.ndarray  # (K, F), of the test movies on the map
    about: dict[str, Any]  # content of model.json, with the thresholds of the probabilities
    without_words: dict[str, Any] | None = None  # scores of the network, if it reads words, too


@dataclass(frozen=True)
class ScoredMovies:
    """The test movies, their predictions and their scores."""

    rows: np.ndarray  # (N,), in the store
    labels: np.ndarray  # (N, G)
    probabilities: np.ndarray  # (N, G)
    is_predicted: np.ndarray  # (N, G), the genres with the highest expected F1
    prior: np.ndarray  # (G,), of the training movies
    scores: ComparedScores
    reliability: pd.DataFrame


def score_test(data_dir: Path, has_cleanlab: bool | None = None) -> pd.DataFrame:
    """Score the test movies, and write the scores, the predictions, pictures and the report.

    Labels are questioned if `has_cleanlab`; None to look whether it is installed. Return a row for
    each key of SCORES: see `bootstrap.ComparedScores`.
    """
    has_cleanlab = doubtful_labels.has_cleanlab() if has_cleanlab is None else has_cleanlab
    store = open_store(data_dir)
    network, about = open_model_of_store(store, data_dir / "model")
    store, left_out = leave_out(store, read_behind_weights(data_dir / "model"))
    if left_out["test"]:
        print(
            f"left out: {left_out['test']:,} test movies that the initial weights were trained on"
        )
    architecture = about["settings"]["architecture"]
    print(f"{architecture} network on {len(store.rows('test')):,} test movies, each once")
    predicted = predict_splits(network, about, store, has_cleanlab)
    predicted = use_words(predicted, store, data_dir)
    test = score_predictions(predicted, store)
    is_drawn = is_demonstration(data_dir)
    model_xxh3 = describe_file(data_dir / "model" / "model.keras")["xxh3"]
    metrics = gather_metrics(test, predicted, store, model_xxh3)
    metrics["left_out"] = left_out["test"]

    write_csv(list_predictions(test, store), data_dir / "test_predictions.csv")
    save_pictures(test, store, data_dir)
    save_map(test, predicted.features, store.genres, data_dir / "poster_map.png")
    doubtful = write_doubtful_labels(predicted, test.prior, store, data_dir)
    write_report(
        metrics,
        predicted.about,
        store,
        data_dir,
        parameters=network.count_params(),
        is_drawn=is_drawn,
        gallery=list_gallery(test, store, data_dir),
        doubtful=doubtful,
    )
    write_json(metrics, data_dir / "metrics.json")
    print(format_test_scores(test.scores, len(test.rows), is_drawn, metrics.get("without_words")))
    names = ["metrics.json", "test_predictions.csv", *([DOUBTFUL] if doubtful else [])]
    written = [str(data_dir / name) for name in names]
    print(f"wrote {', '.join(written[:-1])} and {written[-1]}")
    print(f"to view it, open {data_dir / 'report.html'}")
    return test.scores.overall


def open_model_of_store(store: Store, folder: Path) -> tuple[keras.Model, dict[str, Any]]:
    """Open the model in a folder; exit if it was trained on another sample or poster size."""
    network, about = open_model(folder)
    check_sample(about, store.samples_sha256, folder)
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit("The model was trained on posters of another size. Run: python train.py")
    if about["store_sha256"] != store.sha256:
        print("note: posters in the store have changed since the model was trained")
    return network, about


def is_demonstration(data_dir: Path) -> bool:
    """Return whether posters.csv lists drawn posters only, as the demonstration set does."""
    if not (data_dir / "posters.csv").is_file():
        return False  # scoring does not need it
    urls = [url for url in read_manifest(data_dir)["url"] if url]
    return urls != [] and all(re.fullmatch(DRAWN_POSTER, url) for url in urls)


def use_words(predicted: Predicted, store: Store, data_dir: Path) -> Predicted:
    """Add the evidence of the words on the posters, if the model was trained with words."""
    about = predicted.about
    words_model = open_words(data_dir / "model", about)
    if note := find_fault(about):
        print(note)
    if words_model is None:
        return predicted
    print("the words on the posters are used, too")
    labels = store.labels[store.rows("test")]
    scores = compute_scores(labels, predicted.probabilities["test"], read_thresholds(about))
    with_words = {}
    for split, probabilities in predicted.probabilities.items():
        words = read_stored_posters(data_dir, store, store.rows(split))
        with_words[split] = words_model.add_words(probabilities, words)
    return Predicted(with_words, predicted.features, about | words_model.thresholds, scores)


def predict_splits(
    network: keras.Model, about: dict[str, Any], store: Store, has_cleanlab: bool
) -> Predicted:
    """Predict the test movies, and the validation movies if their labels are to be questioned."""
    network = add_features(network)
    test, val = store.rows("test"), store.rows("val")
    is_mapped = poster_map.draw_mapped(len(test))
    probabilities, features = predict_with_features(network, store.images, test, is_mapped)
    predicted = {"test": probabilities}
    if has_cleanlab:
        no_features = np.zeros(len(val), bool)
        predicted["val"], _ = predict_with_features(network, store.images, val, no_features)
    return Predicted(predicted, features, about)


def score_predictions(predicted: Predicted, store: Store) -> ScoredMovies:
    """Score the predictions of the test movies beside the prior."""
    rows = store.rows("test")
    labels, probabilities = store.labels[rows], predicted.probabilities["test"]
    prior = prior_of_counts(store.train_counts, store.train_movies)
    scores = compare_with_prior(
        labels=labels,
        probabilities=probabilities,
        thresholds=read_thresholds(predicted.about),
        prior=prior,
        val_labels=store.labels[store.rows("val")],
    )
    per_genre = scores.per_genre.set_index(pd.Index(store.genres, name="genre"))
    return ScoredMovies(
        rows=rows,
        labels=labels,
        probabilities=probabilities,
        is_predicted=choose_genres(probabilities),
        prior=prior,
        scores=ComparedScores(scores.overall, per_genre),
        reliability=measure_reliability(labels, probabilities),
    )


def gather_metrics(
    test: ScoredMovies, predicted: Predicted, store: Store, model_xxh3: str
) -> dict[str, Any]:
    """Return the content of metrics.json: every score with its interval and its floor."""
    scores = without_nan(test.scores.overall)
    metrics = {
        "split": "test",
        "movies": len(test.rows),
        "interval": "; ".join([INTERVAL, *describe_mean_interval(len(test.rows))]),
        "floor": "the prior of the training movies, through the same functions; of average "
        "precision and mAP, a random order",
        "settings": predicted.about["settings"],
        "samples_sha256": predicted.about["samples_sha256"],
        "store_sha256": store.sha256,
        "model_xxh3": model_xxh3,
        "scores": scores,
        "study": {name: row | {"ours": scores[name]} for name, row in STUDY.items()},
        "average_precision": without_nan(test.scores.per_genre),
        "reliability": test.reliability.to_dict("records"),
    }
    if predicted.without_words:
        floor = test.scores.overall["floor"]
        metrics["without_words"] = beside_floor(predicted.without_words, floor.to_dict())
    return metrics


def without_nan(table: pd.DataFrame) -> dict[Any, Any]:
    """Return {row: {column: value}}, with None for nan, which JSON does not have."""
    return table.astype(object).where(table.notna(), None).to_dict("index")


def list_predictions(test: ScoredMovies, store: Store) -> pd.DataFrame:
    """Return the content of test_predictions.csv: names of genres, and their probabilities."""
    names = {
        "id": store.index["id"].iloc[test.rows].to_list(),
        "genres": join_genres(test.labels == 1, store.genres),
        "predicted_genres": join_predicted(test.probabilities, test.is_predicted, store.genres),
    }
    shares = pd.DataFrame(test.probabilities.round(4), columns=pd.Index(store.genres))
    return pd.concat([pd.DataFrame(names), shares], axis=1)


def save_pictures(test: ScoredMovies, store: Store, data_dir: Path) -> None:
    """Save the pictures of the test movies."""
    labels, probabilities, genres = test.labels, test.probabilities, store.genres
    curves = data_dir / "precision_recall.png"
    plots.save_average_precision(test.scores, data_dir / "average_precision.png")
    plots.save_precision_recall(labels, probabilities, genres, curves)
    plots.save_reliability(test.reliability, test.scores, data_dir / "reliability.png")
    confusions, floor = measure_confusions(labels, test.is_predicted)
    plots.save_confusions(confusions, floor, genres, data_dir / "mistakes.png")


def list_gallery(test: ScoredMovies, store: Store, data_dir: Path) -> dict[str, Any]:
    """Return what the gallery shows of the test movies."""
    titles = read_titles(data_dir)
    cards = gallery.list_cards(
        labels=test.labels,
        probabilities=test.probabilities,
        is_predicted=test.is_predicted,
        prior=test.prior,
        genres=store.genres,
    )
    shown = []
    for number, card in cards.items():
        row = test.rows[number]
        movie = store.index["id"].iloc[row]
        shown.append(gallery.add_poster(card, titles.get(movie) or movie, store.images[row]))
    genres = sorted({row["genre"] for card in shown for row in card["rows"]})
    return {"cards": shown, "genres": genres, "kinds": gallery.KINDS}


def save_map(test: ScoredMovies, features: np.ndarray, genres: list[str], path: Path) -> None:
    """Save the map of the posters with these features; delete an old one if they are too few."""
    path.unlink(missing_ok=True)
    places = poster_map.project(features)
    if places is not None:
        labels = test.labels[poster_map.draw_mapped(len(test.labels))]
        shown = poster_map.choose_map_genres(test.scores.per_genre)
        poster_map.save_poster_map(places, labels, shown=shown, genres=genres, path=path)


def write_doubtful_labels(
    predicted: Predicted, prior: np.ndarray, store: Store, data_dir: Path
) -> dict[str, Any] | None:
    """Write doubtful_labels.csv or, without validation movies, delete it; return what is shown."""
    (data_dir / DOUBTFUL).unlink(missing_ok=True)
    if "val" not in predicted.probabilities:
        return None
    rows = np.concatenate([store.rows(split) for split in predicted.probabilities])
    probabilities = np.concatenate(list(predicted.probabilities.values()))
    table = doubtful_labels.rank_labels(store.labels[rows], probabilities, prior)
    val = store.labels[store.rows("val")], predicted.probabilities["val"]
    if weakness := doubtful_labels.describe_weakness(*val):
        print(f"note: {weakness}")
        table = table.head(0)
    titles = read_titles(data_dir)
    write_csv(doubtful_labels.describe_pairs(table, store, rows, titles), data_dir / DOUBTFUL)
    shown = doubtful_labels.choose_shown(table)
    cards = doubtful_labels.list_cards(shown, store, rows, titles)
    return {"count": len(table), "cards": cards, "weakness": weakness}
