"""Clean the genres of the movies, and encode them as labels."""

import sys
from collections import Counter

from postergenres.terminal import escape_controls

import numpy as np

MIN_MOVIES = 10  # with fewer movies a split could be empty
TOO_FEW = {  # what is true of the dropped movies, and what to do
    "excluded": (
        "have a genre of EXCLUDED_GENRES",
        "Edit EXCLUDED_GENRES in sampling.py, then run: python sampling.py",
    ),
    "empty": (
        "have no genre",
        "Set METADATA_CSV in database.py to a CSV with genres, then run: python database.py",
    ),
    "rare": (
        "have only genres of fewer than MIN_GENRE_MOVIES movies",
        "Lower MIN_GENRE_MOVIES in sampling.py, then run: python sampling.py",
    ),
}


def clean_genres(movies, excluded_genres, min_genre_movies):
    """Drop the movies and genres that are unfit for training, and print the reasons and counts.

    A movie with an excluded genre is dropped. A genre of fewer than `min_genre_movies` of the
    remaining movies leaves the vocabulary. A movie without any remaining genre is dropped.

    Args:
        movies: DataFrame with a column `genres` of cells such as `Drama|Action`.
        excluded_genres: names of genres.
        min_genre_movies: the number of movies that a genre needs.

    Returns:
        The remaining movies, with `genres` sorted and joined by `|`, and the sorted vocabulary.

    Raises:
        SystemExit: too few movies remain.
    """
    sets = [frozenset(filter(None, cell.split("|"))) for cell in movies["genres"]]
    is_excluded = np.array([bool(genres & set(excluded_genres)) for genres in sets], dtype=bool)
    is_empty = np.array([not genres for genres in sets], dtype=bool)
    kept = [genres for genres, drop in zip(sets, is_excluded, strict=True) if not drop]
    counts = Counter(genre for genres in kept for genre in genres)
    rare = sorted(genre for genre, count in counts.items() if count < min_genre_movies)
    cleaned = ["|".join(sorted(genres - set(rare))) for genres in sets]
    is_rare = np.array([not cell for cell in cleaned], dtype=bool) & ~is_empty & ~is_excluded

    excluded = " or ".join(excluded_genres) or "nothing"
    left_out = ", ".join(f"{escape_controls(genre)} ({counts[genre]})" for genre in rare) or "none"
    print(f"dropped {is_excluded.sum():,} movies marked {excluded}")
    print(f"dropped {is_empty.sum():,} movies without a genre")
    print(f"genres with fewer than {min_genre_movies} movies, left out: {left_out}")
    print(f"dropped {is_rare.sum():,} movies that have only left-out genres")
    movies = movies.assign(genres=cleaned)[~is_excluded & ~is_empty & ~is_rare]
    if len(movies) < MIN_MOVIES:
        dropped = {"excluded": is_excluded.sum(), "empty": is_empty.sum(), "rare": is_rare.sum()}
        sys.exit(explain_too_few(len(movies), len(sets), dropped))
    return movies.reset_index(drop=True), sorted(set(counts) - set(rare))


def explain_too_few(left, total, dropped):
    """Return one line that names the main reason why too few movies remain, and what to edit.

    Args:
        left: the number of movies that remain.
        total: the number of movies that have a poster.
        dropped: {reason in TOO_FEW: the number of movies dropped for it}.
    """
    if total < MIN_MOVIES:
        return (
            f"Only {total} movies have a poster, too few. Set LIMIT to None or METADATA_CSV to a "
            "larger CSV in database.py, then run: python database.py"
        )
    reason = max(dropped, key=dropped.get)
    what, advice = TOO_FEW[reason]
    return (
        f"Only {left} movies are left, too few: {dropped[reason]:,} of {total:,} {what}. {advice}"
    )


def encode_genres(cells, genres):
    """Return the labels of cells such as `Action|Drama`: uint8 (movies, genres) of 0 and 1.

    Args:
        cells: strings, one per movie.
        genres: the vocabulary, in the order of the columns.
    """
    position = {genre: i for i, genre in enumerate(genres)}
    labels = np.zeros((len(cells), len(genres)), dtype=np.uint8)
    for row, cell in enumerate(cells):
        labels[row, [position[genre] for genre in cell.split("|")]] = 1
    return labels
