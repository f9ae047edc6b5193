"""The training history as a table and a picture."""

from postergenres.old_files import write_csv
from postergenres.plotting import save_figure

from matplotlib.figure import Figure


def save_history(history, floor, folder):
    """Write history.csv, and training.png with both losses by epoch beside the floor.

    Args:
        history: DataFrame of epoch, loss, val_loss and learning_rate.
        floor: validation loss of the prior.
        folder: `pathlib.Path` of the folder to write in.
    """
    write_csv(history, folder / "history.csv")
    save_figure(draw_history(history, floor), folder / "training.png", dpi=150)


def draw_history(history, floor):
    """Return the Matplotlib figure of training.png: see `save_history`."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["val_loss"], "o-", label="validation movies")
    axes.plot(history["epoch"], history["loss"], "s--", label="training sample, to its targets")
    axes.axhline(floor, color="black", linestyle=":", label="prior of the training movies (floor)")
    best = history["val_loss"].idxmin()
    axes.annotate(
        "kept",
        (history["epoch"][best], history["val_loss"][best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Training")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
