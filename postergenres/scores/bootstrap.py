"""Compare a model with the prior on the same movies, with 95 % bootstrap intervals.

Movies are drawn with replacement (Efron 1979). A resample is a weight per movie: how often it was
drawn. Many resamples are scored at once, and the predictions are sorted only once.

The intervals are percentiles of the resamples, except for average precision and its mean, which
would get too high ones: see intervals.py. Their resamples keep the prevalence of the test movies,
because the split is stratified. The expected calibration error has no interval: it is a sum of
distances, which chance only makes larger, so that nearly all resamples of well calibrated
probabilities score more than the truth.
"""

from typing import NamedTuple

from postergenres.scores.intervals import (
    average_precision_intervals,
    ignoring_empty,
    mean_average_precision_interval,
)
from postergenres.scores.metrics import (
    SCORES,
    Thresholds,
    compute_scores,
    score_movies,
    score_prior,
)

import numpy as np
import pandas as pd

RESAMPLES = 1000
INTERVAL = (  # as metrics.json and the report describe it
    f"95 % bootstrap over movies, {RESAMPLES:,} resamples; percentiles, except for average "
    "precision and mAP: Student's t on the logit scale, at the prevalence of the test movies; none "
    "for the calibration error, which chance only makes larger"
)
FEW_MOVIES = 500  # with fewer, the interval of mAP is too narrow: benchmarks/interval_coverage.py
WEIGHTS = 2**21  # 70 MB for each of a few arrays

Ranking = tuple[np.ndarray, np.ndarray, np.ndarray]  # see `rank`


class ComparedScores(NamedTuple):
    """The scores of a model beside their floors: the columns score, low, high and floor.

    Low and high bound the 95 % interval that INTERVAL describes; nan for the calibration error.
    """

    overall: pd.DataFrame  # by the keys of SCORES
    per_genre: pd.DataFrame  # average precision; its first column is the number of movies


def compare_with_prior(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: Thresholds,
    prior: np.ndarray,
    val_labels: np.ndarray,
    seed: int = 0,
) -> ComparedScores:
    """Score a model and the prior, (G,), on test movies, (N, G).

    The thresholds of the model are chosen on the validation movies, and so are those of the prior,
    from `val_labels`, (M, G).
    """
    model = compute_scores(labels, probabilities, thresholds)
    floor = score_prior(prior, labels, val_labels)
    resampled = bootstrap(labels, probabilities, thresholds, seed=seed)
    movies = labels.sum(axis=0)
    of_genres = model["average_precision"], resampled["average_precision"], movies
    with ignoring_empty():  # all resamples of a score may be nan
        bounds = {
            name: [*np.nanpercentile(resampled[name], [2.5, 97.5])]
            for name in SCORES
            if name in resampled
        }
    bounds["mAP"] = [*mean_average_precision_interval(*of_genres)]
    bounds["calibration_error"] = [np.nan, np.nan]
    low, high = average_precision_intervals(*of_genres)
    overall = pd.DataFrame(
        [(model[name], *bounds[name], floor[name]) for name in SCORES],
        index=pd.Index(SCORES, name="metric"),
        columns=pd.Index(["score", "low", "high", "floor"]),
    )
    per_genre = pd.DataFrame(
        {
            "movies": movies,
            "score": model["average_precision"],
            "low": low,
            "high": high,
            "floor": floor["average_precision"],
        }
    )
    return ComparedScores(overall, per_genre)


def describe_mean_interval(movies: int) -> list[str]:
    """Return what a reader must know about the interval of mAP on this number of test movies."""
    lines = ["mAP is too high if few movies have a genre; its interval is corrected for that"]
    if movies < FEW_MOVIES:
        lines.append(
            f"with fewer than {FEW_MOVIES} test movies, the interval of mAP holds in 83 to 96 % of "
            "simulations"
        )
    return lines


def bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: Thresholds,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weights: int = WEIGHTS,
) -> dict[str, np.ndarray]:
    """Return the `WeightedScores` of resamples of the movies.

    At most `weights` movies x genres x resamples are scored at once, to bound the memory.
    """
    rng = np.random.default_rng(seed)
    count = len(labels)
    scores = WeightedScores(labels, probabilities, thresholds)
    chunk = max(1, weights // labels.size)
    parts = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        draws = rng.multinomial(count, np.full(count, 1 / count), size).astype(np.float32)
        parts.append(scores.score(draws))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class WeightedScores:
    """Compute `metrics.compute_scores` for many weightings of the movies at once.

    What does not depend on the weights, mainly the order of the probabilities, is computed once.
    """

    def __init__(
        self, labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds
    ) -> None:
        self.labels, self.predicted = labels, probabilities >= thresholds.genres
        self.flat_labels = labels.reshape(-1, 1)
        self.flat_predicted = probabilities.reshape(-1, 1) >= thresholds.micro
        self.rankings = [rank(*columns) for columns in zip(labels.T, probabilities.T, strict=True)]
        self.flat_ranking = rank(labels.ravel(), probabilities.ravel())
        self.per_movie = score_movies(labels, probabilities, thresholds)

    def score(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return what `compute_scores` does, each value with a leading axis of R weightings.

        `weights` is (R, N), how often each movie counts. Average precision and mAP are at the
        prevalence of all movies. The calibration error is left out.
        """
        ranked = [score_ranking(ranking, weights) for ranking in self.rankings]
        average_precision, roc_auc = (np.stack(each, axis=1) for each in zip(*ranked, strict=True))
        f1 = f1_weighted(self.labels, self.predicted, weights)
        f1[weights @ self.labels == 0] = np.nan
        flat_weights = np.repeat(weights, self.labels.shape[1], axis=1)
        micro_f1 = f1_weighted(self.flat_labels, self.flat_predicted, flat_weights)[:, 0]
        counts = weights.sum(axis=1)
        means = {name: weights @ values / counts for name, values in self.per_movie.items()}
        with ignoring_empty():
            return means | {
                "mAP": np.nanmean(average_precision, axis=1),
                "macro_roc_auc": np.nanmean(roc_auc, axis=1),
                "micro_roc_auc": score_ranking(self.flat_ranking, flat_weights)[1],
                "macro_f1": np.nanmean(f1, axis=1),
                "micro_f1": micro_f1,
                "average_precision": average_precision,
            }


def f1_weighted(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the F1 of each column for each weighting, (R, columns)."""
    positives = weights @ (labels + predicted.astype(weights.dtype))  # true plus predicted ones
    return 2 * (weights @ (labels * predicted)) / np.maximum(positives, 1)


def rank(labels: np.ndarray, scores: np.ndarray) -> Ranking:
    """Return the order of scores, (N,), from the highest, the last place of each tie, labels."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, last_of_ties, labels[order]


def score_ranking(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return average precision and ROC-AUC for weightings, (R, N), with ties as in scikit-learn.

    Both are (R,); nan if a weighting leaves no positive or, for ROC-AUC, no negative. The average
    precision is at the prevalence of all movies: the weights of the positives are scaled to their
    number, and so are those of the negatives.
    """
    order, last_of_ties, labels = ranking
    weights = weights[:, order].astype(np.float64)
    true_positives = np.cumsum(weights * labels, axis=1)[:, last_of_ties]
    predicted = np.cumsum(weights, axis=1)[:, last_of_ties]
    false_positives = predicted - true_positives
    new_true_positives = np.diff(true_positives, axis=1, prepend=0)
    positives, negatives = true_positives[:, -1], false_positives[:, -1]
    count = labels.sum(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        true_share = true_positives / positives[:, None] * count
        false_share = false_positives / np.maximum(negatives, 1)[:, None] * (len(labels) - count)
        precision = true_share / np.maximum(true_share + false_share, 1e-12)
        average_precision = (new_true_positives * precision).sum(axis=1) / positives
        above = true_positives - new_true_positives / 2  # the trapezoidal rule: a tie counts half
        area = (np.diff(false_positives, axis=1, prepend=0) * above).sum(axis=1)
        return average_precision, area / (positives * negatives)
