"""Split multi-label data so that each split gets its share of each genre, common or rare."""

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

SPLITS = ("train", "val", "test")  # in the order of the numbers that stratify() returns
TOLERANCE = 0.1  # largest accepted error, as a share of the movies that a split should get
MAX_MOVES = 1000  # moves of balance_splits(), after which it returns what it has


def split_movies(labels, groups, val_share, test_share, seed):
    """Assign each movie to train, val or test, and print how even the genres are.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,), group number of each movie; a group is never divided.
        val_share, test_share: shares of the movies, together below 1.
        seed: another seed gives another split.

    Returns:
        Array of strings (movies,).
    """
    shares = (1 - val_share - test_share, val_share, test_share)
    split = stratify(labels, groups, shares, seed)
    if missing := [name for number, name in enumerate(SPLITS) if number not in split]:
        print(
            f"no movie for {' and '.join(missing)}: there are too few movies, or nearly all "
            "posters are alike. preprocessing.py will stop for this reason"
        )
    errors = share_errors(labels, split, shares)
    if not np.isnan(errors).all():
        print(
            "each split has its share of each genre with at least 20 movies; the largest error is "
            f"{np.nanmax(errors):.1%}"
        )
    return np.array(SPLITS)[split]


def stratify(labels, groups, shares, seed):
    """Assign each movie to a split by iterative stratification of multi-label data.

    The method is by Sechidis et al. 2011, On the Stratification of Multi-Label Data. The package
    iterative-stratification implements it, with errors of a few movies for some genres, which
    `balance_splits` reduces. A group of movies is treated as one movie with the genres of all. A
    genre with too few movies to reach every split is ignored.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,), group number of each movie; a group is never divided.
        shares: the share of the movies for each split, together 1.
        seed: of the random choices.

    Returns:
        int array (movies,), the number of each movie's split, in the order of `shares`.
    """
    units = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((units.max() + 1, labels.shape[1] + 1), dtype=int)
    np.add.at(counts[:, :-1], units, labels)
    counts[:, -1] = np.bincount(units)  # a genre of all movies, which evens the sizes of the splits
    is_stratified = (counts > 0).sum(axis=0) * min(shares) >= 1
    is_stratified[-1] = True
    counts = counts[:, is_stratified]
    random_state = np.random.RandomState(seed)
    split = IterativeStratification(counts > 0, np.array(shares), random_state)
    return balance_splits(counts, split, shares)[units]


def balance_splits(counts, split, shares):
    """Move one unit at a time to another split, as long as that reduces the largest error.

    Args:
        counts: (units, genres), how many movies of each unit have each genre.
        split: int (units,), the number of each unit's split.
        shares: the share of the movies for each split.

    Returns:
        int array (units,), the new numbers.
    """
    split = split.copy()
    expected = np.outer(shares, counts.sum(axis=0))
    present = count_splits(counts, split, len(shares))
    for _ in range(MAX_MOVES):
        excess = find_excess(present, expected)
        if not excess.any():
            break
        gain, unit, target = find_best_move(counts, split, present, expected, excess)
        if gain >= 0:
            break
        present[split[unit]] -= counts[unit]
        present[target] += counts[unit]
        split[unit] = target
    return split


def find_best_move(counts, split, present, expected, excess):
    """Find the move that reduces the excess most, among those that help the worst genre.

    Args:
        counts, split: see `balance_splits`.
        present, expected: (splits, genres), the movies that each split has and should have.
        excess: see `find_excess`.

    Returns:
        The change of the sum of the squared excess (0 if there is no move), the unit to move, and
        the split to move it to.
    """
    worst, genre = np.unravel_index(excess.argmax(), excess.shape)
    has_more = present[worst, genre] > expected[worst, genre]
    movable = (counts[:, genre] > 0) & ((split == worst) == has_more)
    moves = []
    for source in set(split[movable]):
        candidates = np.flatnonzero(movable & (split == source))
        for target in set(range(len(present))) - {source} if has_more else {worst}:
            after = [
                (find_excess(present[part] + sign * counts[candidates], expected[part]) ** 2).sum(1)
                for part, sign in ((source, -1), (target, 1))
            ]
            gain = sum(after) - (excess[[source, target]] ** 2).sum()
            gain = gain.round(9)  # the last digits of sums may differ between machines
            moves.append((gain.min(), candidates[gain.argmin()], target))
    return min(moves, default=(0, None, None))


def find_excess(present, expected):
    """Return by how many movies the error of each genre in each split exceeds what is accepted.

    Accepted is an error of TOLERANCE, or that of the nearest whole number, if this is larger.

    Args:
        present, expected: (..., genres), the movies that a split has and should have.
    """
    accepted = np.maximum(TOLERANCE * expected, abs(np.rint(expected) - expected))
    return np.maximum(0, abs(present - expected) - accepted - 1e-9)


def share_errors(labels, split, shares, min_movies=20):
    """Return the error of each genre's number of movies in each split, relative to its share.

    Returns:
        (splits, genres); nan for a genre with fewer than `min_movies`, whose shares cannot be even.
    """
    totals = labels.sum(axis=0)
    expected = np.outer(shares, np.where(totals >= min_movies, totals, np.nan))
    return abs(count_splits(labels, split, len(shares)) - expected) / expected


def count_splits(labels, split, splits):
    """Return the movies of each genre in each split: (splits, genres)."""
    return np.array([labels[split == number].sum(axis=0) for number in range(splits)])
