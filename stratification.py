"""The split of multi-label data in which each genre, common or rare, has its share of each part."""

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

ATTEMPTS = 20  # splits that are drawn at most until one is as even as it should be
TOLERANCE = 0.1  # of a genre's share of a split


def stratify(labels, groups, shares, seed):
    """Assign each movie to a split by multi-label iterative stratification.

    Sechidis et al. 2011, On the Stratification of Multi-Label Data, by the package
    iterative-stratification. The movies of a group are assigned together, as one movie with the
    genres of all. Genres too rare to reach each split are left out of the stratification. Of some
    attempts the most even is taken, the first that is even enough ends them.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,) group number of each movie.
        shares: of the movies for each split, together 1.

    Returns:
        int array (movies,), the split of each movie, in the order of `shares`.
    """
    units = np.unique(groups, return_inverse=True)[1]
    unit_labels = np.zeros((units.max() + 1, labels.shape[1] + 1), dtype=bool)
    unit_labels[:, -1] = True  # carried by all: it keeps the sizes of the splits even
    np.logical_or.at(unit_labels[:, :-1], units, labels.astype(bool))
    is_stratified = unit_labels.sum(axis=0) * min(shares) >= 1
    is_stratified[-1] = True

    random_state = np.random.RandomState(seed)
    best, least = None, np.inf
    for _ in range(ATTEMPTS):
        split = IterativeStratification(
            unit_labels[:, is_stratified], np.array(shares), random_state
        )[units]
        excess = find_excess(labels, split, shares)
        if excess < least:
            best, least = split, excess
        if least == 0:
            break
    return best


def find_excess(labels, split, shares):
    """By how many movies a genre is further off its share of a split than it should be, at worst.

    It should be within TOLERANCE, or, where no whole number is, at the nearest one.
    """
    due = np.outer(shares, labels.sum(axis=0))
    allowed = np.maximum(TOLERANCE * due, abs(np.rint(due) - due))
    off = abs(count_splits(labels, split, len(shares)) - due)
    return max(0, (off - allowed - 1e-9).max())


def share_errors(labels, split, shares, min_movies=20):
    """How far each genre is off its share of each split, relative to that share.

    Returns:
        (splits, genres); nan for genres of fewer than `min_movies`, which have no even share.
    """
    totals = labels.sum(axis=0)
    due = np.outer(shares, np.where(totals >= min_movies, totals, np.nan))
    return abs(count_splits(labels, split, len(shares)) - due) / due


def count_splits(labels, split, splits):
    """Movies of each genre in each split: (splits, genres)."""
    return np.array([labels[split == number].sum(axis=0) for number in range(splits)])
