"""Split multi-label data so that each genre, common or rare, has its share of each split."""

from collections.abc import Sequence
from dataclasses import dataclass

from postergenres.dataset.samples import SPLITS
from postergenres.settings import SettingError

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

MIN_MOVIES = 20  # a genre of fewer movies has no even share of each split


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
    package iterative-stratification, which leaves some genres a movie or two off their share. A
    group is assigned as one movie with the genres of all its movies. Genres too rare to reach each
    split are left out of the stratification.

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
    return IterativeStratification(counts > 0, np.array(shares), random_state)[units]


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
    have = np.array([labels[split == number].sum(axis=0) for number in range(len(shares))])
    return abs(have - due) / due
