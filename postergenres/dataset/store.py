"""The store of posters as NumPy arrays: its files, written by step 3 and read by the later ones.

images.npy (N, H, W, 3) and labels.npy (N, G), both uint8; index.csv: row, id, split, copies;
checksums.csv: id and SHA-256 of each poster of samples.csv; errors.csv: posters without pixels,
which are left out; and last store.json: genres in order, H, W, N, how many movies there were to
train on before a sample was drawn, and of each genre, and what the store was made from.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from postergenres.files import file_sha256, read_json, replacing, write_csv, write_json

ROWS_ARE = ("store.json", "index.csv", "checksums.csv")  # the files that say what the rows are


def write_store(store, array, samples, labels, made_from):
    """Write the files of the store, those of the posters that have pixels, and store.json last.

    Args:
        store: the folder.
        array: a .npy file with a row for each of `samples`, which becomes images.npy.
        samples: DataFrame of id, split, copies, sha256 and error, empty where there are pixels.
        labels: uint8 (samples, G).
        made_from: what else store.json is to say.
    """
    (store / "store.json").unlink(missing_ok=True)  # from here on the store is in pieces
    rows = np.flatnonzero(samples["error"] == "")
    with replacing(store / "labels.npy") as part:
        np.save(part, labels[rows])
    index = samples.iloc[rows][["id", "split", "copies"]].reset_index(drop=True)
    write_csv(index.rename_axis("row").reset_index(), store / "index.csv")
    write_csv(samples[["id", "sha256"]], store / "checksums.csv")
    write_csv(samples.loc[samples["error"] != "", ["id", "error"]], store / "errors.csv")
    if len(rows) == len(samples):
        os.replace(array, store / "images.npy")
    else:
        copy_rows(array, store / "images.npy", rows)
    write_json(made_from | {"N": len(rows)}, store / "store.json")


def copy_rows(source, target, rows, block=1000):
    """Copy rows of a .npy file to another, a block at a time."""
    with replacing(target) as part:
        shape = np.load(source, mmap_mode="r").shape[1:]
        open_memmap(part, "w+", np.uint8, (len(rows), *shape)).flush()
        for start in range(0, len(rows), block):
            chunk = slice(start, start + block)
            np.load(part, mmap_mode="r+")[chunk] = np.load(source, mmap_mode="r")[rows[chunk]]


@dataclass(frozen=True)
class Store:
    """The posters as arrays.

    Attributes:
        images: memory-mapped uint8 (N, H, W, 3), read only.
        labels: uint8 (N, G), 1 where a movie carries a genre.
        index: DataFrame of id, split, copies, one row per row of the arrays.
        genres: the G genre names, in the order of the columns of `labels`.
        train_movies: how many there were to train on before a sample of them was drawn.
        train_counts: (G,), how many of these carried each genre; the floors come from them.
        samples_sha256: checksum of the samples.csv that it was made from.
        sha256: checksum of what the rows are: the settings of the store, its ids and its posters.
    """

    images: np.ndarray
    labels: np.ndarray
    index: object
    genres: list
    train_movies: int
    train_counts: np.ndarray
    samples_sha256: str
    sha256: str

    def rows(self, split):
        """The row numbers of a split: train, val or test."""
        return np.flatnonzero(self.index["split"] == split)


def open_store(data_dir):
    """Open the store of step 3. Exits with one line where it is missing or out of date."""
    store, samples = Path(data_dir) / "store", Path(data_dir) / "samples.csv"
    again = "Run: python preprocessing.py"
    if (store / "unfinished.jsonl").is_file():
        sys.exit(f"{store} is unfinished, preprocessing.py was stopped. {again}")
    if not (store / "store.json").is_file():
        sys.exit(f"{store / 'store.json'} is missing. {again}")
    try:
        about = read_json(store / "store.json")
        images = np.load(store / "images.npy", mmap_mode="r")
        labels = np.load(store / "labels.npy")
        index = read_index(store)
        expected = (about["N"], about["H"], about["W"], 3)
        fits = images.shape == expected and len(labels) == len(index) == about["N"]
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        sys.exit(f"The files in {store} do not belong together. {again}")
    if samples.is_file() and file_sha256(samples) != about["samples_sha256"]:
        sys.exit(f"{store} was made from another {samples}. {again}")
    identity = "".join(file_sha256(store / f"{name}") for name in ROWS_ARE)
    sha256 = hashlib.sha256(identity.encode()).hexdigest()
    if about.get("train"):
        train_movies = about["train"]["movies"]
        train_counts = np.array([about["train"]["genres"][genre] for genre in about["genres"]])
    else:  # samples.csv is not from sampling.py
        is_train = (index["split"] == "train").to_numpy()
        train_movies, train_counts = is_train.sum(), labels[is_train].sum(axis=0, dtype=int)
    return Store(
        images,
        labels,
        index,
        about["genres"],
        train_movies,
        train_counts,
        about["samples_sha256"],
        sha256,
    )


def read_index(store):
    import pandas as pd

    return pd.read_csv(store / "index.csv", dtype={"id": str}, na_filter=False, index_col="row")


def read_checksums(store):
    """The SHA-256 of each poster of samples.csv when the store was made, by id."""
    import pandas as pd

    table = pd.read_csv(store / "checksums.csv", dtype=str, na_filter=False)
    return table.set_index("id")["sha256"]
