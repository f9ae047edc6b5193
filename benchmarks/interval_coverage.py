"""Measure how often 95 % intervals of average precision contain the truth, and where they miss.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --runs 500

A run draws MOVIES scores of movies: a standard normal distribution, shifted by a separation for the
movies that have the genre. The truth is the average precision of infinitely many movies with the
same share of the genre. The number of positives is fixed, as in a stratified split.

Prints  for each number of positives and each method the coverage at each separation and its mean,
        then for mAP over genres of different sizes
Takes   about ten minutes, most of them for mAP
"""

import argparse

from postergenres.scores.intervals import (
    average_precision_intervals,
    mean_average_precision_interval,
)

import numpy as np
from scipy import stats
from scipy.special import expit, logit

# --- settings -------------------------------------------------------------------------------------
MOVIES = 2248  # test movies of the study's posters
POSITIVES = (5, 20, 100)  # movies that have the genre
SEPARATIONS = (0, 1, 2, 3, 4)  # standard deviations
RUNS = 1000
RESAMPLES = 500
# The movies of a set, and the positives of each genre for mAP: real posters, `FEW_MOVIES` of
# bootstrap.py, and the demonstration.
SETS = {
    "2,248 movies, 23 genres of 5 to 1,100": (2248, np.geomspace(5, 1100, 23).astype(int)),
    "500 movies, 14 genres of 15 to 156": (500, np.geomspace(15, 156, 14).astype(int)),
    "96 movies, 14 genres of 3 to 30": (96, np.geomspace(3, 30, 14).astype(int)),
}
QUANTILES = np.array([0.025, 0.975])
# --------------------------------------------------------------------------------------------------


def main(runs=RUNS):
    rng = np.random.default_rng(0)
    for positives in POSITIVES:
        print(
            f"\n{positives} positives: coverage in %, in brackets the share of intervals that lie"
        )
        print("too high")
        tables = [cover(rng, positives, separation, runs) for separation in SEPARATIONS]
        truths = [population_score(MOVIES, positives, separation) for separation in SEPARATIONS]
        print_row("true average precision", [f"{truth:.4f}" for truth in truths] + ["mean"])
        for method in tables[0]:
            hits = np.array([table[method] for table in tables])
            print_row(method, [*map(cell, hits), f"{100 * hits[:, 0].mean():.1f}"])
    for name, (movies, counts) in SETS.items():
        print(f"\nmAP, {name}")
        print_row("separation", SEPARATIONS[:4])
        tables = [cover_mean(rng, movies, counts, each, runs // 2) for each in SEPARATIONS[:4]]
        for method in tables[0]:
            print_row(method, [cell(table[method]) for table in tables])


def cell(hits):
    covered, above = 100 * hits
    return f"{covered:.1f} ({above:.1f})"


def print_row(name, cells):
    print(f"{name:<24}" + "".join(f"{str(each):>14}" for each in cells), flush=True)


def population_score(movies, positives, separation):
    """Return the average precision of infinitely many movies with this share of positives."""
    thresholds = np.linspace(-12, 12 + separation, 100_001)
    found = positives * stats.norm.sf(thresholds - separation)
    others = (movies - positives) * stats.norm.sf(thresholds)
    precision = found / np.maximum(found + others, 1e-300)
    return np.trapezoid(precision * stats.norm.pdf(thresholds - separation), thresholds)


# --- one genre ------------------------------------------------------------------------------------


def draw_gaps(rng, movies, positives, separation):
    """Draw scores; return the number of negatives before each positive, and after the last one."""
    shifted = np.sort(-rng.normal(separation, 1, positives))
    others = np.sort(-rng.normal(0, 1, movies - positives))
    return np.diff(np.searchsorted(others, shifted), prepend=0, append=len(others))


def resample(rng, gaps, resamples, is_stratified=False):
    """Draw movies with replacement; only the number of draws between two positives matters.

    Returns:
        The draws of each positive, (R, k), and of the negatives between them, (R, k + 1).
    """
    positives, negatives = len(gaps) - 1, gaps.sum()
    if is_stratified:
        draws = rng.multinomial(positives, np.full(positives, 1 / positives), resamples)
        return draws, rng.multinomial(negatives, gaps / negatives, resamples)
    movies = positives + negatives
    shares = np.append(np.ones(positives), gaps) / movies
    draws = rng.multinomial(movies, shares, resamples)
    draws = draws[draws[:, :positives].any(axis=1)]
    return draws[:, :positives], draws[:, positives:]


def average_precision(weights, gaps):
    """Return the average precision of R weightings of positives, (R, k), and negatives before."""
    found = np.cumsum(weights, axis=1)
    predicted = found + np.cumsum(gaps[:, : weights.shape[1]], axis=1)
    return (weights * found / np.maximum(predicted, 1e-9)).sum(axis=1) / found[:, -1]


def at_fixed_prevalence(weights, gaps):
    """Return the average precision with as many positives and negatives as there really are."""
    positives, negatives = weights.shape[1], gaps[0].sum()
    movies = weights[0].sum() + negatives
    weights = weights * (positives / weights.sum(axis=1, keepdims=True))
    return average_precision(
        weights, gaps * ((movies - positives) / gaps.sum(axis=1, keepdims=True))
    )


def cover(rng, positives, separation, runs):
    """Return for each method the share of intervals that contain the truth, and that exceed it."""
    truth = population_score(MOVIES, positives, separation)
    hits = {}
    for _ in range(runs):
        gaps = draw_gaps(rng, MOVIES, positives, separation)
        for name, (low, high) in compute_intervals(rng, gaps).items():
            hits.setdefault(name, []).append((low <= truth <= high, truth < low))
    return {name: np.mean(each, axis=0) for name, each in hits.items()}


def compute_intervals(rng, gaps):
    """Return {method: (low, high)} for one genre."""
    positives = len(gaps) - 1
    score = average_precision(np.ones((1, positives)), gaps[None])[0]
    draws = resample(rng, gaps, RESAMPLES)
    plain, fixed = average_precision(*draws), at_fixed_prevalence(*draws)
    stratified = average_precision(*resample(rng, gaps, RESAMPLES, is_stratified=True))
    clipped = np.clip([score, *plain], 1e-6, 1 - 1e-6)
    error = logit(clipped[1:]).std()
    center, t = logit(clipped[0]), stats.t.ppf(QUANTILES, positives - 1)
    binomial = 1 / np.sqrt(positives * clipped[0] * (1 - clipped[0]))
    low, high = average_precision_intervals(
        np.array([score]), fixed[:, None], np.array([positives])
    )
    return {
        "percentile": np.quantile(plain, QUANTILES),
        "basic": 2 * score - np.quantile(plain, QUANTILES[::-1]),
        "BCa": bca(score, plain, gaps),
        "percentile, stratified": np.quantile(stratified, QUANTILES),
        "logit, normal": expit(center + stats.norm.ppf(QUANTILES) * error),
        "logit, t": expit(center + t * error),
        "logit, binomial": expit(center + stats.norm.ppf(QUANTILES) * binomial),
        "predict.py": (low[0], high[0]),
    }


def bca(score, resampled, gaps):
    """Return the bias-corrected and accelerated interval (Efron 1987)."""
    positives = len(gaps) - 1
    weights, left = np.ones((2 * positives + 1, positives)), np.tile(gaps, (2 * positives + 1, 1))
    places = np.arange(positives)
    weights[places, places] = 0
    left[positives + np.arange(positives + 1), np.arange(positives + 1)] -= 1
    counts = np.append(np.ones(positives), gaps)  # movies whose removal has the same effect
    removed = average_precision(weights, np.maximum(left, 0))
    distances = np.average(removed, weights=counts) - removed
    spread = (counts * distances**2).sum()
    skew = (counts * distances**3).sum() / (6 * spread**1.5) if spread > 1e-20 else 0
    below = (resampled < score).mean() + (resampled == score).mean() / 2
    bias = stats.norm.ppf(np.clip(below, 1e-4, 1 - 1e-4))
    shifted = bias + stats.norm.ppf(QUANTILES)
    return np.quantile(resampled, stats.norm.cdf(bias + shifted / (1 - skew * shifted)))


# --- mAP ------------------------------------------------------------------------------------------


def cover_mean(rng, movies, counts, separation, runs):
    """Return what `cover` does for the mean over genres, which are independent here."""
    truth = np.mean([population_score(movies, count, separation) for count in counts])
    hits = {}
    for _ in range(runs):
        scores, plain, fixed = np.empty(len(counts)), [], []
        for genre, count in enumerate(counts):
            gaps = draw_gaps(rng, movies, count, separation)
            scores[genre] = average_precision(np.ones((1, count)), gaps[None])[0]
            draws = resample(rng, gaps, RESAMPLES)
            plain.append(pad(average_precision(*draws)))
            fixed.append(pad(at_fixed_prevalence(*draws)))
        plain, fixed = np.column_stack(plain), np.column_stack(fixed)
        methods = {
            "percentile": np.quantile(np.nanmean(plain, axis=1), QUANTILES),
            "predict.py": mean_average_precision_interval(scores, fixed, counts),
        }
        for name, (low, high) in methods.items():
            hits.setdefault(name, []).append((low <= truth <= high, truth < low))
    return {name: np.mean(each, axis=0) for name, each in hits.items()}


def pad(scores):
    """Return RESAMPLES scores, nan for those of resamples without a positive."""
    return np.append(scores, np.full(RESAMPLES - len(scores), np.nan))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the coverage of intervals.")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"default: {RUNS}")
    main(**vars(parser.parse_args()))
