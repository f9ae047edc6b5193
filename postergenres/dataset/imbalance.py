"""Measure how imbalanced multi-label data is.

Arguments of all functions: `labels` is (movies, genres) of 0 and 1; `copies` is (movies,), how many
times each movie is in the sample, 0 if it is left out.

Sources of the formulas: Tsoumakas and Katakis 2007, Multi-Label Classification: An Overview.
Charte et al. 2014, Concurrence among Imbalanced Labels and Its Influence on Multilabel Resampling
Algorithms. Charte et al. 2015, Addressing Imbalance in Multilabel Classification: Measures and
Random Resampling Algorithms.
"""

import numpy as np
import pandas as pd


def count_genres(labels, copies):
    """Return how many movies of the sample have each genre, copies counted: int (genres,)."""
    return copies @ labels.astype(int)


def imbalance_ratios(counts):
    """Return the IRLbl of each genre (Charte et al. 2015).

    It is the count of the most common genre divided by the genre's own: 1 for the most common
    genre, infinity for a genre without movies.

    Args:
        counts: (genres,), movies of each genre.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, counts.max() / counts, np.inf)


def measure_imbalance(labels, copies):
    """Return the measures of a sample.

    Returns:
        A dict of
        movies: the size of the sample, copies counted.
        MeanIR: the mean of IRLbl (Charte et al. 2015).
        CVIR: the sample standard deviation of IRLbl (ddof=1) divided by MeanIR (Charte et al.
            2015); 0 for a single genre, nan if MeanIR is infinite.
        cardinality: the mean number of genres of a movie (Tsoumakas and Katakis 2007).
        density: cardinality divided by the number of genres (Tsoumakas and Katakis 2007).
        SCUMBLE: how much common and rare genres occur on the same movies, from 0 to 1 (Charte et
            al. 2014): the mean over movies of 1 - geometric mean / arithmetic mean of the IRLbl of
            the movie's genres.

    Raises:
        ValueError: the sample is empty, or one of its movies has no genre.
    """
    present = copies > 0
    labels, copies = labels[present].astype(int), copies[present]
    if not len(labels) or not labels.any(axis=1).all():
        raise ValueError("the measures need movies, each with at least one genre")
    ratios = imbalance_ratios(count_genres(labels, copies))
    mean = ratios.mean()
    deviation = 0 if len(ratios) == 1 else ratios.std(ddof=1) if np.isfinite(mean) else np.nan
    genres_per_movie = labels.sum(axis=1)
    finite = np.where(np.isfinite(ratios), ratios, 1)  # genres with infinite ratios have no movie
    geometric = np.exp(labels @ np.log(finite) / genres_per_movie)
    arithmetic = labels @ finite / genres_per_movie
    cardinality = np.average(genres_per_movie, weights=copies)
    return {
        "movies": int(copies.sum()),
        "MeanIR": float(mean),
        "CVIR": float(deviation / mean),
        "cardinality": float(cardinality),
        "density": float(cardinality / labels.shape[1]),
        "SCUMBLE": float(np.average(1 - geometric / arithmetic, weights=copies)),
    }


def compare_samples(labels, split, drawn, copies, genres):
    """Count and measure all training movies, the drawn ones, and the sample after oversampling.

    Args:
        labels: for all movies.
        split: (movies,) of "train", "val" and "test".
        drawn, copies: (training movies,), the copies before and after oversampling.
        genres: names of the genres.

    Returns:
        Two DataFrames. The first has a row for each genre: its movies in total, among all training
        movies ("train"), in both samples ("drawn" and "sample"), in val and in test, and its IRLbl
        in both samples. The second has a row of measures for train, drawn and sample.
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
    measures = {name: measure_imbalance(train, sample) for name, sample in samples.items()}
    return counts, pd.DataFrame.from_dict(measures, orient="index")
