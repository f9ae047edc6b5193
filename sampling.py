"""Step 2: clean the genres, split the movies, and oversample the rare genres for training.

    python sampling.py

Drawn at random, a sample is nearly all dramas and comedies. So a part of the training movies is
drawn, and then movies of the rare genres are added. The split comes first: a movie that is
repeated across splits would be tested on what was learnt by heart.

Reads   DATA_DIR/posters.csv
Writes  DATA_DIR/samples.csv: id, title, genres, split (train, val, test), copies (1 outside train)
Takes   a few seconds for 15,000 movies.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from ledger import read_posters, write_csv

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that database.py wrote
EXCLUDED_GENRES = ("TV Movie", "Foreign")  # no matter of looks: movies that carry one are dropped
MIN_GENRE_MOVIES = 10  # movies a genre needs to stay; below about 10, none may reach the test split
SAMPLE_FRACTION = 0.5  # of the training movies, drawn at random; 0.1 gives some 8,000 of 45,000
OVERSAMPLING = "study"  # "study" adds movies of rare genres to those drawn, "none" does not
FILL = 0.5  # rare genres are filled up to this share of the commonest one; 1 tries to level all
MAX_COPIES = 3  # times that one movie may stand in the sample; more teaches it by heart
VAL_SHARE = 0.15  # of all movies; the natural mix of genres, to choose epochs and thresholds on
TEST_SHARE = 0.15  # of all movies; the natural mix of genres, for the final scores only
SEED = 0  # another seed gives another split and another sample
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    excluded_genres=EXCLUDED_GENRES,
    min_genre_movies=MIN_GENRE_MOVIES,
    sample_fraction=SAMPLE_FRACTION,
    oversampling=OVERSAMPLING,
    fill=FILL,
    max_copies=MAX_COPIES,
    val_share=VAL_SHARE,
    test_share=TEST_SHARE,
    seed=SEED,
):
    """Write samples.csv from posters.csv, and print the genre counts before and after."""
    check_settings(
        excluded_genres, min_genre_movies, sample_fraction, oversampling, fill, max_copies
    )
    check_shares(val_share, test_share)
    movies, genres = clean_genres(read_ok(data_dir), excluded_genres, min_genre_movies)
    labels = encode_genres(movies["genres"], genres)
    rng = np.random.default_rng(seed)
    movies["split"] = split_movies(labels, val_share, test_share, seed)

    train = np.flatnonzero(movies["split"] == "train")
    copies = np.ones(len(movies), dtype=int)
    copies[train] = draw_movies(len(train), sample_fraction, rng)
    drawn = copies.copy()
    if oversampling == "study":
        copies[train] = oversample_study(labels[train], copies[train], fill, max_copies, rng)

    print_counts(labels, movies["split"], drawn, copies, genres)
    movies["copies"] = copies
    columns = ["id", "title", "genres", "split", "copies"]
    samples = movies.loc[movies["copies"] > 0, columns]
    path = Path(data_dir) / "samples.csv"
    write_csv(samples, path)
    print(f"wrote {path} ({len(samples):,} movies)\nnext: python preprocessing.py")


def check_settings(
    excluded_genres, min_genre_movies, sample_fraction, oversampling, fill, max_copies
):
    if isinstance(excluded_genres, str):
        raise ValueError(f"excluded_genres must be a tuple of names, got {excluded_genres!r}")
    if min_genre_movies < 1:
        raise ValueError(f"min_genre_movies must be at least 1, got {min_genre_movies!r}")
    if not 0 < sample_fraction <= 1:
        raise ValueError(f"sample_fraction must be above 0 and at most 1, got {sample_fraction!r}")
    if oversampling not in ("study", "none"):
        raise ValueError(f'oversampling must be "study" or "none", got {oversampling!r}')
    if not 0 <= fill <= 1:
        raise ValueError(f"fill must be from 0 to 1, got {fill!r}")
    if max_copies < 1:
        raise ValueError(f"max_copies must be at least 1, got {max_copies!r}")


def check_shares(val_share, test_share):
    if min(val_share, test_share) <= 0 or val_share + test_share >= 1:
        raise ValueError(
            "val_share and test_share must be above 0 and together below 1, "
            f"got {val_share!r} and {test_share!r}"
        )


def read_samples(data_dir):
    """Read samples.csv: a DataFrame of id, title, genres (`Action|Drama`), split, copies (int)."""
    path = Path(data_dir) / "samples.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python sampling.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"copies": int})


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


def split_movies(labels, val_share, test_share, seed):
    """Assign each movie to train, val or test so that every genre has its share in each.

    Multi-label iterative stratification (Sechidis et al. 2011, On the Stratification of Multi-Label
    Data), by the package iterative-stratification.

    Returns:
        An array of `train`, `val` and `test`, one per row of `labels`.
    """
    labels = np.column_stack([labels, np.ones(len(labels), dtype=np.uint8)])  # keeps the sizes even
    split = np.full(len(labels), "train", dtype=object)
    for name, share in (("test", test_share), ("val", val_share / (1 - test_share))):
        rest = np.flatnonzero(split == "train")
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        split[rest[next(splitter.split(rest, labels[rest]))[1]]] = name
    return split


def draw_movies(count, fraction, rng):
    """Draw a fraction of `count` movies without replacement: an array of 1 (drawn) and 0."""
    copies = np.zeros(count, dtype=int)
    copies[rng.choice(count, size=max(1, round(fraction * count)), replace=False)] = 1
    return copies


def oversample_study(labels, copies, fill, max_copies, rng):
    """Add movies of rare genres to those drawn, as the study did, rarest genre first.

    A genre is rare while it has less than `fill` times the movies of the commonest genre. Movies
    that were not drawn come first, those without common genres before the others; when none is
    left, movies are repeated, each up to `max_copies` times: a handful of westerns repeated
    hundreds of times would only be learnt by heart.

    Args:
        labels: (movies, genres) of 0 and 1.
        copies: (movies,), 1 where a movie was drawn, else 0.

    Returns:
        (movies,) how often each movie stands in the training sample; never less than before.
    """
    copies = copies.copy()
    counts = copies @ labels.astype(int)
    target = int(fill * counts.max())
    common_genres = labels[:, counts >= target].sum(axis=1)
    for genre in np.argsort(counts, kind="stable"):
        carriers = rng.permutation(np.flatnonzero(labels[:, genre]))
        carriers = carriers[np.argsort(common_genres[carriers], kind="stable")]
        for already in range(max_copies):
            missing = target - copies @ labels[:, genre].astype(int)
            candidates = carriers[copies[carriers] == already]
            copies[candidates[: max(0, missing)]] += 1
    return copies


def print_counts(labels, split, drawn, copies, genres):
    """Print how many movies carry each genre: in each split, drawn, and after oversampling."""
    train = (split == "train").to_numpy()
    table = pd.DataFrame(
        {
            "movies": labels.sum(axis=0),
            "train": labels[train].sum(axis=0),
            "drawn": drawn[train] @ labels[train].astype(int),
            "oversampled": copies[train] @ labels[train].astype(int),
            "val": labels[split == "val"].sum(axis=0),
            "test": labels[split == "test"].sum(axis=0),
        },
        index=genres,
    ).sort_values("movies", ascending=False, kind="stable")
    table.loc["all movies"] = [
        len(labels),
        train.sum(),
        drawn[train].sum(),
        copies[train].sum(),
        (split == "val").sum(),
        (split == "test").sum(),
    ]
    print(table.astype(int).to_string())
    added = (copies > drawn)[train & (drawn == 0)].sum()
    repeats = (copies[train] - 1).clip(min=0).sum()
    print(f"oversampling added {added:,} movies that were not drawn, and {repeats:,} repeats")


if __name__ == "__main__":
    main()
