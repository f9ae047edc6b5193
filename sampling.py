"""Step 2: clean the genres, split the movies, and oversample the rare genres for training.

    python sampling.py

Drawn at random, a sample is nearly all dramas and comedies. So a part of the training movies is
drawn, and then the rare genres are oversampled. The split comes first: a movie, or its poster, that
stood in two splits would be tested on what was learnt by heart.

Reads   DATA_DIR/posters.csv and DATA_DIR/posters/
Writes  DATA_DIR/samples.csv: id, title, genres, split (train, val, test), copies (1 outside train);
        sampling.json: counts of the genres and measures of imbalance, before and after; duplicate
        posters; and sampling.png
Takes   about 20 s for 15,000 movies, most of it to look for duplicate posters.
"""

import sys
from contextlib import suppress
from numbers import Integral

import numpy as np

from postergenres.dataset.duplicates import find_duplicates, list_groups
from postergenres.dataset.genres import clean_genres, encode_genres
from postergenres.dataset.imbalance import describe
from postergenres.dataset.oversampling import (
    STRATEGIES,
    draw_movies,
    oversample_ml_ros,
    oversample_study,
)
from postergenres.dataset.samples import read_ok, report, save
from postergenres.dataset.stratification import split_movies
from postergenres.settings import check_settings as check_step

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that database.py wrote
EXCLUDED_GENRES = ("TV Movie", "Foreign")  # no matter of looks: movies that carry one are dropped
MIN_GENRE_MOVIES = 10  # movies a genre needs to stay; below about 10, none may reach the test split
NEAR_DUPLICATE = 68  # of 256 bits of their hashes; posters that differ in no more share a split
SAMPLE_FRACTION = 0.5  # of the training movies, drawn at random; 0.1 gives some 8,000 of 45,000
OVERSAMPLING = "study"  # adds movies that were not drawn; "ml-ros" clones drawn ones; or "none"
COMMON_GENRES = 2  # for "study": the commonest genres, whose movies are not added
FILL = ((1000, 0.9), (2000, 0.5), (3000, 0.3))  # for "study": (drawn movies, share), see below
# A genre of up to 1000 drawn movies gets 90 % of what it lacks to the commonest genre, one of up to
# 2000 gets 50 %, one of up to 3000 gets 30 %, one of more gets nothing.
GROWTH = 0.25  # for "ml-ros": clones at most, as a share of the drawn movies
MAX_COPIES = 3  # times that one movie may stand in the sample; more teaches it by heart
VAL_SHARE = 0.15  # of all movies; the natural mix of genres, to choose epochs and thresholds on
TEST_SHARE = 0.15  # of all movies; the natural mix of genres, for the final scores only
SEED = 0  # another seed gives another split and another sample
CLUSTER = None  # or a Dask scheduler's address, "tcp://192.168.0.1:8786": compares posters there
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    excluded_genres=EXCLUDED_GENRES,
    min_genre_movies=MIN_GENRE_MOVIES,
    near_duplicate=NEAR_DUPLICATE,
    sample_fraction=SAMPLE_FRACTION,
    oversampling=OVERSAMPLING,
    common_genres=COMMON_GENRES,
    fill=FILL,
    growth=GROWTH,
    max_copies=MAX_COPIES,
    val_share=VAL_SHARE,
    test_share=TEST_SHARE,
    seed=SEED,
    cluster=CLUSTER,
):
    """Write samples.csv from posters.csv, and say what came of the genres."""
    settings = {key: value for key, value in locals().items() if key not in ("data_dir", "cluster")}
    check_settings(**settings)
    check_step("sampling", locals())
    with suppress(AttributeError):  # where a notebook prints
        sys.stdout.reconfigure(errors="replace")  # a title that the console cannot show
    movies, genres = clean_genres(read_ok(data_dir), excluded_genres, min_genre_movies)
    labels = encode_genres(movies["genres"], genres)
    groups = find_duplicates(movies, data_dir, near_duplicate, cluster)
    movies["split"] = split_movies(labels, groups, val_share, test_share, seed)

    train = np.flatnonzero(movies["split"] == "train")
    rng = np.random.default_rng(seed)
    drawn = draw_movies(len(train), sample_fraction, rng)
    if oversampling == "study":
        copies = oversample_study(labels[train], drawn, common_genres, fill, max_copies, rng)
    elif oversampling == "ml-ros":
        copies = oversample_ml_ros(labels[train], drawn, growth, max_copies, rng)
    else:
        copies = drawn
    counts, measures = describe(labels, movies["split"], drawn, copies, genres)
    report(counts, measures, drawn, copies)

    movies["copies"] = 1
    movies.loc[train, "copies"] = copies
    columns = ["id", "title", "genres", "split", "copies"]
    samples = movies.loc[movies["copies"] > 0, columns]
    save(samples, labels, counts, measures, list_groups(movies["id"], groups), settings, data_dir)


def check_settings(
    excluded_genres,
    min_genre_movies,
    near_duplicate,
    sample_fraction,
    oversampling,
    common_genres,
    fill,
    growth,
    max_copies,
    val_share,
    test_share,
    seed,
):
    if isinstance(excluded_genres, str):
        raise ValueError(f"excluded_genres must be a tuple of names, got {excluded_genres!r}")
    for name, value, least in (
        ("min_genre_movies", min_genre_movies, 1),
        ("near_duplicate", near_duplicate, 0),
        ("common_genres", common_genres, 1),
        ("max_copies", max_copies, 1),
        ("seed", seed, 0),
    ):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if not 0 < sample_fraction <= 1:
        raise ValueError(f"sample_fraction must be above 0 and at most 1, got {sample_fraction!r}")
    if oversampling not in STRATEGIES:
        raise ValueError(f"oversampling must be one of {STRATEGIES}, got {oversampling!r}")
    if not is_fill(fill):
        raise ValueError(
            f"fill must be pairs of rising counts and shares from 0 to 1, got {fill!r}"
        )
    if not 0 <= growth < float("inf"):
        raise ValueError(f"growth must be a number of at least 0, got {growth!r}")
    if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
        raise ValueError(
            "val_share and test_share must be above 0 and together below 1, "
            f"got {val_share!r} and {test_share!r}"
        )


def is_fill(fill):
    try:
        counts, shares = [count for count, _ in fill], [share for _, share in fill]
        return counts == sorted(counts) and all(0 <= share <= 1 for share in shares)
    except (TypeError, ValueError):
        return False


# --- genres ---------------------------------------------------------------------------------------


# --- split and sample -----------------------------------------------------------------------------


# --- what comes out -------------------------------------------------------------------------------


if __name__ == "__main__":
    main()
