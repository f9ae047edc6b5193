from postergenres.scores.intervals import (
    average_precision_intervals,
    logit_t_intervals,
    mean_average_precision_interval,
)

import numpy as np
import pytest
from conftest import ROOT, load_script
from scipy.special import expit


@pytest.fixture(scope="module")
def coverage():
    return load_script(ROOT / "benchmarks" / "interval_coverage.py")


@pytest.mark.parametrize("positives", [5, 20, pytest.param(100, marks=pytest.mark.slow)])
def test_the_interval_contains_the_truth_about_as_often_as_it_says(coverage, positives):
    """In 4 x 100 runs: 95 % within three standard errors of 1.1 and the two that are allowed."""
    rng = np.random.default_rng(0)
    tables = [coverage.cover(rng, positives, separation, 100) for separation in (1, 2, 3, 4)]
    assert np.mean([table["predict.py"][0] for table in tables]) == pytest.approx(0.95, abs=0.05)


def test_the_interval_of_the_mean_over_rare_genres_does_not_lie_too_high(coverage):
    rng, counts = np.random.default_rng(0), np.geomspace(5, 60, 8).astype(int)
    hits = coverage.cover_mean(rng, 500, counts, separation=1, runs=60)
    assert hits["percentile"][0] < 0.75 and hits["percentile"][1] > 0.25
    assert hits["predict.py"][0] > 0.85


def test_the_width_is_students_t_on_the_logit_scale():
    low, high = logit_t_intervals(0.5, 0.0, 0.1, 3)  # three degrees of freedom
    assert [low, high] == pytest.approx(expit([-0.31824, 0.31824]), abs=1e-5)


def test_fewer_positives_give_a_wider_interval():
    resampled = np.random.default_rng(0).normal(0.5, 0.05, (1000, 1)).repeat(3, axis=1)
    low, high = average_precision_intervals(np.full(3, 0.5), resampled, np.array([3, 30, 3000]))
    assert (np.diff(high - low) < 0).all()
    assert low[2] == pytest.approx(0.5 - 1.96 * 0.05, abs=0.01)


@pytest.mark.filterwarnings("error")
def test_a_genre_without_movies_has_no_interval_and_is_in_no_mean():
    scores, positives = np.array([np.nan, 0.5]), np.array([0, 10])
    resampled = np.column_stack([np.full(50, np.nan), np.linspace(0.4, 0.6, 50)])
    low, high = average_precision_intervals(scores, resampled, positives)
    assert np.isnan([low[0], high[0]]).all() and low[1] < 0.5 < high[1]
    interval = mean_average_precision_interval(scores, resampled, positives)
    alone = mean_average_precision_interval(scores[1:], resampled[:, 1:], positives[1:])
    assert interval == alone
    nothing = mean_average_precision_interval(scores[:1], resampled[:, :1], positives[:1])
    assert np.isnan(nothing).all()


@pytest.mark.filterwarnings("error")
def test_one_positive_has_an_interval_too():
    resampled = np.array([[0.2], [0.3], [np.nan], [0.2]])
    low, high = average_precision_intervals(np.array([0.25]), resampled, np.array([1]))
    assert 0 <= low[0] < 0.25 < high[0] <= 1
