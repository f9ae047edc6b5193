"""Draw training movies, then oversample the rare genres.

`labels` is (movies, genres) of 0 and 1. `copies` is (movies,): 1 for a drawn movie, else 0. Each
strategy returns the copies of each movie in the sample, never fewer than before.

No strategy raises the count of a genre above the highest count before. So the highest count stays
the same, no other count falls, and neither a genre's imbalance ratio nor their mean, MeanIR, rises.
"""

from dataclasses import dataclass

from postergenres.dataset.imbalance import count_genres, imbalance_ratios
from postergenres.settings import Oversampling

import numpy as np

# Only the study draws a part, from whose remainder it takes the movies that it adds.
SAMPLE_FRACTIONS = {"study": 0.5, "ml-ros": 1.0, "none": 1.0}


@dataclass(frozen=True)
class Rules:
    """The settings of sampling.py on how training movies are drawn and rare genres oversampled.

    fill: pairs (count, share) with rising counts. A genre of at most `count` movies of the sample
    gets `share` of the movies that it lacks to the most common genre. A genre of more movies than
    the last count gets none.
    """

    oversampling: Oversampling
    sample_fraction: float | None  # of the training movies; None: see SAMPLE_FRACTIONS
    common_genres: int  # for "study": the number of most common genres, which get no movies
    fill: tuple[tuple[int, float], ...]  # for "study"
    growth: float  # for "ml-ros": the most clones, as a share of the drawn movies
    max_copies: int  # of a movie in the sample


def draw_sample(labels: np.ndarray, rules: Rules, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw training movies, at least one; return the copies before oversampling and after."""
    rng = np.random.default_rng(seed)
    count = len(labels)
    drawn = np.zeros(count, dtype=int)
    fraction = rules.sample_fraction or SAMPLE_FRACTIONS[rules.oversampling]
    size = max(1, round(fraction * count))
    drawn[rng.choice(count, size=size, replace=False)] = 1
    if rules.oversampling == "study":
        return drawn, oversample_study(labels, drawn, rules, rng)
    if rules.oversampling == "ml-ros":
        return drawn, oversample_ml_ros(labels, drawn, rules, rng)
    return drawn, drawn


def oversample_study(
    labels: np.ndarray, copies: np.ndarray, rules: Rules, rng: np.random.Generator
) -> np.ndarray:
    """Add movies of the rare genres, rarest genre first, as the study did before its split.

    Movies that were not drawn come first; after these, movies are repeated. Movies of a common
    genre are never added, because they would raise the counts of the common genres, too.
    """
    copies = copies.copy()
    counts = count_genres(labels, copies)
    limit = counts.max()
    by_count = np.argsort(counts, kind="stable")
    rare, common = np.split(by_count, [max(0, len(by_count) - rules.common_genres)])
    has_no_common = ~labels[:, common].any(axis=1)
    for genre in rare:
        share = next((share for count, share in rules.fill if counts[genre] <= count), 0)
        target = counts[genre] + int(share * (limit - counts[genre]))
        pool = rng.permutation(np.flatnonzero(labels[:, genre] * has_no_common))
        for present in range(rules.max_copies):
            for movie in pool[copies[pool] == present]:
                if counts[genre] >= target:
                    break
                if (counts + labels[movie] <= limit).all():
                    copies[movie] += 1
                    counts += labels[movie]
    return copies


def oversample_ml_ros(
    labels: np.ndarray, copies: np.ndarray, rules: Rules, rng: np.random.Generator
) -> np.ndarray:
    """Clone movies of the genres that are rarer than the mean: ML-ROS (Charte et al. 2015).

    A genre is in the minority while its IRLbl is above the MeanIR of the drawn sample. The minority
    genres take turns: one drawn movie of the genre is cloned at random. Unlike in the paper, movies
    of a genre that is as frequent as the most common are not cloned. With such clones, ML-ROS
    raised the IRLbl of the genres that it does not clone.
    """
    copies = copies.copy()
    drawn = copies > 0
    counts = count_genres(labels, copies)
    limit, ratios, present = counts.max(), imbalance_ratios(counts), counts > 0
    mean = ratios[present].mean()
    minority = np.flatnonzero(present & (ratios > mean))
    left = int(rules.growth * drawn.sum())
    bags = {genre: np.flatnonzero(labels[:, genre] * drawn) for genre in minority}
    while bags and left:
        for genre, bag in list(bags.items()):
            is_full = counts >= limit
            bag = bag[(copies[bag] < rules.max_copies) & ~labels[bag][:, is_full].any(axis=1)]
            if not len(bag) or limit / counts[genre] <= mean:
                del bags[genre]
            elif left:
                movie = rng.choice(bag)
                copies[movie] += 1
                counts += labels[movie]
                left -= 1
                bags[genre] = bag
    return copies
