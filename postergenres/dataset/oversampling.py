"""Draw a sample of the training movies, and oversample the rare genres.

Arguments of all strategies: `labels` is (movies, genres) of 0 and 1; `copies` is (movies,), 1 for a
drawn movie, else 0. Each strategy returns how many times each movie is in the sample afterwards,
never less than before.

No strategy raises the count of a genre above the count that the most common genre has before. As
no count falls either, neither the IRLbl of any genre nor its mean, MeanIR, can rise.
"""

import numpy as np

from postergenres.dataset.imbalance import count_genres, imbalance_ratios

STRATEGIES = ("study", "ml-ros", "none")  # the values of OVERSAMPLING


def draw_sample(labels, settings):
    """Draw training movies at random, then oversample the rare genres.

    Args:
        labels: (training movies, genres) of 0 and 1.
        settings: sample_fraction, oversampling (one of STRATEGIES), common_genres, fill, growth,
            max_copies and seed, a dict.

    Returns:
        Two int arrays (training movies,), how many times each movie is in the sample before
        oversampling (1 if it was drawn, else 0) and after.
    """
    rng = np.random.default_rng(settings["seed"])
    drawn = draw_movies(len(labels), settings["sample_fraction"], rng)
    max_copies = settings["max_copies"]
    if settings["oversampling"] == "study":
        options = settings["common_genres"], settings["fill"], max_copies
        return drawn, oversample_study(labels, drawn, *options, rng)
    if settings["oversampling"] == "ml-ros":
        return drawn, oversample_ml_ros(labels, drawn, settings["growth"], max_copies, rng)
    return drawn, drawn


def draw_movies(count, fraction, rng):
    """Draw a fraction of `count` movies without replacement: int (count,), 1 if drawn, else 0."""
    copies = np.zeros(count, dtype=int)
    copies[rng.choice(count, size=max(1, round(fraction * count)), replace=False)] = 1
    return copies


def oversample_study(labels, copies, common_genres, fill, max_copies, rng):
    """Add movies of the rare genres, starting with the rarest, as the study did.

    The study split its movies afterwards; here they are split before. Movies with a common genre
    are never added, because they would make the common genres more common, too. Movies that were
    not drawn are added first, then movies are repeated.

    Args:
        common_genres: number of the most common genres, to which no movies are added.
        fill: pairs (count, share), counts in rising order. A genre gets a share of the movies that
            it lacks to be as common as the most common genre: the share of the first pair whose
            count is at least the genre's number of drawn movies, or none if there is no such pair.
        max_copies: the most copies of a movie in the sample.
        rng: numpy.random.Generator.
    """
    copies = copies.copy()
    counts = count_genres(labels, copies)
    limit = counts.max()
    by_count = np.argsort(counts, kind="stable")
    rare, common = np.split(by_count, [max(0, len(by_count) - common_genres)])
    may_be_added = ~labels[:, common].any(axis=1)
    for genre in rare:
        share = next((share for count, share in fill if counts[genre] <= count), 0)
        target = counts[genre] + int(share * (limit - counts[genre]))
        pool = rng.permutation(np.flatnonzero(labels[:, genre] * may_be_added))
        for already in range(max_copies):
            for movie in pool[copies[pool] == already]:
                if counts[genre] >= target:
                    break
                if (counts + labels[movie] <= limit).all():
                    copies[movie] += 1
                    counts += labels[movie]
    return copies


def oversample_ml_ros(labels, copies, growth, max_copies, rng):
    """Repeat movies of the genres that are rarer than average: ML-ROS (Charte et al. 2015).

    A genre is a minority genre while its IRLbl is above the MeanIR of the drawn sample. In turn,
    one random drawn movie of each minority genre is repeated. Unlike in the paper, a movie is not
    repeated if one of its genres is already as common as the most common genre: otherwise ML-ROS
    makes the genres rarer that it does not repeat.

    Args:
        growth: the most repeats, as a share of the drawn movies.
        max_copies: the most copies of a movie in the sample.
        rng: numpy.random.Generator.
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
