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

import hashlib
import json
import sys
from collections import Counter
from contextlib import suppress
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from cluster import check_address
from files import file_sha256, read_json, to_csv, write_csv, write_json
from imbalance import describe, save_picture
from manifest import poster_path, read_posters
from resampling import oversample_ml_ros, oversample_study

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

SPLITS = ("train", "val", "test")  # in the order in which stratify() numbers them
STRATEGIES = ("study", "ml-ros", "none")  # what OVERSAMPLING may be


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
    check_address(cluster)
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


def read_samples(data_dir):
    """Read samples.csv: a DataFrame of id, title, genres (`Action|Drama`), split, copies (int)."""
    path = Path(data_dir) / "samples.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python sampling.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"copies": int})


def read_train_counts(data_dir):
    """How many movies there were to train on before a sample was drawn, and of each genre.

    Returns:
        {"movies": count, "genres": {genre: count}}, or None where samples.csv is not what
        sampling.py wrote.
    """
    data_dir = Path(data_dir)
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = read_json(data_dir / "sampling.json")
        if about["samples_sha256"] == file_sha256(data_dir / "samples.csv"):
            counts = {genre: row["train"] for genre, row in about["genres"].items()}
            return {"movies": about["measures"]["train"]["movies"], "genres": counts}
    return None


def read_ok(data_dir):
    """The movies whose poster is there, sorted by id, so that the CSV's order changes nothing."""
    posters = read_posters(data_dir)
    counts = Counter(posters["status"])
    print(f"{len(posters):,} movies, {counts['ok']:,} with a poster")
    if not counts["ok"]:
        sys.exit("There is no poster to sample. Run: python database.py")
    if counts["failed"]:
        print(f"{counts['failed']:,} posters failed; python database.py asks for them again")
    return posters[posters["status"] == "ok"].sort_values("id", ignore_index=True)


# --- genres ---------------------------------------------------------------------------------------


def clean_genres(movies, excluded_genres, min_genre_movies):
    """Drop what cannot be learnt from, and print how much and why.

    Movies that carry an excluded genre go; genres that fewer than `min_genre_movies` of the rest
    carry leave the vocabulary; movies left with no genre go.

    Returns:
        The remaining movies, their `genres` sorted and joined by `|`, and the sorted vocabulary.
    """
    sets = [frozenset(filter(None, cell.split("|"))) for cell in movies["genres"]]
    is_excluded = np.array([bool(genres & set(excluded_genres)) for genres in sets], dtype=bool)
    is_empty = np.array([not genres for genres in sets], dtype=bool)
    kept = [genres for genres, drop in zip(sets, is_excluded, strict=True) if not drop]
    counts = Counter(genre for genres in kept for genre in genres)
    rare = sorted(genre for genre, count in counts.items() if count < min_genre_movies)
    vocabulary = sorted(set(counts) - set(rare))
    cleaned = ["|".join(sorted(genres - set(rare))) for genres in sets]
    is_rare = np.array([not cell for cell in cleaned], dtype=bool) & ~is_empty & ~is_excluded

    print(
        f"dropped {is_excluded.sum():,} movies marked {' or '.join(excluded_genres) or 'nothing'}"
    )
    print(f"dropped {is_empty.sum():,} movies without a genre")
    named = ", ".join(f"{genre} ({counts[genre]})" for genre in rare) or "none"
    print(f"genres that fewer than {min_genre_movies} movies carry, left out: {named}")
    print(f"dropped {is_rare.sum():,} movies that carry only such genres")
    movies = movies.assign(genres=cleaned)[~is_excluded & ~is_empty & ~is_rare]
    if len(movies) < 10:
        sys.exit(
            f"Only {len(movies)} movies are left, too few. Lower MIN_GENRE_MOVIES and run: "
            "python sampling.py; or take a larger CSV and run: python database.py"
        )
    return movies.reset_index(drop=True), vocabulary


def encode_genres(cells, genres):
    """Turn cells such as `Action|Drama` into labels, uint8 of shape (movies, genres), 0 or 1."""
    position = {genre: i for i, genre in enumerate(genres)}
    labels = np.zeros((len(cells), len(genres)), dtype=np.uint8)
    for row, cell in enumerate(cells):
        labels[row, [position[genre] for genre in cell.split("|")]] = 1
    return labels


# --- split and sample -----------------------------------------------------------------------------


def find_duplicates(movies, data_dir, near_duplicate, cluster):
    """Number the movies so that those whose posters are the same, or nearly, share a number."""
    from duplicates import group_duplicates, hash_posters  # here, because step 3 does without

    folder = Path(data_dir).absolute()
    paths = [poster_path(folder, movie) for movie in movies["id"]]
    hashes = hash_posters(paths, cluster=cluster)
    groups = group_duplicates(hashes, near_duplicate)
    alike = list_groups(movies["title"], groups)
    print(
        f"{sum(map(len, alike)):,} posters are the same as another or nearly so"
        + (f", in {len(alike):,} groups; each group stays in one split" if alike else "")
    )
    for titles in alike[:5]:
        print(f"  {' = '.join(titles[:4])}{' = ...' if len(titles) > 4 else ''}")
    if unread := sum(hash.digest is None for hash in hashes):
        print(f"{unread:,} posters are not where database.py left them")
    return groups


def list_groups(names, groups):
    """The names in each group of two and more, as lists."""
    return [list(group) for _, group in names.groupby(groups) if len(group) > 1]


def split_movies(labels, groups, val_share, test_share, seed):
    """The split of each movie, train, val or test, as strings; every genre has its share in each.

    Movies of one group, whose posters are alike, stay together.
    """
    from stratification import share_errors, stratify  # here, because step 3 does without

    shares = (1 - val_share - test_share, val_share, test_share)
    split = stratify(labels, groups, shares, seed)
    if missing := [name for number, name in enumerate(SPLITS) if number not in split]:
        print(
            f"no movie for {' and '.join(missing)}: too few movies, or nearly all posters are "
            "alike. Step 3 will stop there"
        )
    errors = share_errors(labels, split, shares)
    if not np.isnan(errors).all():
        print(
            f"genres of 20 movies and more have their share of each split, "
            f"{np.nanmax(errors):.1%} off at most"
        )
    return np.array(SPLITS)[split]


def draw_movies(count, fraction, rng):
    """Draw a fraction of `count` movies without replacement: an array of 1 (drawn) and 0."""
    copies = np.zeros(count, dtype=int)
    copies[rng.choice(count, size=max(1, round(fraction * count)), replace=False)] = 1
    return copies


# --- what comes out -------------------------------------------------------------------------------


def report(counts, measures, drawn, copies):
    counts = counts.sort_values("movies", ascending=False, kind="stable")
    print("movies of each genre; IRLbl says how many times rarer it is than the commonest:")
    print(counts.to_string(float_format="{:.1f}".format))
    print("all training movies, those that were drawn, and the sample after oversampling:")
    print(measures.to_string(float_format="{:.3f}".format))
    added = copies[drawn == 0].astype(bool).sum()
    repeats = (copies - 1).clip(min=0).sum()
    print(f"oversampling added {added:,} movies that were not drawn, and {repeats:,} repeats")


def save(samples, labels, counts, measures, duplicates, settings, data_dir):
    """Write sampling.json, sampling.png, and last samples.csv, which the next step reads."""
    data_dir = Path(data_dir)
    (data_dir / "samples.csv").unlink(missing_ok=True)  # it never stands beside those of another
    about = {
        "settings": settings,
        "genres": json.loads(
            counts.to_json(orient="index", double_precision=15)
        ),  # an infinite IRLbl becomes null
        "measures": json.loads(measures.to_json(orient="index", double_precision=15)),
        "duplicates": duplicates,
        "samples_sha256": hashlib.sha256(to_csv(samples)).hexdigest(),
    }
    write_json(about, data_dir / "sampling.json")
    save_picture(labels, counts["drawn"], counts["sample"], data_dir / "sampling.png")
    write_csv(samples, data_dir / "samples.csv")
    print(f"wrote {data_dir / 'samples.csv'} ({len(samples):,} movies)")
    print(f"counts and measures: {data_dir / 'sampling.json'}, {data_dir / 'sampling.png'}")
    print("next: python preprocessing.py")


if __name__ == "__main__":
    main()
