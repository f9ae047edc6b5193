"""Movies that are only trained on: they never change the genres, the split or the floors.

Step 1 marks them in posters.csv, see TRAIN_ONLY_CSV in database.py.
"""

from collections.abc import Sequence

from postergenres.dataset.duplicates import group_duplicates
from postergenres.dataset.genres import Wanted

import numpy as np
import pandas as pd


def clean_train_only(movies: pd.DataFrame, wanted: Wanted, genres: Sequence[str]) -> pd.DataFrame:
    """Drop train-only movies that are unfit for training.

    A movie with an excluded genre is dropped, and one without a genre of the vocabulary.

    Args:
        movies: with a column `genres` of cells such as `Drama|Action`.
        wanted: which genres; how many movies a genre has does not matter.
        genres: the vocabulary, which is that of the other movies.

    Returns:
        The remaining movies, with `genres` sorted and joined by `|`; others are removed from it.
    """
    sets = [set(cell.split("|")) for cell in movies["genres"]]
    excluded = set(wanted.excluded_genres)
    cleaned = ["|".join(sorted(carried & set(genres))) for carried in sets]
    is_kept = [
        bool(cell) and not carried & excluded for cell, carried in zip(cleaned, sets, strict=True)
    ]
    return movies.assign(genres=cleaned).loc[is_kept].reset_index(drop=True)


def add_train_only(
    movies: pd.DataFrame, train_only: pd.DataFrame, near_duplicate: int
) -> pd.DataFrame:
    """Add the train-only movies to the training movies.

    A train-only movie is left out if its poster is the same as one of a validation or test movie,
    or nearly, directly or through other posters. Otherwise the test would be easier.

    Args:
        movies: the other movies, with columns `split` and `poster` (a `PosterHash`).
        train_only: the train-only movies, with a column `poster`.
        near_duplicate: see `duplicates.group_duplicates`.

    Returns:
        All movies that remain, sorted by id, with a bool column `train_only`.
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
