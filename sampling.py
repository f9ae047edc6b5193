"""Step 2: clean the genres, split the movies, and oversample the rare genres for training.

    python sampling.py

Most movies are dramas or comedies. This step splits the movies, and then oversamples the rare
genres among the training movies. The split comes first and keeps duplicate posters together, so
that the network is never tested on a movie or a poster that it was trained on.
Movies of TRAIN_ONLY_CSV in database.py are added to the training movies after the split.

Reads   DATA_DIR/posters.csv and DATA_DIR/posters/
Writes  DATA_DIR/samples.csv: id, title, genres, split (train, val, test), copies (1 outside train);
        sampling.json: genre counts and measures of imbalance, before and after; duplicate posters;
        sampling.png; and checksums.json, of the first two
Takes   about 12 s for 15,000 movies, most of it to find duplicate posters.
"""

from dataclasses import asdict
from pathlib import Path

from postergenres.dataset.duplicates import (
    group_duplicates,
    hash_posters,
    leave_out_placeholders,
    list_groups,
)
from postergenres.dataset.genres import (
    Wanted,
    clean_genres,
    clean_train_only,
    encode_genres,
    list_genres,
)
from postergenres.dataset.imbalance import summarize_samples
from postergenres.dataset.oversampling import Rules, draw_sample
from postergenres.dataset.samples import read_downloaded_movies, select_samples, write_samples
from postergenres.dataset.sampling_report import (
    report_genres,
    report_posters,
    report_sample,
    report_split,
    report_train_only,
    save_sampling_plot,
)
from postergenres.dataset.stratification import Split, add_train_only, split_movies
from postergenres.settings import (
    Bits,
    Copies,
    Count,
    Fill,
    Folder,
    Names,
    Oversampling,
    Part,
    Seed,
    ShareAboveZero,
    Text,
    Weight,
    checked,
    run_from_shell,
)
from postergenres.step import step

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that database.py wrote
EXCLUDED_GENRES = ("TV Movie", "Foreign")  # not visible in a poster: their movies are dropped
MIN_GENRE_MOVIES = 10  # a rarer genre is left out; below about 10, none may reach the test split
NEAR_DUPLICATE = 68  # bits of 256; posters whose hashes differ in at most this many share a split
OVERSAMPLING = "ml-ros"  # repeats movies of rare genres; "study" samples as the study; or "none"
SAMPLE_FRACTION = None  # share of the training movies to draw; None: all, or half for "study"
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


@checked
def main(
    data_dir: Folder = DATA_DIR,
    excluded_genres: Names = EXCLUDED_GENRES,
    min_genre_movies: Count = MIN_GENRE_MOVIES,
    near_duplicate: Bits = NEAR_DUPLICATE,
    oversampling: Oversampling = OVERSAMPLING,
    sample_fraction: ShareAboveZero | None = SAMPLE_FRACTION,
    common_genres: Count = COMMON_GENRES,
    fill: Fill = FILL,
    growth: Weight = GROWTH,
    max_copies: Copies = MAX_COPIES,
    val_share: Part = VAL_SHARE,
    test_share: Part = TEST_SHARE,
    seed: Seed = SEED,
    cluster: Text | None = CLUSTER,
) -> None:
    """Write samples.csv from posters.csv, and print a summary of the genres."""
    data_dir = Path(data_dir)
    wanted = Wanted(excluded_genres, min_genre_movies)
    split = Split(val_share, test_share, seed)
    rules = Rules(
        oversampling, sample_fraction, common_genres, fill, growth=growth, max_copies=max_copies
    )
    settings = asdict(wanted) | {"near_duplicate": near_duplicate} | asdict(rules) | asdict(split)
    with step("sampling", data_dir):
        downloaded = read_downloaded_movies(data_dir)
        downloaded["poster"] = hash_posters(downloaded.id, data_dir, cluster)
        usable = leave_out_placeholders(downloaded)
        report_posters(downloaded, usable, data_dir)
        movies, dropped = clean_genres(usable.loc[~usable.train_only], wanted)
        report_genres(dropped, len(movies), wanted)
        genres = list_genres(movies.genres)
        labels = encode_genres(movies.genres, genres)
        groups = group_duplicates(movies.poster, near_duplicate)
        movies["split"] = split_movies(labels, groups, split)
        report_split(movies, labels, groups, split)
        duplicates = list_groups(movies.id, groups)
        train_only = clean_train_only(usable.loc[usable.train_only], wanted, genres)
        movies = add_train_only(movies, train_only, near_duplicate)
        report_train_only(usable, train_only, movies)
        labels = encode_genres(movies.genres, genres)
        drawn, copies = draw_sample(labels[movies.split == "train"], rules, seed)
        summary = summarize_samples(movies, labels, genres, drawn=drawn, copies=copies)
        report_sample(summary, drawn, copies)
        save_sampling_plot(labels[~movies.train_only], summary.counts, data_dir)
        samples = select_samples(movies, copies)
        write_samples(samples, summary, data_dir, settings=settings, duplicates=duplicates)


if __name__ == "__main__":
    run_from_shell(main)
