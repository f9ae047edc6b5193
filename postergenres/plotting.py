"""Draw and save the pictures of the steps."""

import numpy as np

from postergenres.files import replacing


def escape_label(name):
    """Return a genre or title as Matplotlib shows it literally: a `$` would start a formula."""
    return name.replace("$", r"\$")


def save_figure(figure, path, dpi):
    """Save a Matplotlib figure as PNG, whole or not at all; equal figures give equal bytes."""
    with replacing(path) as part:
        figure.savefig(part, dpi=dpi, metadata={"Software": None})


def draw_heat_map(axes, percentages, row_names, column_names):
    """Draw percentages as a heat map with a number in each cell.

    Args:
        axes: Matplotlib axes.
        percentages: (rows, columns) of 0 to 100; nan for a cell that stays empty.
        row_names, column_names: labels of the rows and columns.
    """
    axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(percentages >= 0.5), strict=True):
        percentage = percentages[row, column]
        color = "white" if percentage > 50 else "black"
        axes.text(column, row, f"{percentage:.0f}", ha="center", va="center", size=7, color=color)
    axes.set_xticks(range(len(column_names)), map(escape_label, column_names), rotation=90)
    axes.set_yticks(range(len(row_names)), map(escape_label, row_names))
