"""The sample: samples.csv and sampling.json."""

import hashlib
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd

from postergenres.dataset.imbalance import save_picture
from postergenres.download.manifest import read_manifest
from postergenres.files import csv_bytes, file_sha256, read_json, write_csv, write_json


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
    posters = read_manifest(data_dir)
    counts = Counter(posters["status"])
    print(f"{len(posters):,} movies, {counts['ok']:,} with a poster")
    if not counts["ok"]:
        sys.exit("There is no poster to sample. Run: python database.py")
    if counts["failed"]:
        print(f"{counts['failed']:,} posters failed; python database.py asks for them again")
    return posters[posters["status"] == "ok"].sort_values("id", ignore_index=True)


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
        "samples_sha256": hashlib.sha256(csv_bytes(samples)).hexdigest(),
    }
    write_json(about, data_dir / "sampling.json")
    save_picture(labels, counts["drawn"], counts["sample"], data_dir / "sampling.png")
    write_csv(samples, data_dir / "samples.csv")
    print(f"wrote {data_dir / 'samples.csv'} ({len(samples):,} movies)")
    print(f"counts and measures: {data_dir / 'sampling.json'}, {data_dir / 'sampling.png'}")
    print("next: python preprocessing.py")
