"""Confidence intervals of average precision that hold for rare genres, too.

The percentiles of a bootstrap lie too high for few positives: a movie that is drawn twice stands
twice in a row and raises the precision of itself. And if the few positives rank first, all
resamples score 1, and the interval has no width. Here the bootstrap only gives the standard error,
on the logit scale as in Boyd, Eng and Page (2013, Area under the Precision-Recall Curve: Point
Estimates and Confidence Intervals), and Student's t gives the width. The k positives are joined by
half a positive that ranks last, as in Jeffreys' interval of a proportion (Brown, Cai and DasGupta
2001); its weight varies, too. benchmarks/interval_coverage.py measures how often the intervals
contain the truth.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit

Values = Any  # an array, or one number

LEVEL = 0.95
HALF = 0.5  # positives that join each genre


def average_precision_intervals(
    scores: np.ndarray, resampled: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high, (G,), of the average precision of each genre; nan if the score is.

    Args:
        scores: (G,), nan for a genre without positives.
        resampled: (R, G), at the prevalence of the scores; nan if a resample has no positive.
        positives: (G,), the number of movies that have each genre.
    """
    centers = logit(join_half(scores, positives))
    errors = logit_errors(scores, resampled, positives)
    return logit_t_intervals(scores, centers, errors, positives)


def mean_average_precision_interval(
    scores: np.ndarray, resampled: np.ndarray, positives: np.ndarray
) -> tuple[Values, Values]:
    """Return the interval of the mean over genres of the average precision; nan without genres.

    The average precision of few positives is too high on average. For one genre that is little
    beside the error, but not for the mean of many genres: the bootstrap's estimate of the bias is
    subtracted. The degrees of freedom are those of Welch (1947) and Satterthwaite (1946). The
    arguments are those of `average_precision_intervals`.
    """
    present = ~np.isnan(scores)
    if not present.any():
        return np.nan, np.nan
    scores, resampled, positives = scores[present], resampled[:, present], positives[present]
    mean, together = scores.mean(), positives.sum()
    with ignoring_empty():
        means = np.nanmean(resampled, axis=1)
    variances = deviations(resampled) ** 2 + variance_of_half(scores, positives)
    freedom = variances.sum() ** 2 / (variances**2 / positives).sum()
    center = 2 * logit(join_half(mean, together)) - np.nanmean(logit(join_half(means, together)))
    return logit_t_intervals(mean, center, logit_errors(mean, means, together), freedom)


def join_half(scores: Values, positives: Values) -> Values:
    """Return the average precision once half a positive ranks last."""
    return scores * positives / (positives + HALF)


def variance_of_half(scores: Values, positives: Values) -> Values:
    """Return the variance of the average precision if the weight of the half has the variance HALF.

    A movie that is drawn with replacement has a weight of mean and variance 1.
    """
    return HALF * (join_half(scores, positives) / (positives + HALF)) ** 2


def logit_errors(scores: Values, resampled: np.ndarray, positives: Values) -> Values:
    """Return the standard errors of scores, (...), on the logit scale, from resamples, (R, ...)."""
    joined = join_half(scores, positives)
    of_half = variance_of_half(scores, positives) / (joined * (1 - joined)) ** 2
    return np.sqrt(deviations(logit(join_half(resampled, positives))) ** 2 + of_half)


def logit_t_intervals(
    scores: Values, centers: Values, errors: Values, freedom: Values
) -> tuple[Values, Values]:
    """Return low and high from centers and standard errors on the logit scale.

    An interval contains its score: a bound on the wrong side of the score moves there.
    """
    widths = stats.t.ppf((1 + LEVEL) / 2, freedom) * errors
    low, high = expit(centers - widths), expit(centers + widths)
    return np.minimum(low, scores), np.maximum(high, scores)


def deviations(values: np.ndarray) -> Values:
    """Return the standard deviation of each column, without nan; 0 if none is left."""
    with ignoring_empty():
        return np.nan_to_num(np.nanstd(values, axis=0))


@contextmanager
def ignoring_empty() -> Iterator[None]:
    """Silence NumPy for a genre without movies, or a mean over no genre, which is nan."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
