"""Scores of multi-label predictions, each beside its floor: the score of the prior.

The prior answers every movie alike, with the share of movies that carry each genre. It never looks
at a poster, so a model has learnt what it scores above the prior, and nothing more. The floor goes
through the same functions as the model, thresholds included.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import metrics

# The scores that are reported, in this order, and what a person reads beside them.
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

# What the study reports of 100 movies (Iacobelli's notebook), and what the prior of its own genre
# counts scores: the mean entropy of its shares, and the shares of its three commonest genres.
STUDY = {
    "binary_cross_entropy": {"score": 0.39, "floor": 0.389},
    "top3_success": {"score": 0.64, "floor": 0.650},
}

MIN_SUPPORT = 100  # movies of a genre below which a threshold of its own is chosen by chance
BINS = 15  # of the probabilities, to see whether they are calibrated


def estimate_prior(labels):
    """Share of movies that carry each genre, (G,): see `prior_of_counts`."""
    return prior_of_counts(labels.sum(axis=0), len(labels))


def prior_of_counts(counts, movies):
    """Share of movies that carry each genre, (G,), with half a movie added to each side.

    The half (Krichevsky and Trofimov 1981) keeps a genre that nobody carries off 0, where its
    cross-entropy would be infinite.
    """
    return (np.asarray(counts) + 0.5) / (movies + 1)


class Thresholds(NamedTuple):
    """At or above which probability a genre is predicted; each F1 has those that maximise it.

    One threshold per genre is best for macro F1 only. Held to them, the prior would predict every
    genre for every movie, and the floors of micro and samples F1 would be far too low.

    Attributes:
        genres: (G,), for macro F1, and to name the genres of a movie.
        micro, samples: one for all genres, for micro and samples F1.
    """

    genres: np.ndarray
    micro: float
    samples: float


def choose_thresholds(labels, probabilities, min_support=MIN_SUPPORT):
    """The thresholds that maximise F1.

    Args:
        labels: (N, G) of 0 and 1, of the validation split.
        probabilities: (N, G).
        min_support: a genre that fewer movies carry takes the threshold of micro F1. On a few
            movies the best threshold may lie anywhere, and often so low that the genre is
            predicted for every third movie (Yang 2001, A Study of Thresholding Strategies).

    Returns:
        Thresholds.
    """
    micro = best_threshold(labels.ravel(), probabilities.ravel())
    genres = np.full(labels.shape[1], micro, dtype=np.float64)
    for genre in np.flatnonzero(labels.sum(axis=0) >= max(min_support, 1)):
        genres[genre] = best_threshold(labels[:, genre], probabilities[:, genre])
    candidates = np.unique(np.quantile(probabilities, np.linspace(0, 1, 201), method="nearest"))
    samples = [f1_of_movies(labels, probabilities >= t).mean() for t in candidates]
    return Thresholds(genres, float(micro), float(candidates[np.argmax(samples)]))


def best_threshold(labels, scores):
    precision, recall, candidates = metrics.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return candidates[f1[:-1].argmax()]


def compute_scores(labels, probabilities, thresholds):
    """Score predictions, with scikit-learn where it has the metric.

    The Brier score is the mean squared error of a probability (Brier 1950), the expected
    calibration error the mean distance of the probabilities in a bin from the share of them that
    came true, over 15 bins (Guo et al. 2017), all genres together.

    Args:
        labels: (N, G) of 0 and 1.
        probabilities: (N, G).
        thresholds: Thresholds, for F1. Hamming loss takes 0.5, which is best for it.

    Returns:
        A dict of the keys of SCORES, and `average_precision`, (G,). A genre that no movie carries
        has the average precision nan and is left out of the macro means; macro ROC-AUC is that of
        the genres that some movies carry and others do not. What is of no genre at all is nan.
    """
    genres = np.flatnonzero(labels.any(axis=0))
    varied = [genre for genre in genres if not labels[:, genre].all()]
    predicted = probabilities >= thresholds.genres
    average_precision = np.full(labels.shape[1], np.nan)
    for genre in genres:
        average_precision[genre] = metrics.average_precision_score(
            labels[:, genre], probabilities[:, genre]
        )
    roc_auc = [metrics.roc_auc_score(labels[:, genre], probabilities[:, genre]) for genre in varied]
    f1 = [metrics.f1_score(labels[:, g], predicted[:, g], zero_division=0) for g in genres]
    flat, flat_probabilities = labels.ravel(), probabilities.ravel()
    per_movie = score_movies(labels, probabilities, thresholds)
    return {name: values.mean() for name, values in per_movie.items()} | {
        "mAP": average_precision[genres].mean(),
        "macro_roc_auc": np.mean(roc_auc) if roc_auc else np.nan,
        "micro_roc_auc": np.nan if flat.all() else metrics.roc_auc_score(flat, flat_probabilities),
        "macro_f1": np.mean(f1),
        "micro_f1": metrics.f1_score(flat, flat_probabilities >= thresholds.micro),
        "calibration_error": np.abs(gaps_of_movies(labels, probabilities).mean(axis=0)).sum(),
        "average_precision": average_precision,
    }


def score_movies(labels, probabilities, thresholds):
    """The scores that are means over movies, {name: (N,)}.

    `top3_success` is the study's measure: how many of the three most probable genres a movie
    carries. It can exceed 1.
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


def f1_of_movies(labels, predicted):
    """F1 of each movie's genres, (N,); 0 where it has none and none is predicted."""
    return 2 * (labels * predicted).sum(axis=1) / np.maximum((labels + predicted).sum(axis=1), 1)


def gaps_of_movies(labels, probabilities):
    """What each movie adds to the gap between truth and probability in each bin, (N, BINS)."""
    gaps = np.zeros((len(labels), BINS))
    movies = np.arange(len(labels))[:, None]
    np.add.at(gaps, (movies, number_bins(probabilities)), labels - probabilities)
    return gaps / labels.shape[1]


def number_bins(probabilities):
    return np.minimum((probabilities * BINS).astype(int), BINS - 1)


def measure_reliability(labels, probabilities):
    """The points of a reliability curve, of all genres together.

    Returns:
        A DataFrame with a row for each bin that is not empty: predicted, the mean probability in
        it; true, the share of them that came true; count, of movies times genres.
    """
    table = pd.DataFrame({"predicted": np.ravel(probabilities), "true": np.ravel(labels)})
    bins = table.groupby(number_bins(table["predicted"].to_numpy()))
    return bins.mean().assign(count=bins.size()).reset_index(drop=True)


def count_mistakes(labels, predicted):
    """Which genres are taken for which.

    Args:
        labels, predicted: (N, G) of 0 and 1.

    Returns:
        (G, G): of the movies that carry the genre of the row and not that of the column, the share
        that is said to carry that of the column, nan where there is none; and the same of all
        movies without the genre of the column, (G,), which is what a row would show if the genres
        of a movie made no difference.
    """
    labels = labels.astype(np.float64)
    wrong = (1 - labels) * predicted
    with np.errstate(invalid="ignore"):
        shares = labels.T @ wrong / (labels.T @ (1 - labels))
        return shares, wrong.sum(axis=0) / (1 - labels).sum(axis=0)


def score_prior(prior, labels, val_labels=None, min_support=MIN_SUPPORT):
    """The floor: the scores of an answer that is the prior for each movie.

    Args:
        prior: (G,), from the training movies.
        labels: (N, G), to score.
        val_labels: to choose the thresholds on; `labels` themselves where they are validation's.
    """
    val_labels = labels if val_labels is None else val_labels
    constant = np.broadcast_to(prior, val_labels.shape)
    thresholds = choose_thresholds(val_labels, constant, min_support)
    return compute_scores(labels, np.broadcast_to(prior, labels.shape), thresholds)


def beside_floor(scores, floor):
    """Two results of `compute_scores` as {key of SCORES: {"score": ..., "floor": ...}}.

    None stands for nan, which JSON does not have.
    """
    both = {"score": scores, "floor": floor}
    return {
        name: {key: None if np.isnan(row[name]) else float(row[name]) for key, row in both.items()}
        for name in SCORES
    }


def print_scores(rows):
    """Print what `beside_floor` returned, a line for each score."""
    for name, label in SCORES.items():
        shown = {key: "-" if value is None else f"{value:.3f}" for key, value in rows[name].items()}
        print(f"  {label:<50} {shown['score']}   prior {shown['floor']}")
