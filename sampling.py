"""Step 2: clean the genres, split the movies, and oversample the rare genres for training.

    python sampling.py

Most movies are dramas or comedies. This step splits the movies, draws a part of the training
movies, and then oversamples the rare genres. The split comes first and keeps duplicate posters
together, so that the network is never tested on a movie or a poster that it was trained on.
Movies of TRAIN_ONLY_CSV in database.py are added to the training movies after the split.

Reads   DATA_DIR/posters.csv and DATA_DIR/posters/
Writes  DATA_DIR/samples.csv: id, title, genres, split (train, val, test), copies (1 outside train);
        sampling.json: genre counts and measures of imbalance, before and after; duplicate posters;
        and sampling.png
Takes   about 25 s for 15,000 movies, most of it to find duplicate posters.
"""

import postergenres.stopping  # noqa: F401  # first: Ctrl-C is one line from here on

# isort: split
import sys
from contextlib import suppress

from postergenres.dataset.duplicates import find_duplicates, list_groups
from postergenres.dataset.genres import clean_genres, encode_genres
from postergenres.dataset.imbalance import summarize_samples
from postergenres.dataset.oversampling import draw_movies, oversample
from postergenres.dataset.samples import (
    claim_samples,
    print_sampling_summary,
    read_downloaded_movies,
    select_samples,
    write_samples,
)
from postergenres.dataset.stratification import split_movies
from postergenres.dataset.train_only import add_train_only, clean_train_only
from postergenres.old_settings import check_settings
from postergenres.stopping import run_from_shell, stopping_cleanly

import numpy as np

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that database.py wrote
EXCLUDED_GENRES = ("TV Movie", "Foreign")  # not visible in a poster: their movies are dropped
MIN_GENRE_MOVIES = 10  # a rarer genre is left out; below about 10, none may reach the test split
NEAR_DUPLICATE = 68  # bits of 256; posters whose hashes differ in at most this many share a split
SAMPLE_FRACTION = 0.5  # share of the training movies to draw at random; 1.0 uses all of them
OVERSAMPLING = "study"  # adds movies that were not drawn; "ml-ros" repeats drawn ones; or "none"
COMMON_GENRES = 2  # for "study": the number of most common genres whose movies are not added
FILL = ((1000, 0.9), (2000, 0.5), (3000, 0.3))  # for "study": (drawn movies, share), see below
# A genre of up to 1000 drawn movies gets 90 % of the movies that it lacks to the most common genre,
# one of up to 2000 gets 50 %, one of up to 3000 gets 30 %, a more common one gets nothing.
GROWTH = 0.25  # for "ml-ros": the maximum number of repeats, as a share of the drawn movies
MAX_COPIES = 3  # the most copies of a movie in the sample; with more, the network memorizes it
VAL_SHARE = 0.15  # of all movies; the natural mix of genres, to choose epochs and thresholds on
TEST_SHARE = 0.15  # of all movies; the natural mix of genres, for the final scores only
SEED = 0  # change it for another split and another sample
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
    """Write samples.csv from posters.csv, and print a summary of the genres."""
    settings = check_settings("sampling", locals())
    with suppress(AttributeError):  # a notebook has another stdout
        sys.stdout.reconfigure(errors="replace")  # a title that the terminal cannot show
    with stopping_cleanly("sampling", after="To start again"), claim_samples(data_dir):
        downloaded, train_only = read_downloaded_movies(data_dir)
        movies, genres = clean_genres(downloaded, excluded_genres, min_genre_movies)
        train_only = clean_train_only(train_only, excluded_genres, genres)
        groups, all_groups = find_duplicates(movies, train_only, data_dir, near_duplicate, cluster)
        split_labels = encode_genres(movies["genres"], genres)
        movies["split"] = split_movies(split_labels, groups, val_share, test_share, seed)
        duplicates = list_groups(movies["id"], groups)

        movies = add_train_only(movies, train_only, all_groups)
        labels = encode_genres(movies["genres"], genres)
        train_labels = labels[movies["split"] == "train"]
        rng = np.random.default_rng(seed)
        drawn = draw_movies(len(train_labels), sample_fraction, rng)
        copies = oversample(
            train_labels, drawn, oversampling, common_genres, fill, growth, max_copies, rng
        )
        counts, measures = summarize_samples(
            labels, movies["split"], movies["train_only"], drawn, copies, genres
        )
        print_sampling_summary(counts, measures, drawn, copies)

        samples = select_samples(movies, copies)
        write_samples(samples, split_labels, counts, measures, duplicates, settings, data_dir)


if __name__ == "__main__":
    run_from_shell(main)
