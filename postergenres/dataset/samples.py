"""Read posters.csv; read and write samples.csv and sampling.json."""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from postergenres.dataset.imbalance import Summary
from postergenres.download.manifest import TRAIN_ONLY, read_manifest
from postergenres.files import find_damage, read_json, record_checksums, write_csv, write_json
from postergenres.step import add_data_dir

import numpy as np
import pandas as pd

COLUMNS = ["id", "title", "genres", "split", "copies"]
SPLITS = ("train", "val", "test")
NEEDED = ["id", "genres", "split", "copies"]  # by the next steps; the title is for people
WHOLE_NUMBER = r"0*[1-9][0-9]{0,5}"  # of copies; up to a million
FEWEST = 10  # movies; with fewer, a split could be empty


def read_downloaded_movies(data_dir: Path) -> pd.DataFrame:
    """Return the rows of posters.csv that have a poster, and print how many there are.

    They are sorted by id, so that their order does not change the sample; `train_only` is bool.

    Raises:
        SystemExit: no movie to split has a poster, or too few because posters are missing.
    """
    posters = read_manifest(data_dir)
    is_train_only = posters[TRAIN_ONLY] == "yes"
    counts = Counter(posters["status"][~is_train_only])
    print(f"{counts.total():,} movies, {counts['ok']:,} with a poster")
    if is_train_only.any():
        others = Counter(posters["status"][is_train_only])
        print(f"{others.total():,} train-only movies, {others['ok']:,} with a poster")
    if not counts["ok"] or counts["ok"] < FEWEST <= counts.total():
        sys.exit(explain_missing_posters(counts))
    if failed := (posters["status"] == "failed").sum():
        line = f"{failed:,} posters failed. To retry, run: python database.py"
        print(add_data_dir(line, data_dir))
    posters = posters.assign(**{TRAIN_ONLY: is_train_only})
    return posters.loc[posters["status"] == "ok"].sort_values("id", ignore_index=True)


def explain_missing_posters(counts: Counter[str]) -> str:
    """Return one line that says why too few movies have a poster, from {status: movies}."""
    what = "There is no poster to sample"
    if counts["ok"]:
        what = f"Only {counts['ok']} of {counts.total():,} movies have a poster, too few"
    if counts["failed"] >= counts["gone"]:
        return f"{what}. Run: python database.py"
    return (
        f"{what}; posters.csv has the reasons. Correct POSTER_BASE or METADATA_CSV in database.py, "
        "then run: python database.py"
    )


def select_samples(movies: pd.DataFrame, train_copies: np.ndarray) -> pd.DataFrame:
    """Return the rows of samples.csv: training movies with copies, and all of val and test."""
    copies = pd.Series(1, index=movies.index)
    copies[movies["split"] == "train"] = train_copies
    return movies.assign(copies=copies).loc[copies > 0, COLUMNS]


def write_samples(
    samples: pd.DataFrame,
    summary: Summary,
    data_dir: Path,
    *,
    settings: dict[str, Any],
    duplicates: list[list[str]],
) -> None:
    """Write samples.csv, sampling.json and their checksums; duplicates: ids with like posters."""
    write_csv(samples, data_dir / "samples.csv")
    about = {
        "settings": settings,
        "genres": encode_rows(summary.counts),
        "measures": encode_rows(summary.measures),
        "duplicates": duplicates,
        "samples_sha256": hash_samples(data_dir),
    }
    write_json(about, data_dir / "sampling.json")
    record_checksums(data_dir, ["samples.csv", "sampling.json"])
    print(f"wrote {data_dir / 'samples.csv'} ({len(samples):,} movies)")
    print(f"counts and measures: {data_dir / 'sampling.json'}, {data_dir / 'sampling.png'}")


def encode_rows(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return the rows of a table for JSON, by name; infinite numbers and nan become None."""
    return json.loads(str(table.to_json(orient="index", double_precision=15)))


def hash_samples(data_dir: Path) -> str:
    """Return the SHA-256 of samples.csv."""
    return hashlib.sha256((data_dir / "samples.csv").read_bytes()).hexdigest()


def read_samples(data_dir: Path) -> pd.DataFrame:
    """Return samples.csv: id, title, genres (`Action|Drama`), split, copies (int).

    Raises:
        SystemExit: the file, which a person may have edited, is missing, or has content that the
            next steps cannot use.
    """
    path = data_dir / "samples.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python sampling.py")
    try:
        samples = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:  # no UTF-8; ParserError and EmptyDataError, too
        reason = " ".join(str(error).split())
        sys.exit(f"{path} is damaged: {reason}. To write it again, run: python sampling.py")
    if fault := find_fault_in_samples(samples):
        sys.exit(f"{path} {fault}. To write it again, run: python sampling.py")
    return samples.astype({"copies": int})


def find_fault_in_samples(samples: pd.DataFrame) -> str | None:
    """Return what is wrong with the rows of samples.csv, all strings, for a message, or None."""
    if missing := [name for name in NEEDED if name not in samples]:
        return f"has no column {', '.join(missing)}"
    if samples.empty:
        return "has no rows"
    ids, copies = samples["id"], samples["copies"]
    for name, fault, is_wrong in (
        ("id", "an id that cannot name a file", ~ids.str.fullmatch(r"[^/\\\0]+")),
        ("id", "an id for the second time", ids.duplicated()),
        ("genres", "an empty genre", samples["genres"].str.contains(r"^\||\|\||\|$|^$")),
        ("split", "an unknown split", ~samples["split"].isin(SPLITS)),
        ("copies", "copies that are no whole number above 0", ~copies.str.fullmatch(WHOLE_NUMBER)),
    ):
        if cells := samples.loc[is_wrong, name].tolist():
            return f"has {fault}: {cells[0]!r}"
    return None


def read_titles(data_dir: Path) -> dict[str, str]:
    """Return {id: title or, without titles, id} of samples.csv; empty if the file is missing."""
    path = data_dir / "samples.csv"
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return dict(zip(table["id"], table["title" if "title" in table else "id"], strict=True))


def read_train_counts(data_dir: Path) -> dict[str, Any] | None:
    """Return {"movies": count, "genres": {genre: count}} of the training movies before drawing.

    Train-only movies do not count: the mix of genres of the others is that of val and test. None is
    returned, after a line that says why, if samples.csv is not as sampling.py wrote it, or
    sampling.json cannot be used.
    """
    if damage := find_damage(data_dir, ["sampling.json"]):
        line = (
            f"note: {damage}: the floors are computed from the training rows of samples.csv. "
            "To write it again, run: python sampling.py"
        )
        print(add_data_dir(line, data_dir))
        return None
    if find_damage(data_dir, ["samples.csv"]):
        print(
            f"{data_dir / 'samples.csv'} was changed after sampling.py wrote it: the floors are "
            "computed from its training rows"
        )
        return None
    about = read_json(data_dir / "sampling.json")
    counts = {genre: row["train"] for genre, row in about["genres"].items()}
    return {"movies": about["measures"]["train"]["movies"], "genres": counts}
