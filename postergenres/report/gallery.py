"""Choose test posters that were predicted right and wrong, and describe them for report.html."""

import io
from typing import Any

from postergenres.report.pages import data_url, shorten_title

import numpy as np
from PIL import Image

OF_GENRE = 3  # posters of each genre and kind
ENDS = 6  # best and worst predicted posters over all genres, each
DRAWN = 24  # posters drawn at random
MOST = 240  # posters on the page, of 4 kB each; with more genres, each has fewer
HEIGHT, QUALITY = 150, 70  # of a thumbnail: pixels, and WebP's quality
KINDS = {  # of a genre and a movie: symbol and meaning
    "right": ("✓", "predicted and listed"),
    "mistaken": ("✗", "predicted, not listed"),
    "missed": ("○", "listed, not predicted"),
}


def measure_gains(labels: np.ndarray, probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return how far the cross-entropy of each label is below that of the prior, (N, G)."""
    probabilities = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return np.where(
        labels, np.log(probabilities / prior), np.log((1 - probabilities) / (1 - prior))
    )


def sort_kinds(labels: np.ndarray, is_predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Return which labels are of each kind, {kind: bool (N, G)}; most labels are of none."""
    listed = labels == 1
    return {
        "right": listed & is_predicted,
        "mistaken": ~listed & is_predicted,
        "missed": listed & ~is_predicted,
    }


def choose_posters(
    kinds: dict[str, np.ndarray], gains: np.ndarray, drawn: np.ndarray, most: int = MOST
) -> list[int]:
    """Return the numbers of the movies to show: `drawn`, and the most extreme ones by gain.

    If they are more than `most`, each genre keeps its most extreme ones. `kinds` is what
    `sort_kinds` returned, and `gains` what `measure_gains` did.
    """
    order = np.argsort(-gains.mean(axis=1), kind="stable")
    extremes = []
    for kind, is_kind in kinds.items():
        sign = -1 if kind == "right" else 1
        for genre in range(gains.shape[1]):
            movies = np.flatnonzero(is_kind[:, genre])
            ranked = movies[np.argsort(sign * gains[movies, genre], kind="stable")]
            extremes += enumerate(ranked[:OF_GENRE])
    extremes.sort(key=lambda pair: pair[0])
    chosen = [*drawn, *order[:ENDS], *order[::-1][:ENDS], *(movie for _, movie in extremes)]
    return list(dict.fromkeys(map(int, chosen)))[:most]


def list_cards(
    labels: np.ndarray,
    probabilities: np.ndarray,
    is_predicted: np.ndarray,
    prior: np.ndarray,
    genres: list[str],
) -> dict[int, dict[str, Any]]:
    """Return {number of a movie: its gains and genres} of the movies to show, the best first.

    Arrays are (N, G), and the prior (G,). The genres are those that a movie has or was predicted
    to have, the most probable first.
    """
    kinds = sort_kinds(labels, is_predicted)
    gains = measure_gains(labels, probabilities, prior)
    drawn = np.random.default_rng(0).permutation(len(labels))[:DRAWN]
    means = gains.mean(axis=1)
    chosen = sorted(choose_posters(kinds, gains, drawn), key=lambda movie: -means[movie])
    cards = {}
    for movie in chosen:
        rows = [
            {
                "genre": genres[genre],
                "kind": kind,
                "probability": float(probabilities[movie, genre]),
                "gain": float(gains[movie, genre]),
            }
            for kind, is_kind in kinds.items()
            for genre in np.flatnonzero(is_kind[movie])
        ]
        rows.sort(key=lambda row: -row["probability"])
        cards[movie] = {"gain": float(means[movie]), "is_drawn": movie in drawn, "rows": rows}
    return cards


def add_poster(card: dict[str, Any], title: str, pixels: np.ndarray) -> dict[str, Any]:
    """Return a card with the title and the thumbnail of its movie; pixels are uint8 (H, W, 3)."""
    return card | {"title": shorten_title(title), "poster": encode_thumbnail(pixels)}


def encode_thumbnail(pixels: np.ndarray) -> str:
    """Return a poster as the data URL of a WebP that is at most HEIGHT pixels high."""
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((image.width, HEIGHT), Image.Resampling.LANCZOS)
    image.save(buffer, "WEBP", quality=QUALITY)
    return data_url(buffer.getvalue(), "webp")
