"""The history of a training, as a table and a picture."""

from matplotlib.figure import Figure

from postergenres.files import replacing, write_csv


def save_history(history, floor, folder):
    """Write history.csv, and training.png: both losses by epoch beside the floor."""
    write_csv(history, folder / "history.csv")
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
    with replacing(folder / "training.png") as part:
        figure.savefig(part, dpi=150)
