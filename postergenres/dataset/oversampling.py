"""Strategies of oversampling: which training movies to add, and which to repeat.

`labels` is (movies, genres) of 0 and 1, `copies` (movies,) is 1 where a movie was drawn, else 0;
each strategy returns how often each movie then stands in the sample, never less than before.

No strategy takes a genre beyond the count that the commonest had before. So the commonest count
stays, no other falls, and no genre's imbalance ratio rises, nor does their mean, MeanIR.
"""

import numpy as np

from postergenres.dataset.imbalance import count_genres, imbalance_ratios


def oversample_study(labels, copies, common_genres, fill, max_copies, rng):
    """Fill up the rare genres, rarest first, as the study did, which split only afterwards.

    Movies that were not drawn come first. Those that carry a common genre are never taken: they
    would make the common genres commoner too. When the others are spent they are repeated.

    Args:
        common_genres: this many of the commonest genres are not filled.
        fill: pairs (count, share) with rising counts; a genre that at most `count` movies of the
            sample carry is filled up by `share` of what it lacks to the commonest, one of more
            movies than the last pair says is not filled.
        max_copies: times that one movie may stand in the sample.
        rng: a numpy.random.Generator.
    """
    copies = copies.copy()
    counts = count_genres(labels, copies)
    limit = counts.max()
    by_count = np.argsort(counts, kind="stable")
    rare, common = np.split(by_count, [max(0, len(by_count) - common_genres)])
    is_free = ~labels[:, common].any(axis=1)
    for genre in rare:
        share = next((share for count, share in fill if counts[genre] <= count), 0)
        target = counts[genre] + int(share * (limit - counts[genre]))
        pool = rng.permutation(np.flatnonzero(labels[:, genre] * is_free))
        for already in range(max_copies):
            for movie in pool[copies[pool] == already]:
                if counts[genre] >= target:
                    break
                if (counts + labels[movie] <= limit).all():
                    copies[movie] += 1
                    counts += labels[movie]
    return copies


def oversample_ml_ros(labels, copies, growth, max_copies, rng):
    """ML-ROS (Charte et al. 2015): clone movies of the genres that are rarer than the mean.

    A genre is in the minority while its IRLbl is above the MeanIR of the sample as it was drawn.
    In turns, each such genre has one of its drawn movies cloned, at random. Unlike in the paper a
    clone carries no genre that is already as frequent as the commonest: with clones that do, ML-ROS
    made genres that it does not clone rarer.

    Args:
        growth: the share of the drawn movies that is added at most.
        max_copies: times that one movie may stand in the sample.
        rng: a numpy.random.Generator.
    """
    copies = copies.copy()
    drawn = copies > 0
    counts = count_genres(labels, copies)
    limit, ratios, present = counts.max(), imbalance_ratios(counts), counts > 0
    mean = ratios[present].mean()
    minority = np.flatnonzero(present & (ratios > mean))
    left = int(growth * drawn.sum())
    bags = {genre: np.flatnonzero(labels[:, genre] * drawn) for genre in minority}
    while bags and left:
        for genre, bag in list(bags.items()):
            is_full = counts >= limit
            bag = bag[(copies[bag] < max_copies) & ~labels[bag][:, is_full].any(axis=1)]
            if not len(bag) or limit / counts[genre] <= mean:
                del bags[genre]
            elif left:
                movie = rng.choice(bag)
                copies[movie] += 1
                counts += labels[movie]
                left -= 1
                bags[genre] = bag
    return copies


STRATEGIES = ("study", "ml-ros", "none")  # what OVERSAMPLING may be


def draw_movies(count, fraction, rng):
    """Draw a fraction of `count` movies without replacement: an array of 1 (drawn) and 0."""
    copies = np.zeros(count, dtype=int)
    copies[rng.choice(count, size=max(1, round(fraction * count)), replace=False)] = 1
    return copies
