"""Read and write the store: the posters of samples.csv as NumPy arrays.

images.npy (N, H, W, 3) and labels.npy (N, G), both uint8; index.csv: row, id, split, copies;
checksums.csv: id and SHA-256 of each poster of samples.csv; errors.csv: posters without pixels,
which are left out. store.json is written last: genres in order, H, W, N, the number of training
movies before a sample was drawn, in total and per genre, and what the store was made from.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from postergenres.files import file_sha256, read_json, replacing, write_csv, write_json

IDENTITY_FILES = ("store.json", "index.csv", "checksums.csv")  # they determine all rows


def write_store(folder, array, samples, labels, source):
    """Write the files of the store, with the posters that have pixels; store.json last.

    Args:
        folder: the store.
        array: .npy file with a row for each of `samples`; it is renamed to images.npy, or copied
            if rows are left out.
        samples: DataFrame of id, split, copies, sha256 and error, which is empty for a poster
            that has pixels.
        labels: uint8 (samples, G).
        source: the content of store.json but N.
    """
    (folder / "store.json").unlink(missing_ok=True)  # the store is incomplete from here on
    rows = np.flatnonzero(samples["error"] == "")
    with replacing(folder / "labels.npy") as part:
        np.save(part, labels[rows])
    index = samples.iloc[rows][["id", "split", "copies"]].reset_index(drop=True)
    write_csv(index.rename_axis("row").reset_index(), folder / "index.csv")
    write_csv(samples[["id", "sha256"]], folder / "checksums.csv")
    write_csv(samples.loc[samples["error"] != "", ["id", "error"]], folder / "errors.csv")
    if len(rows) == len(samples):
        os.replace(array, folder / "images.npy")
    else:
        copy_rows(array, folder / "images.npy", rows)
    write_json(source | {"N": len(rows)}, folder / "store.json")


def copy_rows(source, target, rows, block=1000):
    """Copy rows of a .npy file to another file, a block of rows at a time to save memory."""
    with replacing(target) as part:
        shape = np.load(source, mmap_mode="r").shape[1:]
        open_memmap(part, "w+", np.uint8, (len(rows), *shape)).flush()
        for start in range(0, len(rows), block):
            chunk = slice(start, start + block)
            np.load(part, mmap_mode="r+")[chunk] = np.load(source, mmap_mode="r")[rows[chunk]]


@dataclass(frozen=True)
class Store:
    """The posters of samples.csv as arrays.

    Attributes:
        images: memory-mapped uint8 (N, H, W, 3), read-only.
        labels: uint8 (N, G), 1 if a movie has a genre.
        index: DataFrame of id, split, copies, with a row for each row of the arrays.
        genres: the G genre names, in the order of the columns of `labels`.
        train_movies: number of training movies before a sample of them was drawn.
        train_counts: (G,), how many of the train_movies have each genre; the floors are computed
            from them.
        samples_sha256: SHA-256 of the samples.csv that the store was made from.
        sha256: checksum that changes with the settings, ids and posters of the store.
    """

    images: np.ndarray
    labels: np.ndarray
    index: pd.DataFrame
    genres: list
    train_movies: int
    train_counts: np.ndarray
    samples_sha256: str
    sha256: str

    def rows(self, split):
        """Return the row numbers of a split: "train", "val" or "test"."""
        return np.flatnonzero(self.index["split"] == split)


def open_store(data_dir):
    """Open the store of step 3.

    Returns:
        `Store`.

    Raises:
        SystemExit: the store is missing, unfinished, damaged or out of date.
    """
    folder, samples = Path(data_dir) / "store", Path(data_dir) / "samples.csv"
    command = "Run: python preprocessing.py"
    if (folder / "unfinished.jsonl").is_file():
        sys.exit(f"{folder} is unfinished, because preprocessing.py was stopped. {command}")
    if not (folder / "store.json").is_file():
        sys.exit(f"{folder / 'store.json'} is missing. {command}")
    try:
        about, images, labels, index = read_arrays(folder)
    except (OSError, ValueError, KeyError, TypeError):
        sys.exit(f"The files in {folder} do not belong together. {command}")
    if samples.is_file() and file_sha256(samples) != about["samples_sha256"]:
        sys.exit(f"{folder} was made from another version of {samples}. {command}")
    identity = "".join(file_sha256(folder / name) for name in IDENTITY_FILES)
    return Store(
        images,
        labels,
        index,
        about["genres"],
        *count_train_movies(about, labels, index),
        about["samples_sha256"],
        hashlib.sha256(identity.encode()).hexdigest(),
    )


def read_arrays(folder):
    """Return the content of store.json, the images, the labels and the index.

    Raises:
        OSError, KeyError, TypeError: a file is missing or has another content.
        ValueError: also if the files have different numbers of rows.
    """
    about = read_json(folder / "store.json")
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    index = read_index(folder)
    expected = (about["N"], about["H"], about["W"], 3)
    if images.shape != expected or not len(labels) == len(index) == about["N"]:
        raise ValueError(f"the arrays have other shapes than store.json says: {expected}")
    return about, images, labels, index


def count_train_movies(about, labels, index):
    """Return the number of training movies before a sample was drawn, in total and per genre."""
    if about.get("train"):
        counts = [about["train"]["genres"][genre] for genre in about["genres"]]
        return about["train"]["movies"], np.array(counts)
    is_train = (index["split"] == "train").to_numpy()  # samples.csv is not from sampling.py
    return is_train.sum(), labels[is_train].sum(axis=0, dtype=int)


def read_index(folder):
    """Return index.csv: a DataFrame of id, split and copies, by row."""
    return pd.read_csv(folder / "index.csv", dtype={"id": str}, na_filter=False, index_col="row")


def read_checksums(folder):
    """Return the SHA-256 that each poster of samples.csv had when the store was made, by id."""
    table = pd.read_csv(folder / "checksums.csv", dtype=str, na_filter=False)
    return table.set_index("id")["sha256"]
