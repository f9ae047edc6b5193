"""Split multi-label data so that each genre, common or rare, has its share of each split."""

from collections.abc import Sequence
from dataclasses import dataclass

from postergenres.dataset.samples import SPLITS
from postergenres.settings import SettingError

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

TOLERANCE = 0.1  # of a genre's share of a split
MIN_MOVIES = 20  # a genre of fewer movies has no even share of each split
MOST_MOVES = 1000  # a limit against endless loops; a few moves are enough


@dataclass(frozen=True)
class Split:
    """How the movies are split.

    Attributes:
        val_share, test_share: of the movies; the rest is trained on.
        seed: of the random numbers.

    Raises:
        SettingError: nothing is left to train on.
    """

    val_share: float
    test_share: float
    seed: int

    def __post_init__(self) -> None:
        if self.val_share + self.test_share >= 1:
            values = f"{self.test_share} and {self.val_share}"
            message = f"and val_share must add up to less than 1, got {values}"
            raise SettingError("test_share", message)

    @property
    def shares(self) -> tuple[float, float, float]:
        """Return the shares in the order of SPLITS."""
        return (1 - self.val_share - self.test_share, self.val_share, self.test_share)


def split_movies(labels: np.ndarray, groups: np.ndarray, split: Split) -> np.ndarray:
    """Assign each movie to a split: str (movies,) of "train", "val" and "test"; see `stratify`."""
    return np.array(SPLITS)[stratify(labels, groups, split.shares, split.seed)]


def stratify(
    labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """Assign each movie to a split by multi-label iterative stratification.

    The method is from Sechidis et al. 2011, On the Stratification of Multi-Label Data, in the
    package iterative-stratification. The package leaves some genres a movie off their share;
    `even_out_splits` corrects this. A group is assigned as one movie with the genres of all its
    movies. Genres too rare to reach each split are left out of the stratification.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,) group number of each movie.
        shares: of the movies for each split; they add up to 1.
        seed: of the random numbers.

    Returns:
        int array (movies,), the split of each movie, in the order of `shares`.
    """
    units = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((units.max() + 1, labels.shape[1] + 1), dtype=int)
    np.add.at(counts[:, :-1], units, labels)
    counts[:, -1] = np.bincount(units)  # the number of movies, to keep the sizes of the splits even
    is_stratified = (counts > 0).sum(axis=0) * min(shares) >= 1
    is_stratified[-1] = True
    counts = counts[:, is_stratified]
    random_state = np.random.RandomState(seed)
    split = IterativeStratification(counts > 0, np.array(shares), random_state)
    return even_out_splits(counts, split, shares)[units]


def even_out_splits(
    counts: np.ndarray, split: np.ndarray, shares: Sequence[float], most: int = MOST_MOVES
) -> np.ndarray:
    """Move units between splits, one at a time, until no genre has an excess or no move helps.

    A unit is a movie or a group of movies that stay together.

    Args:
        counts: int (units, genres), the movies of each unit that have each genre.
        split: int (units,), the split of each unit.
        shares: of the movies for each split.
        most: the number of moves after which to stop.

    Returns:
        int array (units,), the new split of each unit.
    """
    split = split.copy()
    due = np.outer(shares, counts.sum(axis=0))
    have = count_splits(counts, split, len(shares))
    for _ in range(most):
        if not find_excess(have, due).any():
            break
        gain, unit, target = find_best_move(counts, split, have, due)
        if gain >= 0:
            break
        have[split[unit]] -= counts[unit]
        have[target] += counts[unit]
        split[unit] = target
    return split


def find_best_move(
    counts: np.ndarray, split: np.ndarray, have: np.ndarray, due: np.ndarray
) -> tuple[float, int, int]:
    """Find the move of one unit that most improves the genre and split with the largest excess.

    Args:
        counts: int (units, genres), the movies of each unit that have each genre.
        split: int (units,), the split of each unit.
        have, due: (splits, genres), the movies that are in each split, and that should be.

    Returns:
        (gain, unit, split): the change of the sum of the squared excesses, below 0 for an
        improvement; the number of the unit; the split to move it to. (0, -1, -1) if there is no
        move.
    """
    excess = find_excess(have, due)
    worst, genre = np.unravel_index(excess.argmax(), excess.shape)
    has_more = have[worst, genre] > due[worst, genre]
    movable = (counts[:, genre] > 0) & ((split == worst) == has_more)
    moves = []
    for source in set(split[movable]):
        candidates = np.flatnonzero(movable & (split == source))
        for target in set(range(len(due))) - {source} if has_more else {worst}:
            after = [
                (find_excess(have[number] + sign * counts[candidates], due[number]) ** 2).sum(1)
                for number, sign in ((source, -1), (target, 1))
            ]
            gain = sum(after) - (excess[[source, target]] ** 2).sum()
            gain = gain.round(9)  # sums may differ in the last digit between machines
            moves.append((gain.min(), candidates[gain.argmin()], target))
    return min(moves, default=(0.0, -1, -1))


def find_excess(have: np.ndarray, due: np.ndarray) -> np.ndarray:
    """Return by how many movies genres miss their share of a split beyond what is allowed.

    A genre may miss its share by TOLERANCE. If no whole number of movies is within TOLERANCE, the
    nearest whole number is allowed.

    Args:
        have, due: (..., genres), the movies that are in a split, and that should be.
    """
    allowed = np.maximum(TOLERANCE * due, abs(np.rint(due) - due))
    return np.maximum(0, abs(have - due) - allowed - 1e-9)


def share_errors(
    labels: np.ndarray, split: np.ndarray, shares: Sequence[float], min_movies: int = MIN_MOVIES
) -> np.ndarray:
    """Return how far each genre is off its share of each split, relative to the share.

    Args:
        labels: (movies, genres) of 0 and 1.
        split: int (movies,), the split of each movie.
        shares: of the movies for each split.
        min_movies: a genre of fewer movies is not measured.

    Returns:
        float (splits, genres); nan for a genre that is not measured.
    """
    totals = labels.sum(axis=0)
    due = np.outer(shares, np.where(totals >= min_movies, totals, np.nan))
    return abs(count_splits(labels, split, len(shares)) - due) / due


def count_splits(labels: np.ndarray, split: np.ndarray, splits: int) -> np.ndarray:
    """Return the number of movies of each genre in each split: (splits, genres).

    Args:
        labels: (movies, genres) of 0 and 1, or of counts.
        split: int (movies,), the split of each movie.
        splits: the number of splits.
    """
    return np.array([labels[split == number].sum(axis=0) for number in range(splits)])
