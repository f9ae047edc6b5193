"""Clean the genres of the movies, and encode them as labels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Wanted:
    """Which genres are wanted."""

    excluded_genres: tuple[str, ...]  # their movies are dropped
    min_genre_movies: int  # that a genre needs


@dataclass(frozen=True)
class Dropped:
    """How many movies were dropped, and why."""

    excluded: int  # movies with a genre that is not wanted
    empty: int  # movies without a genre
    rare: int  # movies that have only rare genres
    rare_genres: dict[str, int]  # {rare genre: its movies}


def clean_genres(movies: pd.DataFrame, wanted: Wanted) -> tuple[pd.DataFrame, Dropped]:
    """Drop the movies and genres that are unfit for training; cells of `genres` become sorted.

    A movie with an excluded genre is dropped. A genre of fewer than `min_genre_movies` of the
    remaining movies leaves the vocabulary. A movie without any remaining genre is dropped.
    """
    sets = [frozenset(filter(None, cell.split("|"))) for cell in movies["genres"]]
    excluded = set(wanted.excluded_genres)
    is_excluded = np.array([bool(genres & excluded) for genres in sets], dtype=bool)
    is_empty = np.array([not genres for genres in sets], dtype=bool)
    kept = [genres for genres, drop in zip(sets, is_excluded, strict=True) if not drop]
    counts = Counter(genre for genres in kept for genre in genres)
    rare = sorted(genre for genre, count in counts.items() if count < wanted.min_genre_movies)
    cleaned = ["|".join(sorted(genres - set(rare))) for genres in sets]
    is_rare = np.array([not cell for cell in cleaned], dtype=bool) & ~is_empty & ~is_excluded

    rare_genres = {genre: counts[genre] for genre in rare}
    dropped = Dropped(is_excluded.sum(), is_empty.sum(), is_rare.sum(), rare_genres)
    movies = movies.assign(genres=cleaned).loc[~is_excluded & ~is_empty & ~is_rare]
    return movies.reset_index(drop=True), dropped


def clean_train_only(movies: pd.DataFrame, wanted: Wanted, genres: Sequence[str]) -> pd.DataFrame:
    """Drop the train-only movies that have an excluded genre, or none of the genres of the others.

    The cells lose all but these genres, and are sorted; the number of movies does not matter.
    """
    sets = [set(cell.split("|")) for cell in movies["genres"]]
    excluded = set(wanted.excluded_genres)
    cleaned = ["|".join(sorted(carried & set(genres))) for carried in sets]
    is_kept = [
        bool(cell) and not carried & excluded for cell, carried in zip(cleaned, sets, strict=True)
    ]
    return movies.assign(genres=cleaned).loc[is_kept].reset_index(drop=True)


def list_genres(cells: Iterable[str]) -> list[str]:
    """Return the sorted genres of cells such as `Action|Drama`."""
    return sorted({genre for cell in cells for genre in cell.split("|")})


def encode_genres(cells: Sequence[str] | pd.Series, genres: Sequence[str]) -> np.ndarray:
    """Return the labels of cells such as `Action|Drama`: uint8 (movies, genres) of 0 and 1."""
    position = {genre: i for i, genre in enumerate(genres)}
    labels = np.zeros((len(cells), len(genres)), dtype=np.uint8)
    for row, cell in enumerate(cells):
        labels[row, [position[genre] for genre in cell.split("|")]] = 1
    return labels
