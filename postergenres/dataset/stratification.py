"""Split movies so that each genre, common or rare, has its share of each split.

Movies that are only trained on join the training movies afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from postergenres.dataset.duplicates import group_duplicates
from postergenres.dataset.samples import SPLITS
from postergenres.settings import SettingError

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import IterativeStratification

MIN_MOVIES = 20  # a genre of fewer movies has no even share of each split


@dataclass(frozen=True)
class Split:
    """How the movies are split; a SettingError is raised if nothing is left to train on."""

    val_share: float  # of the movies
    test_share: float  # of the movies; the rest is trained on
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
    """Assign each movie to one of SPLITS by multi-label iterative stratification: str (movies,).

    The method is from Sechidis et al. 2011, On the Stratification of Multi-Label Data, in the
    package iterative-stratification, which leaves some genres a movie or two off their share. A
    group is assigned as one movie with the genres of all its movies. Genres too rare to reach each
    split are left out of the stratification.

    Args:
        labels: (movies, genres) of 0 and 1.
        groups: (movies,) group number of each movie; a group stays in one split.
        split: how they are split.
    """
    units = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((units.max() + 1, labels.shape[1] + 1), dtype=int)
    np.add.at(counts[:, :-1], units, labels)
    counts[:, -1] = np.bincount(units)  # the number of movies, to keep the sizes of the splits even
    is_stratified = (counts > 0).sum(axis=0) * min(split.shares) >= 1
    is_stratified[-1] = True
    carried = counts[:, is_stratified] > 0
    random_state = np.random.RandomState(split.seed)
    numbers = IterativeStratification(carried, np.array(split.shares), random_state)
    return np.array(SPLITS)[numbers[units]]


def share_errors(
    labels: np.ndarray, names: np.ndarray, shares: Sequence[float], min_movies: int = MIN_MOVIES
) -> np.ndarray:
    """Return how far each genre is off its share of each split, relative to it: (splits, genres).

    `names` are the splits of the movies. A genre of fewer than `min_movies` has nan.
    """
    totals = labels.sum(axis=0)
    due = np.outer(shares, np.where(totals >= min_movies, totals, np.nan))
    have = np.array([labels[names == name].sum(axis=0) for name in SPLITS])
    return abs(have - due) / due


def add_train_only(
    movies: pd.DataFrame, train_only: pd.DataFrame, near_duplicate: int
) -> pd.DataFrame:
    """Add the train-only movies, which step 1 marks in posters.csv, to the training movies.

    A train-only movie is left out if its poster is the same as one of a validation or test movie,
    or nearly, directly or through other posters. Otherwise the test would be easier. The result has
    a bool column `train_only` and is sorted by id.
    """
    if train_only.empty:
        return movies.assign(train_only=False)
    groups = group_duplicates([*movies["poster"], *train_only["poster"]], near_duplicate)
    own, others = np.split(groups, [len(movies)])
    is_left_out = np.isin(others, own[movies["split"] != "train"])
    added = train_only.loc[~is_left_out].assign(split="train")
    joined = pd.concat([movies, added], ignore_index=True)
    joined["train_only"] = np.arange(len(joined)) >= len(movies)
    return joined.sort_values("id", ignore_index=True)
