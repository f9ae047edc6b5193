"""Clean the genres of the movies, and encode them as labels."""

import sys
from collections import Counter

import numpy as np


def clean_genres(movies, excluded_genres, min_genre_movies):
    """Drop movies and genres that cannot be learned from posters, and print how many and why.

    Movies with an excluded genre are dropped first. Then genres with too few movies are left out,
    and movies without any remaining genre are dropped.

    Args:
        movies: DataFrame with a column genres (`Action|Drama`).
        excluded_genres: tuple of genre names.
        min_genre_movies: the number of movies that a genre needs.

    Returns:
        The remaining movies with sorted genres, and the sorted list of all remaining genres.

    Raises:
        SystemExit: fewer than 10 movies remain.
    """
    sets = [frozenset(filter(None, cell.split("|"))) for cell in movies["genres"]]
    is_excluded = np.array([bool(genres & set(excluded_genres)) for genres in sets], dtype=bool)
    is_empty = np.array([not genres for genres in sets], dtype=bool)
    kept = [genres for genres, drop in zip(sets, is_excluded, strict=True) if not drop]
    counts = Counter(genre for genres in kept for genre in genres)
    rare = sorted(genre for genre, count in counts.items() if count < min_genre_movies)
    vocabulary = sorted(set(counts) - set(rare))
    cleaned = ["|".join(sorted(genres - set(rare))) for genres in sets]
    is_rare = np.array([not cell for cell in cleaned], dtype=bool) & ~is_empty & ~is_excluded

    excluded = " or ".join(excluded_genres) or "nothing"
    print(f"dropped {is_excluded.sum():,} movies marked {excluded}")
    print(f"dropped {is_empty.sum():,} movies without a genre")
    left_out = ", ".join(f"{genre} ({counts[genre]})" for genre in rare) or "none"
    print(f"genres with fewer than {min_genre_movies} movies, left out: {left_out}")
    print(f"dropped {is_rare.sum():,} movies that have only such genres")
    movies = movies.assign(genres=cleaned)[~is_excluded & ~is_empty & ~is_rare]
    if len(movies) < 10:
        sys.exit(
            f"Only {len(movies)} movies are left, which is too few. Lower MIN_GENRE_MOVIES and "
            "run: python sampling.py; or use a larger CSV and run: python database.py"
        )
    return movies.reset_index(drop=True), vocabulary


def encode_genres(cells, genres):
    """Return genre cells such as `Action|Drama` as labels: uint8 (movies, genres) of 0 and 1.

    Args:
        cells: genre cells, each with at least one genre.
        genres: all genres, in the order of the columns.
    """
    position = {genre: i for i, genre in enumerate(genres)}
    labels = np.zeros((len(cells), len(genres)), dtype=np.uint8)
    for row, cell in enumerate(cells):
        labels[row, [position[genre] for genre in cell.split("|")]] = 1
    return labels
