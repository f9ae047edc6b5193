"""The training history as a table and a picture."""

from pathlib import Path

from postergenres.files import write_csv
from postergenres.plotting import save_figure

import pandas as pd
from matplotlib.figure import Figure


def save_history(history: pd.DataFrame, floor: float, folder: Path) -> None:
    """Write history.csv, and training.png with both losses beside the floor, a validation loss."""
    write_csv(history, folder / "history.csv")
    save_figure(draw_history(history, floor), folder / "training.png", dpi=150)


def draw_history(history: pd.DataFrame, floor: float) -> Figure:
    """Return the figure of training.png: see `save_history`."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["val_loss"], "o-", label="validation movies")
    axes.plot(history["epoch"], history["loss"], "s--", label="training sample, to its targets")
    axes.axhline(floor, color="black", linestyle=":", label="prior of the training movies (floor)")
    best = history["val_loss"].to_numpy().argmin()
    axes.annotate(
        "kept",
        (history["epoch"].to_numpy()[best], history["val_loss"].to_numpy()[best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Training")
    axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
