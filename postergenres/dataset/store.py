"""Open the store: the posters of samples.csv as NumPy arrays.

images.npy (N, H, W, 3) and labels.npy (N, G), both uint8; index.csv: row, id, split, copies;
checksums.csv: id and SHA-256 of each poster of samples.csv; errors.csv: posters without pixels,
which are left out; store.json: genres in order, H, W, N, the number of training movies before a
sample was drawn, in total and per genre, and what else the store was made from.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.dataset.samples import hash_samples
from postergenres.files import find_damage, identify_folder, read_json

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Store:
    """The posters of samples.csv as arrays."""

    images: np.ndarray  # memory-mapped uint8 (N, H, W, 3), read-only
    labels: np.ndarray  # uint8 (N, G), 1 if a movie has a genre
    index: pd.DataFrame  # id, split and copies, with a row for each row of the arrays
    genres: list[str]  # names, in the order of the columns of `labels`
    train_movies: int  # before a sample of them was drawn; without the train-only movies
    train_counts: np.ndarray  # (G,), how many of the train_movies have each genre, for the floors
    samples_sha256: str  # of the samples.csv that the store was made from
    poster_sha256: list[str]  # of the poster of each row
    sha256: str  # changes with every byte of the store

    def rows(self, split: str) -> np.ndarray:
        """Return the row numbers of a split: "train", "val" or "test"."""
        return np.flatnonzero(self.index["split"] == split)


def open_store(data_dir: Path, names: Iterable[str] | None = None) -> Store:
    """Open the store of step 3, after a check of every byte, which takes 0.3 s for 15,000 posters.

    Only the files `names` are checked if they are given.

    Raises:
        SystemExit: the store is missing, damaged or out of date.
    """
    folder, command = Path(data_dir) / "store", "Run: python preprocessing.py"
    if damage := find_damage(folder, names):
        sys.exit(f"{damage}. {command}")
    about = read_json(folder / "store.json")
    samples = folder.with_name("samples.csv")
    if samples.is_file() and hash_samples(folder.parent) != about["samples_sha256"]:
        sys.exit(f"{folder} was made from another version of {samples}. {command}")
    labels = np.load(folder / "labels.npy")
    index = pd.read_csv(folder / "index.csv", dtype={"id": str}, na_filter=False, index_col="row")
    train_movies, train_counts = count_train_movies(about, labels, index)
    return Store(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        labels=labels,
        index=index,
        genres=about["genres"],
        train_movies=train_movies,
        train_counts=train_counts,
        samples_sha256=about["samples_sha256"],
        poster_sha256=list(read_checksums(folder)[index["id"]]),
        sha256=identify_folder(folder),
    )


def count_train_movies(
    about: dict[str, Any], labels: np.ndarray, index: pd.DataFrame
) -> tuple[int, np.ndarray]:
    """Return the number of training movies before a sample was drawn, in total and per genre."""
    if about["train"]:
        counts = [about["train"]["genres"][genre] for genre in about["genres"]]
        return about["train"]["movies"], np.array(counts)
    is_train = (index["split"] == "train").to_numpy()  # samples.csv is not from sampling.py
    return is_train.sum(), labels[is_train].sum(axis=0, dtype=int)


def read_checksums(folder: Path) -> pd.Series:
    """Return the SHA-256 of each poster, by id, as the store was made; empty if unreadable."""
    table = pd.read_csv(folder / "checksums.csv", dtype=str, na_filter=False)
    return table.set_index("id").sha256
