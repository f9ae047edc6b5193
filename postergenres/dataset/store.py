"""Read and write the store: the posters of samples.csv as NumPy arrays.

images.npy (N, H, W, 3) and labels.npy (N, G), both uint8; index.csv: row, id, split, copies;
checksums.csv: id and SHA-256 of each poster of samples.csv; errors.csv: posters without pixels,
which are left out. store.json is written last: genres in order, H, W, N, the number of training
movies before a sample was drawn, in total and per genre, what the store was made from, and the
checksums of the other files and of its own content. `open_store` checks them.
"""

import hashlib
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from postergenres.old_files import (
    add_checksum,
    check_room,
    csv_bytes,
    file_sha256,
    has_checksum,
    read_json,
    replacing,
    without_checksum,
    write_json,
)

import numpy as np
import pandas as pd
import xxhash
from numpy.lib.format import open_memmap

IDENTITY_FILES = ("index.csv", "checksums.csv")  # with store.json, they determine all rows
FILES = ("images.npy", "labels.npy", *IDENTITY_FILES)  # their checksums are in store.json
BLOCKS, BLOCK = 64, 65_536  # evenly spaced blocks of images.npy, in bytes, that are checked
UNUSABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError)  # a damaged file


def write_store(folder, array, samples, labels, source):
    """Write the files of the store, with the posters that have pixels; store.json last.

    The old store stays whole until all files of the new one are written beside it.

    Args:
        folder: the store.
        array: .npy file with a row for each of `samples`; it is renamed to images.npy, or copied
            if rows are left out.
        samples: DataFrame of id, split, copies, sha256 and error, which is empty for a poster
            that has pixels.
        labels: uint8 (samples, G).
        source: the content of store.json but N and the checksums.

    Raises:
        OSError: the disk has no room for the copy.
    """
    rows = np.flatnonzero(samples["error"] == "")
    index = samples.iloc[rows][["id", "split", "copies"]].reset_index(drop=True)
    tables = {
        "index.csv": index.rename_axis("row").reset_index(),
        "checksums.csv": samples[["id", "sha256"]],
        "errors.csv": samples.loc[samples["error"] != "", ["id", "error"]],
    }
    with ExitStack() as stack:  # it renames the files to their names at its end
        parts = {
            name: stack.enter_context(replacing(folder / name)) for name in ("labels.npy", *tables)
        }
        np.save(parts["labels.npy"], labels[rows])
        for name, table in tables.items():
            parts[name].write_bytes(csv_bytes(table))
        parts["images.npy"] = array
        if len(rows) < len(samples):
            parts["images.npy"] = stack.enter_context(replacing(folder / "images.npy"))
            copy_rows(array, parts["images.npy"], rows)
        about = source | {"N": len(rows), "files": describe_files(parts)}
        (folder / "store.json").unlink(missing_ok=True)  # the store is incomplete from here on
        if parts["images.npy"] == array:
            os.replace(array, folder / "images.npy")
    write_json(add_checksum(about), folder / "store.json")


def seal_store(folder, about):
    """Write store.json with the checksums of the files that lie beside it.

    Args:
        folder: the store, whose files were changed on purpose.
        about: the content of store.json; checksums in it are replaced.
    """
    folder = Path(folder)
    about = without_checksum(about, "files")
    about |= {"files": describe_files({name: folder / name for name in FILES})}
    write_json(add_checksum(about), folder / "store.json")


def copy_rows(source, target, rows, block=1000):
    """Copy rows of a .npy file to another file, a block of rows at a time to save memory."""
    shape = np.load(source, mmap_mode="r").shape[1:]
    check_room(Path(target).parent, len(rows) * int(np.prod(shape)))
    open_memmap(target, "w+", np.uint8, (len(rows), *shape)).flush()
    for start in range(0, len(rows), block):
        chunk = slice(start, start + block)
        np.load(target, mmap_mode="r+")[chunk] = np.load(source, mmap_mode="r")[rows[chunk]]


# --- checksums ------------------------------------------------------------------------------------


def describe_files(paths):
    """Return the checksums of the files of a store, as store.json records them.

    Args:
        paths: {name: path} of FILES.
    """
    images = paths["images.npy"]
    described = {"size": images.stat().st_size, "sampled_sha256": hash_blocks(images)}
    described["xxh3_64"] = hash_file(images)  # of the whole; SHA-256 takes twelve times as long
    return {name: described if name == "images.npy" else file_sha256(paths[name]) for name in FILES}


def check_files(folder, about, names=FILES, verify="sampled"):
    """Check that files of a store have the content that store.json says.

    Args:
        folder: the store.
        about: the content of store.json.
        names: the files to check.
        verify: "sampled" checks evenly spaced blocks of images.npy, "all" the whole file.

    Raises:
        ValueError: a file or store.json has another content, or has no checksum, because an older
            version wrote the store.
        OSError, KeyError, TypeError: a file is missing, or store.json has another shape.
    """
    if not has_checksum(about):
        raise ValueError("store.json has no checksum, or another one")
    for name in names:
        path, expected = folder / name, about["files"][name]
        if name != "images.npy":
            is_same = file_sha256(path) == expected
        else:
            is_same = path.stat().st_size == expected["size"]
            is_same = is_same and hash_blocks(path) == expected["sampled_sha256"]
            if verify == "all":
                is_same = is_same and hash_file(path) == expected["xxh3_64"]
        if not is_same:
            raise ValueError(f"{name} has another checksum than store.json says")


def hash_blocks(path):
    """Return the SHA-256 of BLOCKS evenly spaced blocks of a file; of all of it if it is small."""
    digest, last = hashlib.sha256(), path.stat().st_size - BLOCK
    with open(path, "rb") as file:
        if last < BLOCKS * BLOCK:
            digest.update(file.read())
        else:
            for number in range(BLOCKS):
                file.seek(last * number // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()


def hash_file(path):
    """Return the XXH3 of a file, as 16 hexadecimal digits; it finds damage, not forgery."""
    digest = xxhash.xxh3_64()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def identify_store(folder, about):
    """Return the SHA-256 that stands for the settings, ids and posters of a store.

    The checksums in store.json are left out: stores of versions without them have the same.
    """
    content = without_checksum(about, "files")
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    parts = [hashlib.sha256(text.encode()).hexdigest()]
    parts += [file_sha256(folder / name) for name in IDENTITY_FILES]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


# --- the open store -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """The posters of samples.csv as arrays.

    Attributes:
        images: memory-mapped uint8 (N, H, W, 3), read-only.
        labels: uint8 (N, G), 1 if a movie has a genre.
        index: DataFrame of id, split, copies, with a row for each row of the arrays.
        genres: the G genre names, in the order of the columns of `labels`.
        train_movies: number of training movies before a sample of them was drawn, without the
            train-only movies.
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
    poster_sha256: list

    def rows(self, split):
        """Return the row numbers of a split: "train", "val" or "test"."""
        return np.flatnonzero(self.index["split"] == split)


def open_store(data_dir, verify="sampled"):
    """Open the store of step 3, after a check that its files belong together.

    Args:
        data_dir: the data folder.
        verify: "sampled" checks evenly spaced blocks of images.npy, which takes 0.01 s; "all"
            checks every pixel, which takes 0.3 s for 15,000 posters.

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
        about, images, labels, index = read_arrays(folder, verify)
        identity = identify_store(folder, about)
        train_counts = count_train_movies(about, labels, index)
    except UNUSABLE:
        sys.exit(f"The files in {folder} do not belong together. {command}")
    if samples.is_file() and file_sha256(samples) != about["samples_sha256"]:
        sys.exit(f"{folder} was made from another version of {samples}. {command}")
    return Store(
        images,
        labels,
        index,
        about["genres"],
        *train_counts,
        about["samples_sha256"],
        identity,
        read_checksums(folder)[index["id"]].to_list(),
    )


def read_arrays(folder, verify):
    """Return the content of store.json, the images, the labels and the index, after a check.

    Raises:
        Exceptions: those in UNUSABLE, if a file is missing or has another content.
    """
    about = read_json(folder / "store.json")
    check_files(folder, about, verify=verify)
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
