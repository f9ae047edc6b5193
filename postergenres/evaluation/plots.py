"""The pictures of step 5, the floor drawn in where there is one.

Colours are those of Okabe and Ito (2008, Color Universal Design), which people tell apart whatever
their eyes; where two are in one picture their shapes differ, so that it can be printed in grey.
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from postergenres.plotting import draw_heat_map, escape_label, save_figure

BLUE, SKY = "#0072B2", "#56B4E9"
COLUMNS = 6  # of posters, or of small diagrams, in a row


def save_average_precision(per_genre, overall, path):
    """The average precision of each genre with its interval, and its floor as a tick.

    Args:
        per_genre, overall: what `evaluation.compare_with_prior` returned.
    """
    table = per_genre.dropna(subset="score").sort_values("score")
    places = np.arange(len(table))
    figure = Figure(figsize=(7.5, 1.2 + 0.27 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, table["score"], color=SKY, label="model")
    low, high = table["low"], table["high"]
    axes.hlines(places, low, high, color=BLUE, lw=2, label="95 % interval")
    axes.plot(table["floor"], places, "|", color="black", ms=11, mew=2.5, label="floor (prior)")
    names = [f"{escape_label(genre)} ({count})" for genre, count in table["movies"].items()]
    axes.set_yticks(places, names)
    axes.set(xlim=(0, 1), ylim=(-0.7, len(table) - 0.3), xlabel="average precision on test movies")
    row = overall.loc["mAP"]
    axes.set_title(f"Mean {row['score']:.3f}, floor {row['floor']:.3f} (test movies in brackets)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    save_figure(figure, path, dpi=150)


def save_precision_recall(labels, probabilities, genres, path):
    """Precision against recall, a diagram for each genre; the dotted line is the floor."""
    carried = np.flatnonzero(labels.any(axis=0))
    rows = -(-len(carried) // COLUMNS)
    figure = Figure(figsize=(1.75 * COLUMNS, 0.6 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(carried) :]:
        axes.remove()
    for genre, axes in zip(carried, grid.ravel(), strict=False):
        precision, recall, _ = precision_recall_curve(labels[:, genre], probabilities[:, genre])
        axes.plot(recall, precision, color=BLUE, drawstyle="steps-post")
        axes.axhline(labels[:, genre].mean(), color="black", linestyle=":", lw=1.5)
        axes.set_title(f"{escape_label(genres[genre])} ({labels[:, genre].sum()})", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("recall", fontsize=10)
    figure.supylabel("precision", fontsize=10)
    figure.suptitle(
        "Precision and recall of each genre; dotted: the floor, its share of the test movies",
        fontsize=10,
    )
    save_figure(figure, path, dpi=150)


def save_reliability(reliability, row, path):
    """Whether a probability comes true as often as it says, and how often each is given.

    Args:
        reliability: what `evaluation.measure_reliability` returned.
        row: the expected calibration error with its `score` and `floor`.
    """
    figure = Figure(figsize=(5, 6.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], ":", color="black", label="as it should be")
    axes.plot(reliability["predicted"], reliability["true"], "o-", color=BLUE, label="model")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that came true")
    axes.set_title(
        "Are the probabilities true?\n"
        f"expected calibration error {row['score']:.3f}, floor {row['floor']:.3f}",
        fontsize=10,
    )
    axes.legend(frameon=False)
    below.bar(reliability["predicted"], reliability["count"], width=0.03, color=SKY)
    below.set(yscale="log", ylabel="count", xlabel="probability of a genre, predicted")
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, dpi=150)


def save_mistakes(shares, anyway, genres, path):
    """Which genres are taken for which.

    Args:
        shares, anyway: what `evaluation.count_mistakes` returned.
    """
    shares = 100 * np.vstack([shares, anyway])
    shares[np.arange(len(genres)), np.arange(len(genres))] = np.nan
    side = max(6, 2.4 + 0.32 * len(genres))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    draw_heat_map(axes, shares, [*genres, "any movie (floor)"], genres)
    axes.axhline(len(genres) - 0.5, color="black", lw=1.5)
    axes.set(xlabel="is predicted, wrongly", ylabel="is true")
    axes.set_title(
        "Which genres are taken for which: of 100 movies of the genre at the left that are not\n"
        "of the genre below, for so many that genre is predicted all the same",
        fontsize=10,
    )
    save_figure(figure, path, dpi=130)


def choose_posters(labels, probabilities, prior, count=COLUMNS, seed=0):
    """The movies to show: {what they are: their rows}.

    How well a movie is predicted is how far its cross-entropy is below that of the prior.
    """
    probabilities = np.clip(probabilities, 1e-7, 1 - 1e-7)
    gained = np.where(labels, np.log(probabilities / prior), 0)
    gained = gained + np.where(labels, 0, np.log((1 - probabilities) / (1 - prior)))
    order = np.argsort(-gained.mean(axis=1), kind="stable")
    drawn = np.random.default_rng(seed).permutation(len(labels))[:count]
    return {
        "best: those that gain most on the cross-entropy of the prior": order[:count],
        "drawn at random": drawn,
        "worst: those that gain least, or lose most": order[::-1][:count],
    }


def save_posters(chosen, images, test, labels, probabilities, genres, path):
    """Test posters with their genres above and the three most probable ones below.

    Args:
        chosen: {title of a line of posters: row numbers of labels and probabilities}.
        images: uint8 (M, H, W, 3), memory-mapped or not.
        test: (N,), the row of each test movie in `images`.
        labels, probabilities: (N, G).
    """
    figure = Figure(figsize=(2.05 * COLUMNS, 4.3 * len(chosen)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(chosen), 1))
    for part, (title, rows) in zip(parts, chosen.items(), strict=True):
        part.suptitle(title[0].upper() + title[1:], fontsize=11)
        for place, axes in enumerate(part.subplots(1, COLUMNS)):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if place >= len(rows):
                continue
            row = rows[place]
            axes.imshow(images[test[row]])
            carried = [escape_label(genres[genre]) for genre in np.flatnonzero(labels[row])]
            shown = carried if len(carried) <= 5 else [*carried[:4], "…"]
            axes.set_title(",\n".join(shown), fontsize=8, va="bottom")
            lines = [
                f"{'✓' if labels[row, genre] else '–'} {escape_label(genres[genre])} "
                f"{100 * probabilities[row, genre]:.0f} %"
                for genre in np.argsort(-probabilities[row], kind="stable")[:3]
            ]
            axes.set_xlabel("\n".join(lines), fontsize=8, loc="left")
    save_figure(figure, path, dpi=110)
