"""Scores the model of step 4 on the test movies, and writes what step 5 has to say of them."""

import sys

import numpy as np
import pandas as pd

from postergenres.dataset.store import open_store
from postergenres.evaluation import plots
from postergenres.evaluation.bootstrap import RESAMPLES, compare_with_prior
from postergenres.evaluation.inference import predict_probabilities
from postergenres.evaluation.metrics import (
    SCORES,
    STUDY,
    Thresholds,
    count_mistakes,
    measure_reliability,
    prior_of_counts,
)
from postergenres.evaluation.report import write_report
from postergenres.files import file_sha256, write_csv, write_json
from postergenres.models.saved import check_sample, open_model


def read_thresholds(about):
    """The thresholds in model.json, as evaluation.py has them."""
    genres = np.array([about["thresholds"][genre] for genre in about["genres"]])
    return Thresholds(genres, **about["shared_thresholds"])


def name_genres(carried, genres):
    """Turn (N, G) of True and False into N cells such as `Action|Drama`."""
    return [
        "|".join(genre for genre, is_in in zip(genres, row, strict=True) if is_in)
        for row in carried
    ]


def score_test(data_dir):
    """Score the test movies beside the prior; write the scores, the predictions and the report."""
    store = open_store(data_dir)
    model, about = open_model(data_dir / "model")
    check_sample(about, store.samples_sha256, data_dir / "model")
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit("The model was trained on posters of another size. Run: python train.py")
    if about["store_sha256"] != store.sha256:
        print("note: posters in the store have changed since the model was trained")
    test = store.rows("test")
    labels, thresholds = store.labels[test], read_thresholds(about)
    prior = prior_of_counts(store.train_counts, store.train_movies)
    probabilities = predict_probabilities(model, store.images, test)
    overall, per_genre = compare_with_prior(
        labels, probabilities, thresholds, prior, store.labels[store.rows("val")]
    )
    per_genre.index = pd.Index(store.genres, name="genre")

    (data_dir / "metrics.json").unlink(missing_ok=True)  # it comes last: then all is whole
    write_test_predictions(store, test, probabilities, thresholds, data_dir)
    save_pictures(store, probabilities, thresholds, prior, overall, per_genre, data_dir)
    reliability = measure_reliability(labels, probabilities)
    metrics = gather_metrics(overall, per_genre, reliability, about, store, data_dir)
    write_report(metrics, about, store, model.count_params(), data_dir)
    write_json(metrics, data_dir / "metrics.json")
    report(overall, per_genre, about, len(test), data_dir)
    return overall


def gather_metrics(overall, per_genre, reliability, about, store, data_dir):
    """What metrics.json holds: every score with its interval and its floor."""
    scores = without_nan(overall)
    return {
        "split": "test",
        "movies": len(store.rows("test")),
        "interval": f"95 % bootstrap over movies, {RESAMPLES:,} resamples",
        "floor": "the prior of the training movies, through the same functions",
        "settings": about["settings"],
        "samples_sha256": about["samples_sha256"],
        "store_sha256": store.sha256,
        "model_sha256": file_sha256(data_dir / "model" / "model.keras"),
        "scores": scores,
        "study": {name: row | {"ours": scores[name]} for name, row in STUDY.items()},
        "average_precision": without_nan(per_genre),
        "reliability": reliability.to_dict("records"),
    }


def without_nan(table):
    """A DataFrame as {row: {column: value}}, None for nan, which JSON does not have."""
    return table.astype(object).where(table.notna(), None).to_dict("index")


def write_test_predictions(store, test, probabilities, thresholds, data_dir):
    """Write test_predictions.csv: id, genres, predicted_genres, a probability for each genre."""
    names = pd.DataFrame(
        {
            "id": store.index["id"].iloc[test].to_list(),
            "genres": name_genres(store.labels[test] == 1, store.genres),
            "predicted_genres": name_genres(probabilities >= thresholds.genres, store.genres),
        }
    )
    table = pd.concat([names, pd.DataFrame(probabilities.round(4), columns=store.genres)], axis=1)
    write_csv(table, data_dir / "test_predictions.csv")


def save_pictures(store, probabilities, thresholds, prior, overall, per_genre, data_dir):
    test, genres = store.rows("test"), store.genres
    labels = store.labels[test]
    plots.save_average_precision(per_genre, overall, data_dir / "average_precision.png")
    path = data_dir / "precision_recall.png"
    plots.save_precision_recall(labels, probabilities, genres, path)
    path = data_dir / "reliability.png"
    reliability = measure_reliability(labels, probabilities)
    plots.save_reliability(reliability, overall.loc["calibration_error"], path)
    mistakes = count_mistakes(labels, probabilities >= thresholds.genres)
    plots.save_mistakes(*mistakes, genres, data_dir / "mistakes.png")
    chosen = plots.choose_posters(labels, probabilities, prior)
    path = data_dir / "test_posters.png"
    plots.save_posters(chosen, store.images, test, labels, probabilities, genres, path)


def report(overall, per_genre, about, movies, data_dir):
    """Print the score table, each score beside its floor, and what was written."""
    print(f"{about['settings']['architecture']} network on {movies:,} test movies, each once")
    print(f"{'':<50}{'score':>7}{'95 % interval':>18}{'floor':>8}")
    for name, label in SCORES.items():
        row = overall.loc[name]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{label:<50}{row['score']:>7.3f}{interval:>18}{row['floor']:>8.3f}")
    absent = per_genre.index[per_genre["score"].isna()]
    if len(absent):
        print(f"left out of the macro means, no test movie carries them: {', '.join(absent)}")
    print("floor: the prior, which answers every movie alike and never looks at a poster")
    print(
        f"{'beside the study, in its measures':<50}{'ours':>7}{'floor':>8}{'study':>8}{'floor':>8}"
    )
    for name, row in STUDY.items():
        ours = f"{overall.loc[name, 'score']:>7.3f}{overall.loc[name, 'floor']:>8.3f}"
        print(f"{SCORES[name]:<50}{ours}{row['score']:>8.2f}{row['floor']:>8.3f}")
    print(
        f"wrote {data_dir / 'metrics.json'} and {data_dir / 'test_predictions.csv'}\n"
        f"to look at: {data_dir / 'report.html'}\nnext: python predict.py POSTER.jpg"
    )
