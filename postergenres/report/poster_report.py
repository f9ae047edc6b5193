"""Predict the posters that a user names: print a table, write tables and a page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import try_decode
from postergenres.files import write_csv
from postergenres.poster_model import PosterModel
from postergenres.report.pages import encode, render
from postergenres.report.predictions import Prediction, Shown, predict_posters
from postergenres.report.similar import open_similar
from postergenres.terminal import escape_controls

import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image

SMALL = 75, 50  # height and width in pixels of the poster of a similar movie


def predict_paths(
    names: Sequence[str], model: PosterModel, data_dir: Path, shown: Shown
) -> pd.DataFrame:
    """Predict posters, print a table, and write predictions.csv, similar.csv and predictions.html.

    Return the content of predictions.csv.

    Raises:
        SystemExit: no poster could be read.
    """
    print(f"predicted by {describe_model(model)}", *filter(None, [model.note]), sep="\n")
    movies = open_similar(data_dir, model) if shown.similar else None
    predictions = list(predict_posters(model, names, shown, movies))

    print(format_predictions(predictions))
    if all(each.poster.error for each in predictions):
        sys.exit("No poster could be read, for the reasons above: nothing was written")
    table = make_table(model, predictions)
    write_sheet(predictions, shown, describe_model(model), data_dir / "predictions.html")
    write_csv(table, data_dir / "predictions.csv")
    (data_dir / "similar.csv").unlink(missing_ok=True)  # it may be of other posters
    if movies:
        write_csv(list_similar(predictions), data_dir / "similar.csv")
        print(f"wrote {data_dir / 'similar.csv'} (the most similar training movies of each poster)")
    print(
        f"wrote {data_dir / 'predictions.csv'} ({len(table):,} posters)\n"
        f"to view it, open {data_dir / 'predictions.html'}"
    )
    return table


def describe_model(model: PosterModel) -> str:
    """Return which model predicts, and what it scored."""
    name = f"the pretrained {model.name}" if model.is_pretrained else f"the model in {model.name}"
    words = " and the words on the posters" if model.words_model else ""
    score, floor = model.scores["mAP"]["score"], model.scores["mAP"]["floor"]
    return f"{name}{words}; mAP {score:.3f} on its validation movies, floor {floor:.3f}"


# --- tables ---------------------------------------------------------------------------------------


def make_table(model: PosterModel, predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return the content of predictions.csv; posters that were not read have no probabilities."""
    probabilities = np.stack([each.probabilities for each in predictions])
    table = model.tabulate([each.poster for each in predictions], probabilities)
    return table.assign(path=table["path"].map(as_unicode)).round(4)


def list_similar(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return the content of similar.csv, a row for each similar movie of each poster."""
    rows = [
        (
            as_unicode(each.poster.name),
            rank,
            x.id,
            x.title,
            "|".join(x.genres),
            round(x.similarity, 4),
        )
        for each in predictions
        for rank, x in enumerate(each.neighbors, start=1)
    ]
    columns = pd.Index(["path", "rank", "id", "title", "genres", "similarity"])
    return pd.DataFrame(rows, columns=columns)


def format_predictions(predictions: Sequence[Prediction]) -> str:
    """Return a line for each poster: the predicted genres, and the next most probable ones."""
    paths = [escape_controls(each.poster.name) for each in predictions]
    width = min(60, max(map(len, paths)))
    lines = [f"{'poster':<{width}}  predicted genres; next: the most probable other genres"]
    for path, each in zip(paths, predictions, strict=True):
        predicted, others = (
            ", ".join(
                f"{ranked.genre} {100 * ranked.probability:.0f} %"
                for ranked in each.ranking
                if ranked.is_predicted == x
            )
            for x in (True, False)
        )
        genres = f"{predicted}; next: {others}" if others else predicted
        text = f"not read: {each.poster.error}" if each.poster.error else genres
        lines.append(f"{path:<{width}}  {escape_controls(text)}")
    return "\n".join(lines)


def as_unicode(path: str) -> str:
    """Return a path, which need not be Unicode, with "?" for what is none."""
    return path.encode(errors="replace").decode()


# --- predictions.html -----------------------------------------------------------------------------


def write_sheet(
    predictions: Sequence[Prediction], shown: Shown, model_name: str, path: Path
) -> None:
    """Write the page: the first posters with their most probable genres as bars."""
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
    """Return what templates/cards.html shows of a poster; `prior` is marked on each bar."""
    poster, heat, heat_map = prediction.poster, prediction.heat, None
    if poster.pixels is not None and heat is not None:
        heat_map = overlay(poster.pixels, heat)
    return {
        "path": as_unicode(poster.name),
        "error": poster.error,
        "poster": encode(poster.pixels),
        "heat_map": encode(heat_map),
        "ranking": prediction.ranking,
        "words": poster.text,
        "neighbors": [
            {
                "title": movie.title or movie.id,
                "genres": ", ".join(movie.genres),
                "similarity": movie.similarity,
                "poster": encode(try_decode(movie.path, *SMALL)[0] if movie.path else None),
            }
            for movie in prediction.neighbors
        ],
        "prior": prior,
    }


def overlay(poster: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a poster, uint8 (H, W, 3), in gray under its Grad-CAM heat map (`models.export`).

    The heat, float32 (rows, columns) and at least 0, is scaled to a maximum of 1.
    """
    height, width = poster.shape[:2]
    resized = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    heat = resized / max(resized.max(), 1e-12)
    gray = poster.mean(axis=2, keepdims=True) / 255
    colors = colormaps["inferno"](heat)[..., :3]
    opacity = 0.75 * heat[..., None]
    return (255 * ((1 - opacity) * gray + opacity * colors)).round().astype(np.uint8)
