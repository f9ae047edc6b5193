"""How imbalanced multi-label data is: the measures of the field.

`labels` is (movies, genres) of 0 and 1, `copies` (movies,) says how often each movie stands in the
sample; 0 where it does not. Tsoumakas and Katakis 2007: Multi-Label Classification, an Overview.
Charte et al. 2014: Concurrence among Imbalanced Labels and its Influence on Multilabel Resampling
Algorithms. Charte et al. 2015: Addressing Imbalance in Multilabel Classification, Measures and
Random Resampling Algorithms.
"""

import numpy as np
import pandas as pd

from postergenres.plotting import draw_heat_map, escape_label, save_figure


def count_genres(labels, copies):
    """How many movies of the sample carry each genre, copies counted: int of shape (genres,)."""
    return copies @ labels.astype(int)


def imbalance_ratios(counts):
    """IRLbl of each genre: the count of the commonest genre over its own (Charte et al. 2015).

    1 for the commonest genre, infinite for one that no movie of the sample carries.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, counts.max() / counts, np.inf)


def measure(labels, copies):
    """The measures of a sample, as a dict.

    movies: copies counted.
    MeanIR: the mean of IRLbl (Charte et al. 2015).
    CVIR: the standard deviation of IRLbl, with one degree of freedom taken off, over MeanIR
        (Charte et al. 2015); 0 for a single genre, nan where MeanIR is infinite.
    cardinality: genres per movie (Tsoumakas and Katakis 2007).
    density: cardinality over the number of genres (Tsoumakas and Katakis 2007).
    SCUMBLE: how far common and rare genres stand on the same movies, from 0 to 1 (Charte et al.
        2014): the mean over movies of 1 - geometric mean / arithmetic mean of the IRLbl of the
        movie's genres.

    Raises:
        ValueError: the sample is empty, or a movie of it has no genre.
    """
    present = copies > 0
    labels, copies = labels[present].astype(int), copies[present]
    if not len(labels) or not labels.any(axis=1).all():
        raise ValueError("the measures need movies, each with at least one genre")
    ratios = imbalance_ratios(count_genres(labels, copies))
    mean = ratios.mean()
    deviation = 0 if len(ratios) == 1 else ratios.std(ddof=1) if np.isfinite(mean) else np.nan
    carried = labels.sum(axis=1)
    finite = np.where(np.isfinite(ratios), ratios, 1)  # the others are on no movie
    geometric = np.exp(labels @ np.log(finite) / carried)
    arithmetic = labels @ finite / carried
    cardinality = np.average(carried, weights=copies)
    return {
        "movies": int(copies.sum()),
        "MeanIR": float(mean),
        "CVIR": float(deviation / mean),
        "cardinality": float(cardinality),
        "density": float(cardinality / labels.shape[1]),
        "SCUMBLE": float(np.average(1 - geometric / arithmetic, weights=copies)),
    }


def describe(labels, split, drawn, copies, genres):
    """Count and measure the samples: all training movies, those drawn, and these oversampled.

    Args:
        drawn, copies: (training movies,), before oversampling and after.

    Returns:
        A DataFrame with one row per genre: movies of it in the whole, in each split and sample,
        and its IRLbl as drawn and after oversampling; and one with a row of measures per sample.
    """
    train = labels[split == "train"]
    samples = {"train": np.ones_like(drawn), "drawn": drawn, "sample": copies}
    counts = pd.DataFrame({"movies": labels.sum(axis=0)}, index=genres)
    for name, sample in samples.items():
        counts[name] = count_genres(train, sample)
    for name in ("drawn", "sample"):
        counts[f"IRLbl {name}"] = imbalance_ratios(counts[name].to_numpy())
    for name in ("val", "test"):
        counts[name] = labels[split == name].sum(axis=0)
    measures = {name: measure(train, sample) for name, sample in samples.items()}
    return counts, pd.DataFrame.from_dict(measures, orient="index")


def save_picture(labels, before, after, path, most=30):
    """Draw the genre counts before and after oversampling, and which genres occur together.

    Args:
        labels: (movies, genres), of all movies.
        before, after: Series of counts by genre.
        path: of the PNG file.
        most: the commonest genres that are drawn, as many as can be read.
    """
    from matplotlib.figure import Figure  # here, because step 3 does without

    order = np.argsort(-labels.sum(axis=0, dtype=int), kind="stable")[:most]
    before, after, labels = before.iloc[order], after.iloc[order], labels[:, order].astype(float)
    names = list(before.index)
    height = 2.2 + 0.3 * len(order)
    figure = Figure(figsize=(6.5 + 1.4 * height, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.4 * height))
    rows = np.arange(len(order))
    left.barh(rows - 0.2, before, 0.4, color="0.65", label="as drawn")
    left.barh(rows + 0.2, after, 0.4, color="C0", label="after oversampling")
    left.set_yticks(rows, map(escape_label, names))
    left.invert_yaxis()
    left.set(title="Movies of each genre to train on", xlabel="movies, copies counted")
    left.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, loc="lower right")

    together = 100 * (labels.T @ labels) / labels.sum(axis=0)[:, None]
    np.fill_diagonal(together, np.nan)
    draw_heat_map(right, together, names, names)
    right.set_title(
        "Genres that occur together: of 100 movies of the genre\n"
        "at the left, so many are also of the genre below"
    )
    save_figure(figure, path, dpi=120)
