"""The genres with the highest expected F1."""

from itertools import product

from postergenres.scores.expected_f1 import choose_genres

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def compute_expected_f1(predicted, probabilities):
    """Return the expected F1 of a set of genres, by going through all sets of true genres."""
    expected = 0
    for true in product([0, 1], repeat=len(probabilities)):
        true = np.array(true)
        chance = np.prod(np.where(true, probabilities, 1 - probabilities))
        expected += chance * 2 * (true * predicted).sum() / max((true + predicted).sum(), 1)
    return expected


@settings(deadline=None)
@given(arrays(np.float64, (1, 5), elements=st.floats(0, 1)))
def test_no_other_set_of_genres_has_a_higher_expected_f1(probabilities):
    chosen = choose_genres(probabilities)[0]
    assert chosen.any()
    best = max(
        compute_expected_f1(np.array(other), probabilities[0])
        for other in product([0, 1], repeat=5)
        if any(other)
    )
    assert compute_expected_f1(chosen, probabilities[0]) == pytest.approx(best, abs=1e-9)


@settings(deadline=None)
@given(arrays(np.float64, (4, 30), elements=st.floats(0, 1, width=16)))
def test_the_most_probable_genres_are_chosen(probabilities):
    for chosen, row in zip(choose_genres(probabilities), probabilities, strict=True):
        assert row[chosen].min() >= row[~chosen].max(initial=0)


@pytest.mark.parametrize(
    ("probabilities", "genres"),
    [
        ([0.9, 0.01, 0.02], [0]),
        ([0.01, 0.4, 0.02], [1]),  # below every threshold, but the best guess
        ([0.6, 0.5, 0.4], [0, 1, 2]),
        ([0, 0, 0], [0]),
        ([1, 1, 0], [0, 1]),
        ([0.3, 0.3, 0.3], [0, 1, 2]),
        ([np.nan, np.nan, np.nan], []),
    ],
)
def test_examples(probabilities, genres):
    assert np.flatnonzero(choose_genres(np.array([probabilities]))[0]).tolist() == genres


def test_chunks_do_not_change_the_choice():
    probabilities = np.random.default_rng(0).random((50, 6)) ** 3
    probabilities[7] = np.nan
    assert (choose_genres(probabilities, cells=200) == choose_genres(probabilities)).all()
