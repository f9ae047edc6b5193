"""Draw sampling.png: the genre counts, and which genres occur together."""

from pathlib import Path
from typing import TYPE_CHECKING

from postergenres.plotting import draw_heat_map, escape_label, save_figure

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GENRES = 30  # labels of more genres would be too small to read


def save_sampling_plot(
    labels: np.ndarray, counts: pd.DataFrame, data_dir: Path, most: int = MOST_GENRES
) -> None:
    """Draw the genre counts before and after oversampling, and which genres occur together.

    Args:
        labels: (movies, genres) of 0 and 1, of all movies.
        counts: a row per genre, with columns `drawn` and `sample`.
        data_dir: where to write sampling.png.
        most: the number of genres to draw, the most common ones.
    """
    from matplotlib.figure import Figure  # here: importing it takes a second

    order = np.argsort(-labels.sum(axis=0, dtype=int), kind="stable")[:most]
    height = 2.2 + 0.3 * len(order)
    figure = Figure(figsize=(6.5 + 1.4 * height, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.4 * height))
    draw_genre_counts(left, counts.iloc[order])
    draw_pairs(right, labels[:, order].astype(float), list(counts.index[order]))
    save_figure(figure, data_dir / "sampling.png", dpi=120)


def draw_genre_counts(axes: "Axes", counts: pd.DataFrame) -> None:
    """Draw two bars per genre, as drawn and after oversampling."""
    rows = np.arange(len(counts))
    axes.barh(rows - 0.2, counts["drawn"], 0.4, color="0.65", label="as drawn")
    axes.barh(rows + 0.2, counts["sample"], 0.4, color="C0", label="after oversampling")
    axes.set_yticks(rows, [escape_label(genre) for genre in counts.index])
    axes.invert_yaxis()
    axes.set(title="Movies of each genre to train on", xlabel="movies, copies counted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")


def draw_pairs(axes: "Axes", labels: np.ndarray, genres: list[str]) -> None:
    """Draw how often each genre occurs together with each other genre; labels are floats."""
    percentages = 100 * (labels.T @ labels) / labels.sum(axis=0)[:, None]
    np.fill_diagonal(percentages, np.nan)
    draw_heat_map(axes, percentages, genres, genres)
    axes.set_title(
        "Genres that occur together: of 100 movies of the genre\n"
        "at the left, so many are also of the genre below"
    )
