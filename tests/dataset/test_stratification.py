import numpy as np
import pytest

from postergenres.dataset.stratification import count_splits, find_excess, share_errors, stratify

SHARES = (0.7, 0.15, 0.15)


def draw_labels(movies, genres, seed, rarest=20):
    """As imbalanced as reality, from half of the movies down to about `rarest`."""
    rng = np.random.default_rng(seed)
    labels = rng.random((movies, genres)) < np.geomspace(0.5, rarest / movies, genres)
    labels[~labels.any(axis=1), 0] = True
    return labels.astype(np.uint8)


def excess(labels, split):
    return find_excess(count_splits(labels, split, 3), np.outer(SHARES, labels.sum(axis=0))).max()


@pytest.mark.parametrize("seed", range(3))
def test_every_genre_has_its_share_of_each_split(seed):
    labels = draw_labels(4000, 20, seed)
    split = stratify(labels, np.arange(4000), SHARES, seed)
    assert excess(labels, split) == 0
    common = labels.sum(axis=0) >= 67  # of fewer, 15 % may be no whole number within 10 %
    assert np.nanmax(share_errors(labels, split, SHARES)[:, common]) <= 0.1
    assert np.bincount(split) == pytest.approx([2800, 600, 600], abs=30)


def test_groups_stay_together():
    labels = draw_labels(1000, 8, 0, rarest=40)
    groups = np.random.default_rng(0).integers(0, 800, 1000)
    split = stratify(labels, groups, SHARES, 0)
    for number in np.unique(groups):
        assert len(set(split[groups == number])) == 1
    assert excess(labels, split) == 0


def test_genres_of_one_movie_do_not_all_go_to_train():
    labels = np.eye(100, dtype=np.uint8)
    split = stratify(labels, np.arange(100), SHARES, 0)
    assert np.bincount(split).tolist() == [70, 15, 15]


def test_another_seed_is_another_split():
    labels = draw_labels(500, 6, 0)
    first, again, other = (stratify(labels, np.arange(500), SHARES, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_errors_are_relative_to_the_share():
    labels = np.ones((100, 1), dtype=np.uint8)
    split = np.repeat([0, 1, 2], [73, 15, 12])
    assert count_splits(labels, split, 3).ravel().tolist() == [73, 15, 12]
    errors = share_errors(labels, split, SHARES).ravel()
    assert errors == pytest.approx([3 / 70, 0, 3 / 15])
    assert excess(labels, split) == pytest.approx(3 - 1.5)
    assert np.isnan(share_errors(labels[:19], split[:19], SHARES)).all()
