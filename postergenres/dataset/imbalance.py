"""Measure how imbalanced multi-label data is.

`labels` is (movies, genres) of 0 and 1. `copies` is (movies,), how often each movie is in the
sample; 0 for a movie that is not in the sample.

Sources: Tsoumakas and Katakis 2007, Multi-Label Classification: an Overview. Charte et al. 2014,
Concurrence among Imbalanced Labels and its Influence on Multilabel Resampling Algorithms. Charte et
al. 2015, Addressing Imbalance in Multilabel Classification: Measures and Random Resampling
Algorithms.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd


def count_genres(labels: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Return the number of movies of each genre in the sample, copies counted: int (genres,)."""
    return copies @ labels.astype(int)


def imbalance_ratios(counts: np.ndarray) -> np.ndarray:
    """Return IRLbl: the count of the most common genre over the count of each (Charte et al. 2015).

    It is 1 for the most common genre, and infinite for a genre without a movie.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, counts.max() / counts, np.inf)


def measure_imbalance(labels: np.ndarray, copies: np.ndarray) -> dict[str, float]:
    """Return the measures of a sample; raise a ValueError if it is empty or a movie has no genre.

    movies: the number of movies, copies counted.
    MeanIR: the mean of IRLbl (Charte et al. 2015).
    CVIR: the standard deviation of IRLbl, with one degree of freedom taken off, over MeanIR
        (Charte et al. 2015); 0 for a single genre, nan if MeanIR is infinite.
    cardinality: genres per movie (Tsoumakas and Katakis 2007).
    density: cardinality over the number of genres (Tsoumakas and Katakis 2007).
    SCUMBLE: how often common and rare genres occur on the same movie, from 0 to 1 (Charte et al.
        2014): the mean over movies of 1 - geometric mean / arithmetic mean of their genres' IRLbl.
    """
    present = copies > 0
    labels, copies = labels[present].astype(int), copies[present]
    if not len(labels) or not labels.any(axis=1).all():
        raise ValueError("the measures need movies, each with at least one genre")
    ratios = imbalance_ratios(count_genres(labels, copies))
    mean = ratios.mean()
    deviation = 0 if len(ratios) == 1 else ratios.std(ddof=1) if np.isfinite(mean) else np.nan
    cardinality = np.average(labels.sum(axis=1), weights=copies)
    return {
        "movies": int(copies.sum()),
        "MeanIR": float(mean),
        "CVIR": float(deviation / mean),
        "cardinality": float(cardinality),
        "density": float(cardinality / labels.shape[1]),
        "SCUMBLE": float(np.average(measure_concurrence(labels, ratios), weights=copies)),
    }


def measure_concurrence(labels: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return the SCUMBLE of each movie (Charte et al. 2014); ratios are the IRLbl, (genres,)."""
    carried = labels.sum(axis=1)
    finite = np.where(np.isfinite(ratios), ratios, 1)  # a genre with an infinite IRLbl has no movie
    geometric = np.exp(labels @ np.log(finite) / carried)
    arithmetic = labels @ finite / carried
    return 1 - geometric / arithmetic


class Summary(NamedTuple):
    """What a sample holds; train-only movies count in `train_only`, `drawn` and `sample` only."""

    counts: pd.DataFrame  # a row per genre: movies in total, in splits and samples, and IRLbl
    measures: pd.DataFrame  # a row per sample, see `measure_imbalance`


def summarize_samples(
    movies: pd.DataFrame,
    labels: np.ndarray,
    genres: list[str],
    *,
    drawn: np.ndarray,
    copies: np.ndarray,
) -> Summary:
    """Count and measure all training movies, the drawn movies, and the oversampled movies.

    Args:
        movies: with columns `split` and `train_only`.
        labels, genres: the genres of all movies, and their names.
        drawn, copies: (training movies,), copies before oversampling and after.
    """
    split, train_only = movies["split"].to_numpy(), movies["train_only"].to_numpy()
    is_train = split == "train"
    train, is_train_only = labels[is_train], train_only[is_train].astype(int)
    samples = {"train": 1 - is_train_only, "train_only": is_train_only}
    samples |= {"drawn": drawn, "sample": copies}
    if not is_train_only.any():
        del samples["train_only"]
    counts = pd.DataFrame({"movies": labels[~train_only].sum(axis=0)}, index=pd.Index(genres))
    for name, sample in samples.items():
        counts[name] = count_genres(train, sample)
    for name in ("drawn", "sample"):
        counts[f"IRLbl {name}"] = imbalance_ratios(counts[name].to_numpy())
    for name in ("val", "test"):
        counts[name] = labels[split == name].sum(axis=0)
    measures = {name: measure_imbalance(train, sample) for name, sample in samples.items()}
    return Summary(counts, pd.DataFrame.from_dict(measures, orient="index"))
