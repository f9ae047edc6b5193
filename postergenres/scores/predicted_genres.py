"""Name the genres of movies in tables, and read the thresholds of the F1 scores."""

from typing import NamedTuple

import numpy as np


class Thresholds(NamedTuple):
    """Decision thresholds, chosen to maximize each F1.

    One threshold per genre is best for macro F1 only. With them the prior would predict every genre
    for every movie, and the floors of micro and samples F1 would be far too low.

    Attributes:
        genres: (G,), for macro F1.
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


def rank_genres(probabilities, is_predicted, genres, top=1):
    """Return the predicted genres of a poster and the most probable others, sorted.

    Args:
        probabilities: (G,).
        is_predicted: (G,), see `expected_f1.choose_genres`.
        genres: the G names.
        top: return at least so many genres.

    Returns:
        A list of (genre, probability, whether it is predicted).
    """
    order = np.argsort(-probabilities, kind="stable")[: max(top, is_predicted.sum())]
    return [(genres[genre], probabilities[genre], bool(is_predicted[genre])) for genre in order]


def join_predicted(probabilities, is_predicted, genres):
    """Return N cells such as `Drama|Action`, the most probable genre first.

    Args:
        probabilities, is_predicted: (N, G), see `rank_genres`.
        genres: the G names.
    """
    rows = zip(probabilities, is_predicted, strict=True)
    rankings = [rank_genres(*row, genres, top=0) for row in rows]
    return ["|".join(genre for genre, _, _ in ranking) for ranking in rankings]
