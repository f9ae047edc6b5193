"""Which genres are predicted for a movie, and how a table names them."""

from typing import NamedTuple

import numpy as np


class Thresholds(NamedTuple):
    """Decision thresholds, chosen to maximize each F1.

    One threshold per genre is best for macro F1 only. With them the prior would predict every genre
    for every movie, and the floors of micro and samples F1 would be far too low.

    Attributes:
        genres: (G,), for macro F1, and for the predicted genres of a movie.
        micro, samples: one threshold for all genres, for micro and samples F1.
    """

    genres: np.ndarray
    micro: float
    samples: float


def read_thresholds(about):
    """Return the Thresholds in the content of model.json."""
    genres = np.array([about["thresholds"][genre] for genre in about["genres"]])
    return Thresholds(genres, **about["shared_thresholds"])


def describe_thresholds(thresholds, genres):
    """Return the entries of model.json that `read_thresholds` reads."""
    return {
        "thresholds": dict(zip(genres, thresholds.genres.tolist(), strict=True)),
        "shared_thresholds": {"micro": thresholds.micro, "samples": thresholds.samples},
    }


def join_genres(labels, genres):
    """Turn labels, (N, G) of True and False, into N cells such as `Action|Drama`."""
    return [
        "|".join(genre for genre, has_it in zip(genres, row, strict=True) if has_it)
        for row in labels
    ]


def rank_genres(probabilities, genres, top):
    """Return the most probable genres of a poster, a list of (genre, probability).

    Args:
        probabilities: (G,).
        genres: the G names.
        top: the number of genres to return.
    """
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(genres[genre], probabilities[genre]) for genre in order]
