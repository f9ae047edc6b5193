"""Score multi-label predictions beside their floor, the score of the prior.

The prior predicts the same for every movie: the share of training movies that have each genre. It
never looks at a poster, so only the distance from the floor can come from the posters; if the
interval of a score includes the floor, the distance may be chance. The floor is computed by the
same functions as the scores of a model, thresholds included, except that of average precision: the
prior does not order the movies, and its floor is the mean of all orders.
"""

from collections.abc import Mapping
from typing import Any

from postergenres.scores.predicted_genres import Thresholds

import numpy as np
import pandas as pd
from sklearn import metrics

# The reported scores, in order, with their labels in tables.
SCORES = {
    "binary_cross_entropy": "binary cross-entropy (lower is better)",
    "mAP": "mean average precision (mAP)",
    "macro_roc_auc": "macro ROC-AUC",
    "micro_roc_auc": "micro ROC-AUC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "samples_f1": "samples F1",
    "hamming_loss": "Hamming loss (lower is better)",
    "brier_score": "Brier score (lower is better)",
    "calibration_error": "expected calibration error (lower is better)",
    "precision_at_1": "precision at 1",
    "top3_success": "true genres among the top 3 (the study's success)",
}

# What the study reports for 100 movies (Iacobelli's notebook), and the floors that follow from its
# genre counts: the mean entropy of the shares, and the sum of the three largest shares.
STUDY = {
    "binary_cross_entropy": {"score": 0.39, "floor": 0.389},
    "top3_success": {"score": 0.64, "floor": 0.650},
}

MIN_SUPPORT = 100  # movies that a genre needs for its own threshold; with fewer, chance decides
BINS = 15  # of equal width between 0 and 1, to measure calibration (Guo et al. 2017)


def estimate_prior(labels: np.ndarray) -> np.ndarray:
    """Return the prior of labels, (N, G): see `prior_of_counts`."""
    return prior_of_counts(labels.sum(axis=0), len(labels))


def prior_of_counts(counts: np.ndarray, movies: int) -> np.ndarray:
    """Return the share of movies that have each genre, (G,), smoothed by half a movie on each side.

    The smoothing (Krichevsky and Trofimov 1981) keeps the share of a genre without movies above 0,
    where its cross-entropy would be infinite.
    """
    return (np.asarray(counts) + 0.5) / (movies + 1)


def choose_thresholds(
    labels: np.ndarray, probabilities: np.ndarray, min_support: int = MIN_SUPPORT
) -> Thresholds:
    """Return the thresholds that maximize F1 on the validation movies.

    A genre that fewer than `min_support` movies have gets the threshold of micro F1. On few movies
    the best threshold is often so low that the genre is predicted for every third movie (Yang 2001,
    A Study of Thresholding Strategies).
    """
    micro = best_threshold(labels.ravel(), probabilities.ravel())
    genres = np.full(labels.shape[1], micro, dtype=np.float64)
    for genre in np.flatnonzero(labels.sum(axis=0) >= max(min_support, 1)):
        genres[genre] = best_threshold(labels[:, genre], probabilities[:, genre])
    candidates = np.unique(np.quantile(probabilities, np.linspace(0, 1, 201), method="nearest"))
    samples = [f1_of_movies(labels, probabilities >= t).mean() for t in candidates]
    return Thresholds(genres, float(micro), float(candidates[np.argmax(samples)]))


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the score, of (N,), at or above which predicting 1 has the highest F1."""
    precision, recall, candidates = metrics.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return candidates[f1[:-1].argmax()]


def compute_scores(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds
) -> dict[str, Any]:
    """Score predictions, using scikit-learn if it has the metric.

    The Brier score is the mean squared error of the probabilities (Brier 1950). The expected
    calibration error is the mean distance between the probabilities in a bin and the share of them
    that are true, over 15 bins and all genres together (Guo et al. 2017).

    Labels, of 0 and 1, and probabilities are (N, G), as everywhere in this module. The thresholds
    are for F1; Hamming loss uses 0.5, its best threshold.

    Returns:
        The keys of SCORES, and `average_precision`, (G,). The average precision of a genre without
        movies is nan, and the genre is left out of the macro means. Macro ROC-AUC also leaves out a
        genre that every movie has. A mean over no genre is nan.
    """
    flat, flat_probabilities = labels.ravel(), probabilities.ravel()
    per_movie = score_movies(labels, probabilities, thresholds)
    per_genre = score_genres(labels, probabilities, thresholds)
    return {name: values.mean() for name, values in per_movie.items()} | {
        "mAP": mean_without_nan(per_genre["average_precision"]),
        "macro_roc_auc": mean_without_nan(per_genre["roc_auc"]),
        "micro_roc_auc": np.nan if flat.all() else metrics.roc_auc_score(flat, flat_probabilities),
        "macro_f1": mean_without_nan(per_genre["f1"]),
        "micro_f1": metrics.f1_score(flat, flat_probabilities >= thresholds.micro),
        "calibration_error": calibration_error(flat, flat_probabilities),
        "average_precision": per_genre["average_precision"],
    }


def score_genres(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds
) -> dict[str, np.ndarray]:
    """Return average_precision, roc_auc and f1 of each genre, {name: (G,)}, nan if undefined."""
    predicted = probabilities >= thresholds.genres
    scores = {name: np.full(labels.shape[1], np.nan) for name in ("average_precision", "f1")}
    for genre in np.flatnonzero(labels.any(axis=0)):
        truth, ranked = labels[:, genre], probabilities[:, genre]
        scores["average_precision"][genre] = metrics.average_precision_score(truth, ranked)
        scores["f1"][genre] = metrics.f1_score(truth, predicted[:, genre])
    return scores | {"roc_auc": roc_auc_of_genres(labels, probabilities)}


def roc_auc_of_genres(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the ROC-AUC of each genre, (G,); nan if no movie or every movie has it."""
    scores = np.full(labels.shape[1], np.nan)
    for genre in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        scores[genre] = metrics.roc_auc_score(labels[:, genre], probabilities[:, genre])
    return scores


def mean_without_nan(values: np.ndarray) -> float:
    """Return the mean of the values that are not nan; nan if there are none."""
    values = values[~np.isnan(values)]
    return values.mean() if len(values) else np.nan


def score_movies(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds
) -> dict[str, np.ndarray]:
    """Return the scores that are means over movies, before the mean: {name: (N,)}.

    `top3_success` is the study's measure: how many of the three most probable genres are true. It
    can exceed 1.
    """
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)  # as Keras does
    cross_entropy = -np.where(labels, np.log(clipped), np.log1p(-clipped))
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    hits = np.take_along_axis(labels, top, axis=1)
    return {
        "binary_cross_entropy": cross_entropy.mean(axis=1),
        "samples_f1": f1_of_movies(labels, probabilities >= thresholds.samples),
        "hamming_loss": (labels != (probabilities >= 0.5)).mean(axis=1),
        "brier_score": ((probabilities - labels) ** 2).mean(axis=1),
        "precision_at_1": hits[:, 0].astype(np.float64),
        "top3_success": hits.sum(axis=1).astype(np.float64),
    }


def f1_of_movies(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the F1 of each movie, (N,); 0 if it has no genre and none is predicted."""
    return 2 * (labels * predicted).sum(axis=1) / np.maximum((labels + predicted).sum(axis=1), 1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error of N pairs of a movie and a genre, both (N,)."""
    gaps = np.bincount(number_bins(probabilities), weights=labels - probabilities)
    return np.abs(gaps).sum() / len(labels)


def number_bins(probabilities: np.ndarray) -> np.ndarray:
    """Return the bin of each probability, from 0 to BINS - 1."""
    return np.minimum((probabilities * BINS).astype(int), BINS - 1)


def measure_reliability(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Return the points of a reliability curve, of all pairs of a movie and a genre together.

    There is a row for each bin that is not empty: predicted, the mean probability; true, the share
    of the pairs that are true; count, the number of pairs.
    """
    table = pd.DataFrame({"predicted": np.ravel(probabilities), "true": np.ravel(labels)})
    bins = table.groupby(number_bins(table["predicted"].to_numpy()))
    return bins.mean().assign(count=bins.size()).reset_index(drop=True)


def measure_confusions(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each genre is predicted for movies that have another genre instead.

    Returns:
        confusions: (G, G), of the movies that have the genre of the row but not the genre of the
            column, the share for which the genre of the column is predicted; nan without movies.
        floor: (G,), the same share of all movies that do not have the genre of the column.
    """
    labels = labels.astype(np.float64)
    false_positives = (1 - labels) * predicted
    with np.errstate(invalid="ignore"):
        confusions = labels.T @ false_positives / (labels.T @ (1 - labels))
        return confusions, false_positives.sum(axis=0) / (1 - labels).sum(axis=0)


def score_prior(
    prior: np.ndarray,
    labels: np.ndarray,
    val_labels: np.ndarray | None = None,
    min_support: int = MIN_SUPPORT,
) -> dict[str, Any]:
    """Return the floor: the scores of predicting the prior, (G,), for each movie.

    Its thresholds are chosen on `val_labels`, (M, G), or on `labels` if they are None. The average
    precision, and with it mAP, is that of a random order of the movies.
    """
    val_labels = labels if val_labels is None else val_labels
    constant = np.broadcast_to(prior, val_labels.shape)
    thresholds = choose_thresholds(val_labels, constant, min_support)
    floor = compute_scores(labels, np.broadcast_to(prior, labels.shape), thresholds)
    average_precision = random_average_precision(labels.sum(axis=0), len(labels))
    return floor | {
        "average_precision": average_precision,
        "mAP": mean_without_nan(average_precision),
    }


def random_average_precision(positives: np.ndarray, movies: int) -> np.ndarray:
    """Return the expected average precision of a random order of movies; nan without positives.

    It is above the share of the positives, (...), because a positive at rank i counts itself: the
    precision there is (1 + (i - 1) (positives - 1) / (movies - 1)) / i on average (Bestgen 2015,
    Exact Expected Average Precision of the Random Baseline for System Evaluation).
    """
    itself = (1 / np.arange(1, movies + 1)).mean()  # the mean of 1 / i
    expected = itself + (1 - itself) * (positives - 1) / max(movies - 1, 1)
    return np.where(positives > 0, expected, np.nan)


def beside_floor(
    scores: Mapping[str, Any], floor: Mapping[str, Any]
) -> dict[str, dict[str, float | None]]:
    """Return {key of SCORES: {"score": ..., "floor": ...}} for JSON, with None for nan."""
    both = {"score": scores, "floor": floor}
    return {
        name: {key: None if np.isnan(row[name]) else float(row[name]) for key, row in both.items()}
        for name in SCORES
    }


def format_scores(rows: dict[str, dict[str, float | None]]) -> str:
    """Return a line for each score of `beside_floor`."""
    lines = []
    for name, label in SCORES.items():
        cells = {key: "-" if value is None else f"{value:.3f}" for key, value in rows[name].items()}
        lines.append(f"  {label:<50} {cells['score']}   floor {cells['floor']}")
    return "\n".join(lines)
