"""Draw sampling.png: the movies per genre, and the genres that occur together."""

import numpy as np
from matplotlib.figure import Figure

from postergenres.plotting import draw_heat_map, escape_label, save_figure

MAX_GENRES = 30  # the most common ones; more labels could not be read


def save_sampling_plot(labels, before, after, path):
    """Save a bar chart of the genre counts, and a heat map of genres on the same movies.

    Args:
        labels: (movies, genres) of 0 and 1, for all movies.
        before, after: Series of counts by genre, before and after oversampling.
        path: the PNG file.
    """
    order = np.argsort(-labels.sum(axis=0, dtype=int), kind="stable")[:MAX_GENRES]
    height = 2.2 + 0.3 * len(order)
    figure = Figure(figsize=(6.5 + 1.4 * height, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.4 * height))
    draw_counts(left, before.iloc[order], after.iloc[order])
    draw_co_occurrence(right, labels[:, order].astype(float), list(before.index[order]))
    save_figure(figure, path, dpi=120)


def draw_counts(axes, before, after):
    """Draw two horizontal bars for each genre."""
    rows = np.arange(len(before))
    axes.barh(rows - 0.2, before, 0.4, color="0.65", label="as drawn")
    axes.barh(rows + 0.2, after, 0.4, color="C0", label="after oversampling")
    axes.set_yticks(rows, map(escape_label, before.index))
    axes.invert_yaxis()
    axes.set(title="Movies of each genre to train on", xlabel="movies, copies counted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")


def draw_co_occurrence(axes, labels, names):
    """Draw the percentage of the movies of each genre (row) that have another genre (column)."""
    percentages = 100 * (labels.T @ labels) / labels.sum(axis=0)[:, None]
    np.fill_diagonal(percentages, np.nan)
    draw_heat_map(axes, percentages, names, names)
    axes.set_title(
        "Genres that occur together: of 100 movies of the genre\n"
        "at the left, so many are also of the genre below"
    )
