from postergenres.dataset.imbalance import count_genres, imbalance_ratios
from postergenres.dataset.oversampling import (
    Rules,
    draw_sample,
    oversample_ml_ros,
    oversample_study,
)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FILL = ((1000, 0.9),)


def make_rules(
    oversampling="study", common_genres=1, fill=FILL, growth=1.0, max_copies=3, fraction=0.5
):
    limits = {"growth": growth, "max_copies": max_copies}
    return Rules(oversampling, fraction, common_genres, fill, **limits)


@st.composite
def movies(draw):
    """Draw labels of up to 60 movies and 8 genres, each movie with a genre; and drawn movies."""
    genres = draw(st.integers(1, 8))
    carried = st.sets(st.integers(0, genres - 1), min_size=1)
    rows = draw(st.lists(st.tuples(carried, st.booleans()), min_size=1, max_size=60))
    labels = np.zeros((len(rows), genres), dtype=np.uint8)
    for row, (carries, _) in enumerate(rows):
        labels[row, list(carries)] = 1
    drawn = np.array([is_drawn for _, is_drawn in rows], dtype=int)
    drawn[draw(st.integers(0, len(rows) - 1))] = 1
    return labels, drawn


def check_promises(labels, drawn, copies, max_copies):
    """Check what each strategy promises."""
    assert (copies >= drawn).all() and copies.max() <= max_copies
    before, after = (imbalance_ratios(count_genres(labels, part)) for part in (drawn, copies))
    assert (after <= before).all()  # no genre is rarer than before, relative to the most common
    assert after.mean() <= before.mean()  # MeanIR


@settings(deadline=None, max_examples=300)
@given(movies(), st.integers(1, 3), st.floats(0, 1), st.integers(1, 4), st.integers(0, 9))
def test_the_study_strategy_makes_no_genre_rarer(sample, common_genres, share, max_copies, seed):
    labels, drawn = sample
    rules = make_rules("study", common_genres, ((10, share),), max_copies=max_copies)
    copies = oversample_study(labels, drawn, rules, np.random.default_rng(seed))
    check_promises(labels, drawn, copies, max_copies)
    counts = count_genres(labels, drawn)
    common = np.argsort(counts, kind="stable")[-common_genres:]
    assert not labels[copies > drawn][:, common].any()


@settings(deadline=None, max_examples=300)
@given(movies(), st.floats(0, 2), st.integers(1, 4), st.integers(0, 9))
def test_ml_ros_makes_no_genre_rarer(sample, growth, max_copies, seed):
    labels, drawn = sample
    rules = make_rules("ml-ros", growth=growth, max_copies=max_copies)
    copies = oversample_ml_ros(labels, drawn, rules, np.random.default_rng(seed))
    check_promises(labels, drawn, copies, max_copies)
    assert not copies[drawn == 0].any()
    assert copies.sum() - drawn.sum() <= growth * drawn.sum()
    ratios = imbalance_ratios(count_genres(labels, drawn))
    minority = np.isfinite(ratios) & (ratios > ratios[np.isfinite(ratios)].mean())
    assert labels[copies > drawn][:, minority].any(axis=1).all()


def study(labels, drawn, **rules):
    return oversample_study(labels, drawn, make_rules(**rules), np.random.default_rng(0))


def ml_ros(labels, drawn, **rules):
    rules = make_rules("ml-ros", **rules)
    return oversample_ml_ros(labels, drawn, rules, np.random.default_rng(0))


def test_new_movies_are_added_before_movies_are_repeated():
    labels = np.array([[1, 0]] * 40 + [[0, 1]] * 10, dtype=np.uint8)
    drawn = np.array([1] * 42 + [0] * 8)
    few = study(labels, drawn, fill=((1000, 0.2),))
    assert few.max() == 1 and few @ labels[:, 1] == 2 + int(0.2 * 38)
    many = study(labels, drawn, fill=((1000, 0.5),))
    assert many @ labels[:, 1] == 2 + int(0.5 * 38) and set(many[40:]) == {2, 3}
    capped = study(labels, drawn, fill=((1000, 1),), max_copies=2)
    assert capped @ labels[:, 1] == 20


def test_a_movie_that_would_raise_another_genre_above_the_most_common_is_not_added():
    labels = np.array([[1, 0, 0]] * 10 + [[0, 1, 0]] * 8 + [[0, 1, 1]] * 10, dtype=np.uint8)
    copies = study(labels, np.array([1] * 19 + [0] * 9), fill=((1000, 1),))
    assert count_genres(labels, copies).tolist() == [10, 10, 2]


def test_movies_of_a_common_genre_are_not_added():
    labels = np.array([[1, 0]] * 20 + [[0, 1]] * 3 + [[1, 1]] * 5, dtype=np.uint8)
    drawn = np.array([1] * 21 + [0] * 7)
    copies = study(labels, drawn)
    assert copies[20:23].tolist() == [3, 3, 3] and not copies[23:].any()


def test_the_number_of_added_movies_depends_on_the_count_of_the_genre():
    # Of each genre, as many movies were drawn (A 100, B 50, C 30, D 10) as were not drawn.
    genres = np.repeat(np.arange(4), [100, 50, 30, 10])
    labels = np.tile(np.eye(4, dtype=np.uint8)[genres], (2, 1))
    drawn = np.repeat([1, 0], 190)
    copies = study(labels, drawn, fill=((10, 0.9), (40, 0.5)), max_copies=99)
    assert count_genres(labels, copies).tolist() == [100, 50, 30 + 35, 10 + 81]


def test_ml_ros_clones_the_minority_up_to_the_mean():
    # IRLbl 1, 2 and 10, MeanIR 4.33: only C is cloned, until 100 / 24 is below the mean
    labels = np.eye(3, dtype=np.uint8)[np.repeat(np.arange(3), [100, 50, 10])]
    drawn = np.ones(160, dtype=int)
    copies = ml_ros(labels, drawn, max_copies=99)
    assert count_genres(labels, copies).tolist() == [100, 50, 24]
    assert ml_ros(labels, drawn, growth=0.05, max_copies=99).sum() == 168
    assert ml_ros(labels, drawn, max_copies=2) @ labels[:, 2] == 20


@pytest.mark.parametrize("genres", [1, 2])
def test_nothing_is_added_if_no_genre_is_rare(genres):
    labels = np.eye(genres, dtype=np.uint8).repeat(5, axis=0)
    drawn = np.ones(len(labels), dtype=int)
    assert (study(labels, drawn, common_genres=2) == 1).all()
    assert (ml_ros(labels, drawn) == 1).all()


@pytest.mark.parametrize("strategy", ["study", "ml-ros", "none"])
def test_a_sample_is_drawn_and_oversampled_by_the_named_strategy(strategy):
    """Only "study" adds movies that were not drawn, only "none" adds nothing."""
    labels = np.eye(3, dtype=np.uint8)[np.repeat(np.arange(3), [100, 50, 10])]
    drawn, copies = draw_sample(labels, make_rules(strategy), seed=0)
    assert drawn.sum() == 80 and drawn.max() == 1
    assert (copies[drawn == 0] > 0).any() == (strategy == "study")
    assert (copies.sum() > 80) == (strategy != "none")


def test_a_fraction_of_the_movies_is_drawn_and_at_least_one():
    for movies, fraction, expected in ((10, 0.3, 3), (1000, 0.5, 500), (10, 0.001, 1)):
        labels = np.ones((movies, 1), dtype=np.uint8)
        drawn, _ = draw_sample(labels, make_rules("none", fraction=fraction), seed=0)
        assert np.bincount(drawn).tolist() == [movies - expected, expected]
