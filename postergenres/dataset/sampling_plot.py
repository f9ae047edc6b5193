"""Draw sampling.png: the genre counts, and which genres occur together."""

from postergenres.plotting import draw_heat_map, escape_label, save_figure

import numpy as np

MOST_GENRES = 30  # labels of more genres would be too small to read


def save_sampling_plot(labels, before, after, path, most=MOST_GENRES):
    """Draw the genre counts before and after oversampling, and which genres occur together.

    Args:
        labels: (movies, genres) of 0 and 1, of all movies.
        before, after: Series of counts by genre.
        path: of the PNG file.
        most: the number of genres to draw, the most common ones.
    """
    from matplotlib.figure import Figure  # preprocessing.py imports this module, but draws nothing

    order = np.argsort(-labels.sum(axis=0, dtype=int), kind="stable")[:most]
    height = 2.2 + 0.3 * len(order)
    figure = Figure(figsize=(6.5 + 1.4 * height, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.4 * height))
    draw_genre_counts(left, before.iloc[order], after.iloc[order])
    draw_pairs(right, labels[:, order].astype(float), list(before.index[order]))
    save_figure(figure, path, dpi=120)


def draw_genre_counts(axes, before, after):
    """Draw two bars per genre.

    Args:
        axes: Matplotlib axes.
        before, after: Series of counts by genre, before oversampling and after.
    """
    rows = np.arange(len(before))
    axes.barh(rows - 0.2, before, 0.4, color="0.65", label="as drawn")
    axes.barh(rows + 0.2, after, 0.4, color="C0", label="after oversampling")
    axes.set_yticks(rows, map(escape_label, before.index))
    axes.invert_yaxis()
    axes.set(title="Movies of each genre to train on", xlabel="movies, copies counted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")


def draw_pairs(axes, labels, genres):
    """Draw how often each genre occurs together with each other genre.

    Args:
        axes: Matplotlib axes.
        labels: float (movies, genres) of 0 and 1.
        genres: names of the genres.
    """
    percentages = 100 * (labels.T @ labels) / labels.sum(axis=0)[:, None]
    np.fill_diagonal(percentages, np.nan)
    draw_heat_map(axes, percentages, genres, genres)
    axes.set_title(
        "Genres that occur together: of 100 movies of the genre\n"
        "at the left, so many are also of the genre below"
    )
