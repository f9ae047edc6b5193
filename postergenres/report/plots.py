"""Draw the pictures of step 5, with the floor of each score that has one.

The colors are from Okabe and Ito (2008, Color Universal Design), for color-blind readers. Two
colors in one picture always come with two shapes, so that the picture can be printed in gray.
"""

from pathlib import Path

from postergenres.plotting import draw_heat_map, escape_label, save_figure
from postergenres.scores.bootstrap import ComparedScores

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

BLUE, SKY = "#0072B2", "#56B4E9"
COLUMNS = 6  # diagrams in a row


def save_average_precision(scores: ComparedScores, path: Path) -> None:
    """Draw a bar for the average precision of each genre, with its interval and its floor."""
    table = scores.per_genre.dropna(subset="score").sort_values("score")
    places = np.arange(len(table))
    figure = Figure(figsize=(7.5, 1.2 + 0.27 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, table["score"], color=SKY, label="model")
    low, high = table["low"], table["high"]
    axes.hlines(places, low, high, color=BLUE, lw=2, label="95 % interval")
    axes.plot(
        table["floor"], places, "|", color="black", ms=11, mew=2.5, label="floor (random order)"
    )
    names = [f"{escape_label(str(genre))} ({count})" for genre, count in table["movies"].items()]
    axes.set_yticks(places, names)
    axes.set(xlim=(0, 1), ylim=(-0.7, len(table) - 0.3), xlabel="average precision on test movies")
    row = scores.overall.loc["mAP"]
    figure.suptitle(
        f"Mean average precision {row['score']:.3f}, floor {row['floor']:.3f}\n"
        "(in brackets: the number of test movies with the genre)",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    save_figure(figure, path, dpi=150)


def save_precision_recall(
    labels: np.ndarray, probabilities: np.ndarray, genres: list[str], path: Path
) -> None:
    """Draw precision against recall, a diagram for each genre; dotted, of a random order."""
    present = np.flatnonzero(labels.any(axis=0))
    rows = -(-len(present) // COLUMNS)
    figure = Figure(figsize=(1.75 * COLUMNS, 0.6 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(present) :]:
        axes.remove()
    for axes in grid.ravel()[max(0, len(present) - COLUMNS) : len(present)]:
        axes.tick_params(labelbottom=True)  # the lowest diagram of each column
    for genre, axes in zip(present, grid.ravel(), strict=False):
        precision, recall, _ = precision_recall_curve(labels[:, genre], probabilities[:, genre])
        axes.plot(recall, precision, color=BLUE, drawstyle="steps-post")
        axes.axhline(labels[:, genre].mean(), color="black", linestyle=":", lw=1.5)
        axes.set_title(f"{escape_label(genres[genre])} ({labels[:, genre].sum()})", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("recall", fontsize=10)
    figure.supylabel("precision", fontsize=10)
    figure.suptitle(
        "Precision and recall of each genre (in brackets: the number of test movies with it)\n"
        "Dotted: the precision of a random order, the share of the test movies with the genre",
        fontsize=10,
    )
    save_figure(figure, path, dpi=150)


def save_reliability(reliability: pd.DataFrame, scores: ComparedScores, path: Path) -> None:
    """Draw a reliability diagram: the observed share against the predicted probability."""
    row = scores.overall.loc["calibration_error"]
    figure = Figure(figsize=(5, 6.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], ":", color="black", label="perfect calibration")
    axes.plot(reliability["predicted"], reliability["true"], "o-", color=BLUE, label="model")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of movies that have the genre")
    axes.set_title(
        "Predicted probabilities and observed shares, all genres together\n"
        f"expected calibration error {row['score']:.3f}, floor {row['floor']:.3f}",
        fontsize=10,
    )
    axes.legend(frameon=False)
    below.bar(reliability["predicted"], reliability["count"], width=0.03, color=SKY)
    below.set(yscale="log", ylabel="predictions", xlabel="predicted probability of a genre")
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, dpi=150)


def save_confusions(
    confusions: np.ndarray, floor: np.ndarray, genres: list[str], path: Path
) -> None:
    """Draw a heat map of the result of `metrics.measure_confusions`."""
    percentages = 100 * np.vstack([confusions, floor])
    percentages[np.arange(len(genres)), np.arange(len(genres))] = np.nan
    side = max(6, 2.4 + 0.32 * len(genres))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    draw_heat_map(axes, percentages, [*genres, "any movie (floor)"], genres)
    axes.axhline(len(genres) - 0.5, color="black", lw=1.5)
    axes.set(xlabel="genre predicted by mistake", ylabel="true genre")
    figure.suptitle(
        "Confused genres: of 100 movies that have the genre on the left and not\n"
        "the genre below, the number for which the genre below is predicted",
        fontsize=10,
    )
    save_figure(figure, path, dpi=130)
