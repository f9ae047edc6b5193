"""Write predictions.html, the page about the posters that a user named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import try_decode
from postergenres.report.gradcam import overlay
from postergenres.report.pages import encode, render
from postergenres.report.predictions import Prediction, Shown
from postergenres.report.similar import Neighbor

HEIGHT, WIDTH = 75, 50  # pixels of the poster of a similar movie


def write_sheet(
    predictions: Sequence[Prediction], shown: Shown, model_name: str, path: Path
) -> None:
    """Write predictions.html: the first posters with their most probable genres as bars.

    Args:
        predictions: of all posters.
        shown: how many posters are on the page, and how many of them with a heat map.
        model_name: the model that predicted them, in words.
        path: of the page.
    """
    cards = [make_card(each) for each in predictions[: shown.sheet]]
    render(
        "predictions.html",
        path,
        cards=cards,
        count=len(predictions),
        unread=sum(each.poster.error != "" for each in predictions),
        heat_maps=min(len(cards), shown.grad_cam),
        has_neighbors=any(card["neighbors"] for card in cards),
        model_name=model_name,
    )


def make_card(prediction: Prediction, prior: dict[str, float] | None = None) -> dict[str, Any]:
    """Return what templates/cards.html shows of a poster.

    Args:
        prediction: of the poster.
        prior: {genre: share of the training movies that have it}, for a mark on each bar.
    """
    poster, heat, heat_map = prediction.poster, prediction.heat, None
    if poster.pixels is not None and heat is not None:
        heat_map = overlay(poster.pixels, heat)
    return {
        "path": poster.name.encode(errors="replace").decode(),
        "error": poster.error,
        "poster": encode(poster.pixels),
        "heat_map": encode(heat_map),
        "ranking": prediction.ranking,
        "words": poster.text,
        "neighbors": [describe(movie) for movie in prediction.neighbors],
        "prior": prior,
    }


def describe(neighbor: Neighbor) -> dict[str, Any]:
    """Return what templates/cards.html shows of a similar movie."""
    pixels = try_decode(neighbor.path, HEIGHT, WIDTH)[0] if neighbor.path else None
    return {
        "title": neighbor.title or neighbor.id,
        "genres": ", ".join(neighbor.genres),
        "similarity": neighbor.similarity,
        "poster": encode(pixels),
    }
