"""Draw and save figures with Matplotlib, for all steps."""

import numpy as np

from postergenres.files import replacing


def escape_label(name):
    """Return a genre or title so that Matplotlib shows it literally; a `$` would start a formula.

    Args:
        name: string.
    """
    return name.replace("$", r"\$")


def save_figure(figure, path, dpi):
    """Save a figure as PNG, complete or not at all; equal figures give equal bytes.

    Args:
        figure: Matplotlib figure.
        path: the PNG file.
        dpi: pixels per inch of the figure's size.
    """
    with replacing(path) as part:
        figure.savefig(part, dpi=dpi, metadata={"Software": None})


def draw_heat_map(axes, percentages, row_names, column_names):
    """Draw percentages as a heat map, with a number in each cell that rounds to 1 or more.

    Args:
        axes: Matplotlib axes.
        percentages: (rows, columns) of 0 to 100; nan for an empty cell.
        row_names, column_names: labels of the rows and columns.
    """
    axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(percentages >= 0.5), strict=True):
        percentage = percentages[row, column]
        color = "white" if percentage > 50 else "black"
        axes.text(column, row, f"{percentage:.0f}", ha="center", va="center", size=7, color=color)
    axes.set_xticks(range(len(column_names)), map(escape_label, column_names), rotation=90)
    axes.set_yticks(range(len(row_names)), map(escape_label, row_names))
