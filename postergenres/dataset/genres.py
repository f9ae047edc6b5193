"""The genres of the movies: the vocabulary, and labels."""

import sys
from collections import Counter

import numpy as np


def clean_genres(movies, excluded_genres, min_genre_movies):
    """Drop what cannot be learnt from, and print how much and why.

    Movies that carry an excluded genre go; genres that fewer than `min_genre_movies` of the rest
    carry leave the vocabulary; movies left with no genre go.

    Returns:
        The remaining movies, their `genres` sorted and joined by `|`, and the sorted vocabulary.
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

    print(
        f"dropped {is_excluded.sum():,} movies marked {' or '.join(excluded_genres) or 'nothing'}"
    )
    print(f"dropped {is_empty.sum():,} movies without a genre")
    named = ", ".join(f"{genre} ({counts[genre]})" for genre in rare) or "none"
    print(f"genres that fewer than {min_genre_movies} movies carry, left out: {named}")
    print(f"dropped {is_rare.sum():,} movies that carry only such genres")
    movies = movies.assign(genres=cleaned)[~is_excluded & ~is_empty & ~is_rare]
    if len(movies) < 10:
        sys.exit(
            f"Only {len(movies)} movies are left, too few. Lower MIN_GENRE_MOVIES and run: "
            "python sampling.py; or take a larger CSV and run: python database.py"
        )
    return movies.reset_index(drop=True), vocabulary


def encode_genres(cells, genres):
    """Turn cells such as `Action|Drama` into labels, uint8 of shape (movies, genres), 0 or 1."""
    position = {genre: i for i, genre in enumerate(genres)}
    labels = np.zeros((len(cells), len(genres)), dtype=np.uint8)
    for row, cell in enumerate(cells):
        labels[row, [position[genre] for genre in cell.split("|")]] = 1
    return labels
