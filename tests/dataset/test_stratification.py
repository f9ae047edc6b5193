from postergenres.dataset.stratification import (
    Split,
    share_errors,
    split_movies,
    stratify,
)
from postergenres.settings import SettingError

import numpy as np
import pytest

SHARES = (0.7, 0.15, 0.15)


def draw_labels(movies, genres, seed, rarest=20):
    """Draw genres as imbalanced as real ones, from half of the movies to about `rarest`."""
    rng = np.random.default_rng(seed)
    labels = rng.random((movies, genres)) < np.geomspace(0.5, rarest / movies, genres)
    labels[~labels.any(axis=1), 0] = True
    return labels.astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_every_genre_has_its_share_of_each_split(seed):
    labels = draw_labels(4000, 20, seed)
    split = stratify(labels, np.arange(4000), SHARES, seed)
    common = labels.sum(axis=0) >= 67  # 15 % of fewer may not be near a whole number
    assert np.nanmax(share_errors(labels, split, SHARES)[:, common]) <= 0.05
    assert np.bincount(split) == pytest.approx([2800, 600, 600], abs=30)


def test_a_group_stays_in_one_split():
    labels = draw_labels(1000, 8, 0, rarest=40)
    groups = np.random.default_rng(0).integers(0, 800, 1000)
    split = stratify(labels, groups, SHARES, 0)
    for number in np.unique(groups):
        assert len(set(split[groups == number])) == 1


def test_genres_of_one_movie_are_spread_over_the_splits():
    labels = np.eye(100, dtype=np.uint8)
    split = stratify(labels, np.arange(100), SHARES, 0)
    assert np.bincount(split).tolist() == [70, 15, 15]


def test_another_seed_gives_another_split():
    labels = draw_labels(500, 6, 0)
    first, again, other = (stratify(labels, np.arange(500), SHARES, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_share_errors_are_relative_to_the_share():
    labels = np.ones((100, 1), dtype=np.uint8)
    split = np.repeat([0, 1, 2], [73, 15, 12])
    errors = share_errors(labels, split, SHARES).ravel()
    assert errors == pytest.approx([3 / 70, 0, 3 / 15])
    assert np.isnan(share_errors(labels[:19], split[:19], SHARES)).all()


def test_split_names_follow_the_shares():
    labels = np.ones((100, 1), dtype=np.uint8)
    split = split_movies(labels, np.arange(100), Split(0.15, 0.25, 0))
    names, counts = np.unique(split, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"train": 60, "val": 15, "test": 25}


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(SettingError, match="test_share and val_share must .*, got 0.9 and 0.15"):
        Split(0.15, 0.9, 0)
