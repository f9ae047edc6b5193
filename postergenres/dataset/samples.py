"""Read and write samples.csv and sampling.json."""

import hashlib
import json
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from postergenres.dataset.genres import MIN_MOVIES
from postergenres.dataset.sampling_plot import save_sampling_plot
from postergenres.download.manifest import TRAIN_ONLY, read_manifest, require_manifest
from postergenres.old_files import (
    add_checksum,
    csv_bytes,
    discard_leftovers,
    file_sha256,
    has_checksum,
    lock_file,
    read_json,
    replacing,
    write_csv,
    write_json,
)
from postergenres.terminal import escape_controls

import pandas as pd

OUTPUTS = ("samples.csv", "sampling.json", "sampling.png")
COLUMNS = ["id", "title", "genres", "split", "copies"]
SPLITS = ("train", "val", "test")  # in the order in which stratify() numbers them
NEEDED = ["id", "genres", "split", "copies"]  # by the next steps; the title is for people
WHOLE_NUMBER = r"0*[1-9][0-9]{0,5}"  # of copies; up to a million
UNRECORDED = ("data_dir", "cluster")  # settings that do not change the sample


def read_samples(data_dir):
    """Return samples.csv: a DataFrame of id, title, genres (`Action|Drama`), split, copies (int).

    Raises:
        SystemExit: the file is missing, or has content that step 2 never writes.
    """
    path = Path(data_dir) / "samples.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python sampling.py")
    try:
        samples = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        sys.exit(f"{path} is not UTF-8. To write it again, run: python sampling.py")
    except ValueError as error:  # ParserError and EmptyDataError, too
        reason = " ".join(str(error).split())
        sys.exit(f"{path} is damaged: {reason}. To write it again, run: python sampling.py")
    if fault := find_fault_in_samples(samples):
        sys.exit(f"{path} {fault}. To write it again, run: python sampling.py")
    return samples.astype({"copies": int})


def read_titles(data_dir):
    """Return {id: title} of a samples.csv that a store was made from; empty if it is missing.

    A movie of a file without titles has its id for a title.
    """
    path, columns = Path(data_dir) / "samples.csv", ("id", "title")
    if not path.is_file():
        return {}
    options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    table = pd.read_csv(path, usecols=lambda name: name in columns, **options)
    return dict(zip(table["id"], table.get("title", table["id"]), strict=True))


def find_fault_in_samples(samples):
    """Return what is wrong with the rows of samples.csv, for a message: "has no rows"; or None.

    Args:
        samples: DataFrame of strings.
    """
    if missing := [name for name in NEEDED if name not in samples]:
        return f"has no column {', '.join(missing)}"
    if samples.empty:
        return "has no rows"
    is_wrong = {  # the first line for each fault is named
        "an id that cannot name a file": ~samples["id"].str.fullmatch(r"[^/\\\0]+"),
        "an id for the second time": samples["id"].duplicated(),
        "an empty genre": samples["genres"].str.contains(r"^\||\|\||\|$|^$"),
        "an unknown split": ~samples["split"].isin(SPLITS),
        "copies that are no whole number above 0": ~samples["copies"].str.fullmatch(WHOLE_NUMBER),
    }
    column = dict(zip(is_wrong, ("id", "id", "genres", "split", "copies"), strict=True))
    for fault, wrong in is_wrong.items():
        if wrong.any():
            return f"has {fault}: {samples.loc[wrong, column[fault]].iloc[0]!r}"
    return None


def read_train_counts(data_dir):
    """Return the number of training movies before a sample was drawn, and the number per genre.

    Train-only movies do not count: the mix of genres of the others is that of val and test.

    Returns:
        {"movies": count, "genres": {genre: count}}; None if sampling.py did not write samples.csv,
        or sampling.json is missing or damaged.
    """
    data_dir = Path(data_dir)
    path = data_dir / "sampling.json"
    try:
        about = read_json(path)
        if has_checksum(about) is False:  # an older version wrote none
            raise ValueError("it has another checksum")
        if about["samples_sha256"] != file_sha256(data_dir / "samples.csv"):
            print(
                f"{data_dir / 'samples.csv'} was changed after sampling.py wrote it: the floors "
                "are computed from its training rows"
            )
        else:
            counts = {genre: row["train"] for genre, row in about["genres"].items()}
            return {"movies": about["measures"]["train"]["movies"], "genres": counts}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        print(
            f"note: {path} is {'damaged' if path.is_file() else 'missing'}: the floors are "
            "computed from the training rows of samples.csv. To write it again, run: "
            "python sampling.py"
        )
    return None


@contextmanager
def claim_samples(data_dir):
    """Let only this run write the samples during the block; delete what killed runs left.

    Args:
        data_dir: the folder of step 1.

    Raises:
        SystemExit: step 1 has not run, or another run is writing the samples.
    """
    require_manifest(data_dir)  # a lock would create a missing folder
    data_dir = Path(data_dir)
    refusal = (
        f"Another run is writing {data_dir / 'samples.csv'}. Wait until it ends, then run: "
        "python sampling.py"
    )
    with lock_file(data_dir / "sampling.lock", refusal):
        discard_leftovers(data_dir / name for name in OUTPUTS)
        yield


def read_downloaded_movies(data_dir):
    """Return the rows of posters.csv that have a poster.

    The rows are sorted by id, so that their order in the file does not change the sample.

    Returns:
        Two DataFrames: the movies that are split, and the train-only movies, often none.

    Raises:
        SystemExit: no movie to split has a poster, or too few because posters are missing.
    """
    posters = read_manifest(data_dir)
    is_train_only = posters.pop(TRAIN_ONLY) == "yes"
    counts = Counter(posters["status"][~is_train_only])
    print(f"{counts.total():,} movies, {counts['ok']:,} with a poster")
    if is_train_only.any():
        train_only_counts = Counter(posters["status"][is_train_only])
        print(
            f"{train_only_counts.total():,} train-only movies, {train_only_counts['ok']:,} with a "
            "poster"
        )
    if not counts["ok"] or counts["ok"] < MIN_MOVIES <= counts.total():
        sys.exit(explain_missing_posters(counts))
    if failed := (posters["status"] == "failed").sum():
        print(f"{failed:,} posters failed. To retry, run: python database.py")
    is_ok = posters["status"] == "ok"
    return (
        posters[is_ok & ~is_train_only].sort_values("id", ignore_index=True),
        posters[is_ok & is_train_only].sort_values("id", ignore_index=True),
    )


def explain_missing_posters(counts):
    """Return one line that says why too few movies have a poster, and what to do.

    Args:
        counts: Counter {status: movies} of posters.csv.
    """
    what = "There is no poster to sample"
    if counts["ok"]:
        what = f"Only {counts['ok']} of {counts.total():,} movies have a poster, too few"
    if counts["failed"] >= counts["gone"]:
        return f"{what}. Run: python database.py"
    return (
        f"{what}; posters.csv has the reasons. Correct POSTER_BASE or METADATA_CSV in database.py, "
        "then run: python database.py"
    )


def select_samples(movies, train_copies):
    """Return the rows of samples.csv: the movies of all splits that have at least one copy.

    Args:
        movies: DataFrame of all movies, with a column `split`.
        train_copies: int (training movies,), in the order of the training movies.
    """
    copies = pd.Series(1, index=movies.index)
    copies[movies["split"] == "train"] = train_copies
    return movies.assign(copies=copies).loc[copies > 0, COLUMNS]


def print_sampling_summary(counts, measures, drawn, copies):
    """Print the genre counts and the measures of imbalance.

    Args:
        counts, measures: see `imbalance.summarize_samples`.
        drawn, copies: int (training movies,), copies before oversampling and after.
    """
    counts = counts.sort_values("movies", ascending=False, kind="stable")
    if "train_only" in counts:
        print("train-only movies count in train_only, drawn and sample, not in movies and train")
    print("movies of each genre; IRLbl is the count of the most common genre over the genre's own:")
    print(counts.rename(index=escape_controls).to_string(float_format="{:.1f}".format))
    others = ", the train-only movies" if "train_only" in counts else ""
    print(f"all training movies{others}, the drawn movies, and the sample after oversampling:")
    print(measures.to_string(float_format="{:.3f}".format))
    added = copies[drawn == 0].astype(bool).sum()
    repeats = (copies - 1).clip(min=0).sum()
    print(f"oversampling added {added:,} movies that were not drawn, and {repeats:,} repeats")


def write_samples(samples, labels, counts, measures, duplicates, settings, data_dir):
    """Write sampling.json, sampling.png, and last samples.csv, which the next step reads.

    The old files stay until all new ones are written beside them. sampling.json has the checksum of
    samples.csv, so that files of two runs are noticed if a kill comes between the renames, and of
    its own content.

    Args:
        samples: see `select_samples`.
        labels: (movies, genres) of 0 and 1, of all movies but the train-only ones.
        counts, measures: see `imbalance.summarize_samples`.
        duplicates: lists of the ids of movies with the same poster.
        settings: {name: value} of this step.
        data_dir: the folder to write to.
    """
    data_dir = Path(data_dir)
    about = {
        "settings": {name: settings[name] for name in settings if name not in UNRECORDED},
        "genres": encode_rows(counts),
        "measures": encode_rows(measures),
        "duplicates": duplicates,
        "samples_sha256": hashlib.sha256(csv_bytes(samples)).hexdigest(),
    }
    with (  # renamed in reverse order: samples.csv last
        replacing(data_dir / "samples.csv") as table,
        replacing(data_dir / "sampling.json") as json_file,
        replacing(data_dir / "sampling.png") as picture,
    ):
        write_json(add_checksum(about), json_file)
        save_sampling_plot(labels, counts["drawn"], counts["sample"], picture)
        write_csv(samples, table)
    print(f"wrote {data_dir / 'samples.csv'} ({len(samples):,} movies)")
    print(f"counts and measures: {data_dir / 'sampling.json'}, {data_dir / 'sampling.png'}")
    print("next: python preprocessing.py")


def encode_rows(table):
    """Return the rows of a DataFrame for JSON, by name; infinite numbers and nan become None."""
    return json.loads(table.to_json(orient="index", double_precision=15))
