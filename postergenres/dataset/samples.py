"""Write and read samples.csv and sampling.json, the output of step 2, and print its summary."""

import hashlib
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd

from postergenres.download.manifest import read_manifest
from postergenres.files import csv_bytes, file_sha256, read_json, write_csv, write_json

COLUMNS = ["id", "title", "genres", "split", "copies"]  # of samples.csv
NOT_RECORDED = ("data_dir", "cluster")  # settings that do not change the samples


def read_samples(data_dir):
    """Read samples.csv.

    Returns:
        DataFrame of id, title, genres (`Action|Drama`), split, copies (int).

    Raises:
        SystemExit: the file is missing.
    """
    path = Path(data_dir) / "samples.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python sampling.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"copies": int})


def read_train_counts(data_dir):
    """Read from sampling.json how many training movies there were before a sample was drawn.

    Returns:
        {"movies": count, "genres": {genre: count}}, or None if samples.csv is not the one that
        sampling.py wrote together with sampling.json.
    """
    data_dir = Path(data_dir)
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = read_json(data_dir / "sampling.json")
        if about["samples_sha256"] == file_sha256(data_dir / "samples.csv"):
            counts = {genre: row["train"] for genre, row in about["genres"].items()}
            return {"movies": about["measures"]["train"]["movies"], "genres": counts}
    return None


def read_downloaded_movies(data_dir):
    """Read posters.csv, and print how many movies have a poster.

    Returns:
        DataFrame of the movies that have a poster, sorted by id: the order of the rows of the
        metadata CSV does not change the samples.

    Raises:
        SystemExit: posters.csv is missing, or no movie has a poster.
    """
    posters = read_manifest(data_dir)
    counts = Counter(posters["status"])
    print(f"{len(posters):,} movies, {counts['ok']:,} with a poster")
    if not counts["ok"]:
        sys.exit("There is no poster to sample. Run: python database.py")
    if counts["failed"]:
        print(f"{counts['failed']:,} posters failed. To retry them, run: python database.py")
    return posters[posters["status"] == "ok"].sort_values("id", ignore_index=True)


def select_samples(movies, copies):
    """Return the rows of samples.csv: all validation and test movies, and the training sample.

    Args:
        movies: DataFrame of id, title, genres and split.
        copies: (training movies,), how many times each is in the sample; 0 to leave it out.
    """
    samples = movies.assign(copies=1)
    samples.loc[samples["split"] == "train", "copies"] = copies
    return samples.loc[samples["copies"] > 0, COLUMNS]


def print_sampling_summary(counts, measures, drawn, copies):
    """Print the genre counts and the measures of imbalance, before and after oversampling.

    Args:
        counts, measures: see `imbalance.compare_samples`.
        drawn, copies: see `oversampling.draw_sample`.
    """
    counts = counts.sort_values("movies", ascending=False, kind="stable")
    print("movies per genre; IRLbl is the count of the most common genre divided by the genre's:")
    print(counts.to_string(float_format="{:.1f}".format))
    print("all training movies, the drawn ones, and the sample after oversampling:")
    print(measures.to_string(float_format="{:.3f}".format))
    added = copies[drawn == 0].astype(bool).sum()
    repeats = (copies - 1).clip(min=0).sum()
    print(f"oversampling added {added:,} movies that were not drawn, and {repeats:,} repeats")


def save_samples(samples, labels, counts, measures, duplicates, settings):
    """Write sampling.json, sampling.png, and last samples.csv, which the next step reads.

    Args:
        samples: see `select_samples`.
        labels: (movies, genres) of 0 and 1, for all movies.
        counts, measures: see `imbalance.compare_samples`.
        duplicates: list of lists of the ids of movies with nearly the same poster.
        settings: the settings of the step.
    """
    # Here, because step 3 and the training import this module and need no Matplotlib.
    from postergenres.dataset.sampling_plot import save_sampling_plot

    data_dir = Path(settings["data_dir"])
    path = data_dir / "samples.csv"
    path.unlink(missing_ok=True)  # an old file would not match the new sampling.json
    about = {
        "settings": {name: settings[name] for name in settings if name not in NOT_RECORDED},
        "genres": to_json_rows(counts),
        "measures": to_json_rows(measures),
        "duplicates": duplicates,
        "samples_sha256": hashlib.sha256(csv_bytes(samples)).hexdigest(),
    }
    write_json(about, data_dir / "sampling.json")
    save_sampling_plot(labels, counts["drawn"], counts["sample"], data_dir / "sampling.png")
    write_csv(samples, path)
    print(f"wrote {path} ({len(samples):,} movies)")
    print(f"counts and measures: {data_dir / 'sampling.json'}, {data_dir / 'sampling.png'}")
    print("next: python preprocessing.py")


def to_json_rows(table):
    """Return a DataFrame as {row: {column: value}}; infinity and nan become None."""
    return json.loads(table.to_json(orient="index", double_precision=15))
