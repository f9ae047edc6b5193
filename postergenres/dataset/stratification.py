"""The split of multi-label data in which each genre, common or rare, has its share of each part."""

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

TOLERANCE = 0.1  # of a genre's share of a split


def stratify(labels, groups, shares, seed):
    """Assign each movie to a split by multi-label iterative stratification.

    Sechidis et al. 2011, On the Stratification of Multi-Label Data, by the package
    iterative-stratification, which leaves some genres a movie off; `mend` moves these. The movies
    of a group are assigned together, as one movie with the genres of all. Genres too rare to reach
    each split are left out of the stratification.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,) group number of each movie.
        shares: of the movies for each split, together 1.

    Returns:
        int array (movies,), the split of each movie, in the order of `shares`.
    """
    units = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((units.max() + 1, labels.shape[1] + 1), dtype=int)
    np.add.at(counts[:, :-1], units, labels)
    counts[:, -1] = np.bincount(units)  # movies: it keeps the sizes of the splits even
    is_stratified = (counts > 0).sum(axis=0) * min(shares) >= 1
    is_stratified[-1] = True
    counts = counts[:, is_stratified]
    random_state = np.random.RandomState(seed)
    split = IterativeStratification(counts > 0, np.array(shares), random_state)
    return mend(counts, split, shares)[units]


def mend(counts, split, shares, most=1000):
    """Move units between splits, one at a time, while a genre is further off than it should be.

    Args:
        counts: (units, genres), the movies of a unit that carry each genre.
        split: (units,).
        most: moves, after which it is left as it is.
    """
    split = split.copy()
    due = np.outer(shares, counts.sum(axis=0))
    have = count_splits(counts, split, len(shares))
    for _ in range(most):
        excess = find_excess(have, due)
        if not excess.any():
            break
        worst, genre = np.unravel_index(excess.argmax(), excess.shape)
        has_more = have[worst, genre] > due[worst, genre]
        movable = (counts[:, genre] > 0) & ((split == worst) == has_more)
        moves = []  # (how uneven the splits are after it, unit, to which split)
        for source in set(split[movable]):
            candidates = np.flatnonzero(movable & (split == source))
            for target in set(range(len(shares))) - {source} if has_more else {worst}:
                after = [
                    (find_excess(have[number] + sign * counts[candidates], due[number]) ** 2).sum(1)
                    for number, sign in ((source, -1), (target, 1))
                ]
                gain = sum(after) - (excess[[source, target]] ** 2).sum()
                gain = gain.round(9)  # sums may differ in the last digit between machines
                moves.append((gain.min(), candidates[gain.argmin()], target))
        gain, unit, target = min(moves, default=(0, None, None))
        if gain >= 0:
            break
        have[split[unit]] -= counts[unit]
        have[target] += counts[unit]
        split[unit] = target
    return split


def find_excess(have, due):
    """By how many movies genres are further off their due share of a split than they should be.

    They should be within TOLERANCE, or, where no whole number is, at the nearest one.
    """
    allowed = np.maximum(TOLERANCE * due, abs(np.rint(due) - due))
    return np.maximum(0, abs(have - due) - allowed - 1e-9)


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


SPLITS = ("train", "val", "test")  # in the order in which stratify() numbers them


def split_movies(labels, groups, val_share, test_share, seed):
    """The split of each movie, train, val or test, as strings; every genre has its share in each.

    Movies of one group, whose posters are alike, stay together.
    """
    from postergenres.dataset.stratification import share_errors, stratify

    shares = (1 - val_share - test_share, val_share, test_share)
    split = stratify(labels, groups, shares, seed)
    if missing := [name for number, name in enumerate(SPLITS) if number not in split]:
        print(
            f"no movie for {' and '.join(missing)}: too few movies, or nearly all posters are "
            "alike. Step 3 will stop there"
        )
    errors = share_errors(labels, split, shares)
    if not np.isnan(errors).all():
        print(
            f"genres of 20 movies and more have their share of each split, "
            f"{np.nanmax(errors):.1%} off at most"
        )
    return np.array(SPLITS)[split]
