"""A model beside the prior on the same movies, with 95 % bootstrap intervals.

Movies are drawn with replacement (Efron 1979). A resample is a weight per movie, how often it was
drawn, so that many are scored at once without sorting anew.
"""

import warnings

import numpy as np
import pandas as pd
from tqdm import tqdm

from evaluation import SCORES, gaps_of_movies, score, score_movies, score_prior

RESAMPLES = 1000


def compare_with_prior(labels, probabilities, thresholds, prior, val_labels, seed=0):
    """Score a model beside the prior.

    Args:
        labels, probabilities: (N, G), of the test movies.
        thresholds: of the model, chosen on the validation movies.
        prior: (G,), from the training movies; its thresholds are chosen on `val_labels`.

    Returns:
        Two DataFrames with columns score, low, high, floor: one row per key of SCORES, and one row
        per genre (its average precision; also `movies` that carry it). Low and high bound the 95 %
        bootstrap interval over movies.
    """
    model = score(labels, probabilities, thresholds)
    floor = score_prior(prior, labels, val_labels)
    resampled = bootstrap(labels, probabilities, thresholds, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nan for a genre that no movie carries
        low_high = {
            name: np.nanpercentile(values, [2.5, 97.5], axis=0)
            for name, values in resampled.items()
        }

    overall = pd.DataFrame(
        [[model[name], *low_high[name], floor[name]] for name in SCORES],
        columns=["score", "low", "high", "floor"],
        index=pd.Index(SCORES, name="metric"),
    )
    low, high = low_high["average_precision"]
    per_genre = pd.DataFrame(
        {
            "movies": labels.sum(axis=0),
            "score": model["average_precision"],
            "low": low,
            "high": high,
            "floor": floor["average_precision"],
        }
    )
    return overall, per_genre


def bootstrap(labels, probabilities, thresholds, resamples=RESAMPLES, seed=0, chunk=50):
    """Score resamples of the movies, `chunk` at once.

    Returns:
        {name: (resamples,)} for the keys of SCORES, and `average_precision`, (resamples, G).
    """
    rng = np.random.default_rng(seed)
    count = len(labels)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float32)
    starts = range(0, resamples, chunk)
    parts = [
        score_weighted(labels, probabilities, thresholds, draws[start : start + chunk])
        for start in tqdm(starts, desc="intervals", unit="chunk", leave=False, disable=None)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def score_weighted(labels, probabilities, thresholds, weights):
    """`score` for many weightings of the movies at once.

    Args:
        weights: (R, N), how often each movie counts.

    Returns:
        As `score`, with a leading axis of R.
    """
    ranked = [
        rank_scores(labels[:, genre], probabilities[:, genre], weights)
        for genre in range(labels.shape[1])
    ]
    average_precision, roc_auc = (np.stack(values, axis=1) for values in zip(*ranked, strict=True))
    f1 = f1_weighted(labels, probabilities >= thresholds.genres, weights)
    f1[weights @ labels == 0] = np.nan
    flat, flat_probabilities = labels.reshape(-1, 1), probabilities.reshape(-1, 1)
    flat_weights = np.repeat(weights, labels.shape[1], axis=1)
    micro_f1 = f1_weighted(flat, flat_probabilities >= thresholds.micro, flat_weights)[:, 0]
    per_movie = score_movies(labels, probabilities, thresholds)
    counts = weights.sum(axis=1)
    means = {name: weights @ values / counts for name, values in per_movie.items()}
    gaps = weights @ gaps_of_movies(labels, probabilities) / counts[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of no genre is nan
        return means | {
            "mAP": np.nanmean(average_precision, axis=1),
            "macro_roc_auc": np.nanmean(roc_auc, axis=1),
            "micro_roc_auc": rank_scores(flat[:, 0], flat_probabilities[:, 0], flat_weights)[1],
            "macro_f1": np.nanmean(f1, axis=1),
            "micro_f1": micro_f1,
            "calibration_error": np.abs(gaps).sum(axis=1),
            "average_precision": average_precision,
        }


def f1_weighted(labels, predicted, weights):
    """F1 of each column under each weighting, (R, columns)."""
    answers = weights @ (labels + predicted.astype(weights.dtype))
    return 2 * (weights @ (labels * predicted)) / np.maximum(answers, 1)


def rank_scores(labels, scores, weights):
    """Average precision and ROC-AUC for many weightings at once, ties as in scikit-learn.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,).
        weights: (R, N).

    Returns:
        Two arrays (R,); nan where a weighting leaves no positive (or, for ROC-AUC, no negative).
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    weights = weights[:, order].astype(np.float64)
    true_positives = np.cumsum(weights * labels[order], axis=1)[:, last_of_ties]
    answers = np.cumsum(weights, axis=1)[:, last_of_ties]
    false_positives = answers - true_positives
    gained = np.diff(true_positives, axis=1, prepend=0)
    precision = true_positives / np.maximum(answers, 1)
    positives, negatives = true_positives[:, -1], false_positives[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        average_precision = (gained * precision).sum(axis=1) / positives
        above = true_positives - gained / 2  # half of a tie counts, as the trapezoid has it
        area = (np.diff(false_positives, axis=1, prepend=0) * above).sum(axis=1)
        return average_precision, area / (positives * negatives)
