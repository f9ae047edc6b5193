"""Step 2: clean the genres, split the movies, and oversample the rare genres for training.

    python sampling.py

Most movies are dramas and comedies, and so are most movies of a random sample. Therefore a part of
the training movies is drawn at random, and then the rare genres are oversampled. The movies are
split first: a model memorizes training posters, which would raise the scores of a split that
contains the same movies or posters.

Reads   DATA_DIR/posters.csv and DATA_DIR/posters/
Writes  DATA_DIR/samples.csv: id, title, genres, split (train, val, test), copies (1 outside train);
        sampling.json: genre counts and measures of imbalance, before and after oversampling, and
        duplicate posters; sampling.png
Takes   about 20 s for 15,000 movies, most of it for finding duplicate posters.
"""

import sys
from contextlib import suppress

from postergenres.dataset.duplicates import find_duplicates, list_groups
from postergenres.dataset.genres import clean_genres, encode_genres
from postergenres.dataset.imbalance import compare_samples
from postergenres.dataset.oversampling import draw_sample
from postergenres.dataset.samples import (
    print_sampling_summary,
    read_downloaded_movies,
    save_samples,
    select_samples,
)
from postergenres.dataset.stratification import split_movies
from postergenres.settings import check_settings
from postergenres.stopping import run_from_shell, stopping_cleanly

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that database.py wrote
EXCLUDED_GENRES = ("TV Movie", "Foreign")  # not visible on a poster; their movies are dropped
MIN_GENRE_MOVIES = 10  # movies that a genre needs; with fewer, the test split may get none of them
NEAR_DUPLICATE = 68  # of 256 hash bits; posters with at most so many different ones share a split
SAMPLE_FRACTION = 0.5  # of the training movies, drawn at random; 0.1 gives some 8,000 of 45,000
OVERSAMPLING = "study"  # adds movies that were not drawn; "ml-ros" repeats drawn ones; or "none"
COMMON_GENRES = 2  # for "study": the number of the most common genres, whose movies are not added
FILL = ((1000, 0.9), (2000, 0.5), (3000, 0.3))  # for "study": pairs of (drawn movies, share)
# A genre with up to 1000 drawn movies gets 90 % of the movies that it lacks to be as common as the
# most common genre, one with up to 2000 gets 50 %, one with up to 3000 gets 30 %, others get none.
GROWTH = 0.25  # for "ml-ros": the most repeats, as a share of the drawn movies
MAX_COPIES = 3  # the most copies of a movie in the sample; a model memorizes movies with more
VAL_SHARE = 0.15  # of all movies, never oversampled; for choosing epochs and thresholds
TEST_SHARE = 0.15  # of all movies, never oversampled; only for the final scores
SEED = 0  # change it for another split and another sample
CLUSTER = None  # to hash posters on a Dask cluster, its scheduler's address: "tcp://10.0.0.1:8786"
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
    """Write samples.csv, sampling.json and sampling.png, and print a summary of the genres."""
    settings = check_settings("sampling", locals())
    with suppress(AttributeError):  # a notebook has another stdout
        sys.stdout.reconfigure(errors="replace")  # a title that the terminal cannot show
    with stopping_cleanly("sampling", after="To start again"):
        movies = read_downloaded_movies(data_dir)
        movies, genres = clean_genres(movies, excluded_genres, min_genre_movies)
        labels = encode_genres(movies["genres"], genres)
        groups = find_duplicates(movies, data_dir, near_duplicate, cluster)
        movies["split"] = split_movies(labels, groups, val_share, test_share, seed)
        drawn, copies = draw_sample(labels[movies["split"] == "train"], settings)
        counts, measures = compare_samples(labels, movies["split"], drawn, copies, genres)
        print_sampling_summary(counts, measures, drawn, copies)
        duplicates = list_groups(movies["id"], groups)
        samples = select_samples(movies, copies)
        save_samples(samples, labels, counts, measures, duplicates, settings)


if __name__ == "__main__":
    run_from_shell(main)
