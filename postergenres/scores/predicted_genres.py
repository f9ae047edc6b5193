"""Name the genres of movies in tables, and read the thresholds of the F1 scores."""

from typing import Any, NamedTuple

import numpy as np


class Thresholds(NamedTuple):
    """Decision thresholds, chosen to maximize each F1.

    One threshold per genre is best for macro F1 only. With them the prior would predict every genre
    for every movie, and the floors of micro and samples F1 would be far too low.
    """

    genres: np.ndarray  # (G,), for macro F1
    micro: float  # for all genres
    samples: float  # for all genres


def read_thresholds(about: dict[str, Any]) -> Thresholds:
    """Return the thresholds in the content of model.json."""
    genres = np.array([about["thresholds"][genre] for genre in about["genres"]])
    return Thresholds(genres, **about["shared_thresholds"])


def describe_thresholds(thresholds: Thresholds, genres: list[str]) -> dict[str, Any]:
    """Return the entries of model.json that `read_thresholds` reads."""
    return {
        "thresholds": dict(zip(genres, thresholds.genres.tolist(), strict=True)),
        "shared_thresholds": {"micro": thresholds.micro, "samples": thresholds.samples},
    }


def join_genres(labels: np.ndarray, genres: list[str]) -> list[str]:
    """Turn labels, (N, G) of True and False, into N cells such as `Action|Drama`."""
    return [
        "|".join(genre for genre, has_it in zip(genres, row, strict=True) if has_it)
        for row in labels
    ]


class RankedGenre(NamedTuple):
    """A genre of a poster, its probability, and whether it is predicted."""

    genre: str
    probability: float
    is_predicted: bool


def rank_genres(
    probabilities: np.ndarray, is_predicted: np.ndarray, genres: list[str], top: int = 1
) -> list[RankedGenre]:
    """Return the predicted genres of a poster and the most probable others, at least `top`.

    The arrays are (G,), see `expected_f1.choose_genres`; the most probable genre comes first.
    """
    order = np.argsort(-probabilities, kind="stable")[: max(top, is_predicted.sum())]
    return [
        RankedGenre(genres[genre], float(probabilities[genre]), bool(is_predicted[genre]))
        for genre in order
    ]


def join_predicted(
    probabilities: np.ndarray, is_predicted: np.ndarray, genres: list[str]
) -> list[str]:
    """Return N cells such as `Drama|Action`, the most probable genre first; arrays are (N, G)."""
    return [
        "|".join(ranked.genre for ranked in rank_genres(row, chosen, genres, top=0))
        for row, chosen in zip(probabilities, is_predicted, strict=True)
    ]
