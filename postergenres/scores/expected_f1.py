"""Choose the genres of each poster that have the highest expected F1.

The F1 of a poster compares its predicted with its true genres. Given probabilities of the true
genres, independent of each other given the poster, the best k genres are the k most probable ones,
and the expected F1 of each k is a sum over how many of these k, and how many of the others, are
true. Sources: Ye, Chai, Lee and Chieu 2012, Optimizing F-measure: A Tale of Two Approaches;
Dembczynski, Waegeman, Cheng and Hüllermeier 2011, An Exact Algorithm for F-Measure Maximization.
"""

import numpy as np

CELLS = 2**22  # numbers per table of a chunk of posters


def choose_genres(probabilities: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """Return which genres are predicted for each poster, (N, G) of True and False.

    Every poster gets at least one genre, and always its most probable ones, but none if its
    probabilities are nan. Of equally good choices, the one with the fewest genres is taken.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    chosen = np.zeros(probabilities.shape, bool)
    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    chunk = max(1, cells // (probabilities.shape[1] + 1) ** 2)
    for start in range(0, len(known), chunk):
        rows = known[start : start + chunk]
        order = np.argsort(-probabilities[rows], axis=1, kind="stable")
        counts = count_best(np.take_along_axis(probabilities[rows], order, axis=1))
        is_best = np.arange(probabilities.shape[1]) < counts[:, None]
        chosen[rows[:, None], order] = is_best
    return chosen


def count_best(probabilities: np.ndarray) -> np.ndarray:
    """Return how many of the first genres have the highest expected F1, (N,), at least 1.

    Each row of the probabilities, (N, G), is sorted from high to low.
    """
    genres = probabilities.shape[1]
    tails = [np.ones((len(probabilities), 1))]  # how many of the last 0, 1, 2 ... genres are true
    for genre in reversed(range(1, genres)):
        tails.append(add_genre(tails[-1], probabilities[:, genre]))
    counts = np.ones(len(probabilities), int)
    highest = np.zeros(len(probabilities))
    head = np.ones((len(probabilities), 1))
    for k in range(1, genres + 1):
        head, tail = add_genre(head, probabilities[:, k - 1]), tails[genres - k]
        hits, missed = np.arange(k + 1)[:, None], np.arange(genres - k + 1)
        expected = (head @ (2 * hits / (k + hits + missed)) * tail).sum(axis=1)
        is_better = expected > highest + 1e-12
        counts[is_better], highest[is_better] = k, expected[is_better]
    return counts


def add_genre(distribution: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Add a genre of this probability, (N,), to the distribution of how many of k genres are true.

    The distribution is (N, k + 1); the result, of k + 1 genres, is (N, k + 2).
    """
    result = np.pad(distribution * (1 - probability)[:, None], ((0, 0), (0, 1)))
    result[:, 1:] += distribution * probability[:, None]
    return result
