"""Movies that are only trained on: they never change the genres, the split or the floors.

Step 1 marks them in posters.csv, see TRAIN_ONLY_CSV in database.py.
"""

import numpy as np
import pandas as pd


def clean_train_only(movies, excluded_genres, genres):
    """Drop train-only movies that are unfit for training, and print how many.

    A movie with an excluded genre is dropped, and one without a genre of the vocabulary.

    Args:
        movies: DataFrame with a column `genres` of cells such as `Drama|Action`.
        excluded_genres: names of genres.
        genres: the vocabulary, which is that of the other movies.

    Returns:
        The remaining movies, with `genres` sorted and joined by `|`; others are removed from it.
    """
    if movies.empty:
        return movies
    sets = [set(cell.split("|")) for cell in movies["genres"]]
    is_excluded = np.array([bool(carried & set(excluded_genres)) for carried in sets])
    cleaned = ["|".join(sorted(carried & set(genres))) for carried in sets]
    is_unknown = np.array([not cell for cell in cleaned]) & ~is_excluded
    print(
        f"dropped {is_excluded.sum():,} train-only movies marked "
        f"{' or '.join(excluded_genres) or 'nothing'}, and {is_unknown.sum():,} without any of the "
        f"{len(genres):,} genres of the other movies"
    )
    return movies.assign(genres=cleaned)[~is_excluded & ~is_unknown].reset_index(drop=True)


def add_train_only(movies, train_only, groups):
    """Add the train-only movies to the training movies, and print how many.

    A train-only movie is left out if its poster is the same as one of a validation or test movie,
    or nearly, directly or through other posters. Otherwise the test would be easier.

    Args:
        movies: DataFrame of the other movies, with a column `split`.
        train_only: DataFrame of the train-only movies.
        groups: int (movies + train-only movies,), the group of like posters of each.

    Returns:
        A DataFrame of all movies that remain, sorted by id, with a bool column `train_only`.
    """
    if train_only.empty:
        return movies.assign(train_only=False)
    own, others = np.split(groups, [len(movies)])
    is_left_out = np.isin(others, own[movies["split"] != "train"])
    print(
        f"left out {is_left_out.sum():,} train-only movies with the poster of a validation or test "
        f"movie, or nearly; {(~is_left_out).sum():,} are left"
    )
    added = train_only[~is_left_out].assign(split="train")
    joined = pd.concat([movies, added], ignore_index=True)
    joined["train_only"] = np.arange(len(joined)) >= len(movies)
    return joined.sort_values("id", ignore_index=True)
