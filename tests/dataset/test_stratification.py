from postergenres.dataset.duplicates import PosterHash
from postergenres.dataset.stratification import Split, add_train_only, share_errors, split_movies
from postergenres.settings import SettingError

import numpy as np
import pandas as pd
import pytest

SPLIT = Split(0.15, 0.15, seed=0)


def draw_labels(movies, genres, seed, rarest=20):
    """Draw genres as imbalanced as real ones, from half of the movies to about `rarest`."""
    rng = np.random.default_rng(seed)
    labels = rng.random((movies, genres)) < np.geomspace(0.5, rarest / movies, genres)
    labels[~labels.any(axis=1), 0] = True
    return labels.astype(np.uint8)


def count_names(names):
    """Return the number of movies in train, val and test."""
    return [(names == name).sum() for name in ("train", "val", "test")]


@pytest.mark.parametrize("seed", range(3))
def test_every_genre_has_its_share_of_each_split(seed):
    labels = draw_labels(4000, 20, seed)
    split = Split(0.15, 0.15, seed)
    names = split_movies(labels, np.arange(4000), split)
    common = labels.sum(axis=0) >= 67  # 15 % of fewer may not be near a whole number
    assert np.nanmax(share_errors(labels, names, split.shares)[:, common]) <= 0.05
    assert count_names(names) == pytest.approx([2800, 600, 600], abs=30)


def test_a_group_stays_in_one_split():
    labels = draw_labels(1000, 8, 0, rarest=40)
    groups = np.random.default_rng(0).integers(0, 800, 1000)
    names = split_movies(labels, groups, SPLIT)
    for number in np.unique(groups):
        assert len(set(names[groups == number])) == 1


def test_genres_of_one_movie_are_spread_over_the_splits():
    names = split_movies(np.eye(100, dtype=np.uint8), np.arange(100), SPLIT)
    assert count_names(names) == [70, 15, 15]


def test_another_seed_gives_another_split():
    labels, groups = draw_labels(500, 6, 0), np.arange(500)
    first, again, other = (
        split_movies(labels, groups, Split(0.15, 0.15, seed)) for seed in (0, 0, 1)
    )
    assert (first == again).all() and (first != other).any()


def test_share_errors_are_relative_to_the_share():
    labels = np.ones((100, 1), dtype=np.uint8)
    names = np.repeat(["train", "val", "test"], [73, 15, 12])
    errors = share_errors(labels, names, SPLIT.shares).ravel()
    assert errors == pytest.approx([3 / 70, 0, 3 / 15])
    assert np.isnan(share_errors(labels[:19], names[:19], SPLIT.shares)).all()


def test_split_names_follow_the_shares():
    labels = np.ones((100, 1), dtype=np.uint8)
    assert count_names(split_movies(labels, np.arange(100), Split(0.15, 0.25, 0))) == [60, 15, 25]
    with pytest.raises(SettingError, match="test_share and val_share must .*, got 0.9 and 0.15"):
        Split(0.15, 0.9, 0)  # nothing is left to train on


# --- train-only movies; tests/test_sampling.py tries them in step 2 as a whole --------------------


def with_posters(movies, posters):
    """Add posters; those with the same letter are the same."""
    return movies.assign(poster=[PosterHash(letter.encode()) for letter in posters])


MOVIES = pd.DataFrame({"id": ["b", "d", "f"], "split": ["train", "val", "test"]})


def test_movies_with_the_poster_of_a_validation_or_test_movie_are_left_out():
    train_only = with_posters(pd.DataFrame({"id": ["a", "c", "e", "g"]}), "yxzu")
    joined = add_train_only(with_posters(MOVIES, "xyz"), train_only, near_duplicate=68)
    assert joined[["id", "split", "train_only"]].to_dict("list") == {
        "id": ["b", "c", "d", "f", "g"],
        "split": ["train", "train", "val", "test", "train"],
        "train_only": [False, True, False, False, True],
    }


@pytest.mark.parametrize("posters", ["", "yz"])
def test_no_train_only_movie_may_be_left(posters):
    """The second time, both are left out."""
    train_only = with_posters(pd.DataFrame({"id": list(posters)}, dtype=object), posters)
    joined = add_train_only(with_posters(MOVIES, "xyz"), train_only, near_duplicate=68)
    assert joined[["id", "split"]].equals(MOVIES)
    assert joined["train_only"].dtype == bool and not joined["train_only"].any()
