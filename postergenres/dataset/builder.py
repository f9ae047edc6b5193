"""Build the store: decode the posters of samples.csv into an array, beside an older store."""

import hashlib
import os
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import DECODER, fill_rows
from postergenres.dataset.genres import encode_genres, list_genres
from postergenres.dataset.samples import SPLITS, hash_samples, read_train_counts
from postergenres.dataset.store import read_checksums
from postergenres.download.manifest import poster_path
from postergenres.files import (
    check_room,
    find_damage,
    read_json,
    write_csv,
    write_json,
    writing_folder,
)
from postergenres.parallel import run_tasks
from postergenres.progress import show_progress

import numpy as np
import pandas as pd
import xxhash
from numpy.lib import format as npy

CHUNK = 32  # posters that a worker decodes at a time


def describe_source(
    samples: pd.DataFrame, data_dir: Path, image_height: int, image_width: int
) -> dict[str, Any]:
    """Return what a store is made from, as store.json records it."""
    return {
        "genres": list_genres(samples["genres"]),
        "train": read_train_counts(data_dir),
        "H": image_height,
        "W": image_width,
        "samples_sha256": hash_samples(data_dir),
        "decoder": DECODER,
    }


def is_up_to_date(samples: pd.DataFrame, source: dict[str, Any], data_dir: Path) -> bool:
    """Return whether the store is whole, and made from this source and these posters."""
    folder = data_dir / "store"
    if damage := find_damage(folder):
        if folder.exists():
            print(f"{damage}. The store is made again")
        return False
    about = read_json(folder / "store.json")
    if any(about[name] != value for name, value in source.items()):
        return False
    checksums = read_checksums(folder)
    tasks = ((poster_path(data_dir, movie), checksums[movie]) for movie in samples["id"])
    with ThreadPoolExecutor() as pool:
        return all(run_tasks(pool, has_checksum, tasks))


def has_checksum(path: Path, checksum: str) -> bool:
    """Return whether a file has this SHA-256; an empty one stands for a file that is unreadable."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    except OSError:
        return checksum == ""


def build_store(
    samples: pd.DataFrame, source: dict[str, Any], data_dir: Path, executor: Executor
) -> None:
    """Write DATA_DIR/store/ from a `describe_source`, and print what is in it.

    Raises:
        SystemExit: a split would have no posters.
    """
    paths = [poster_path(data_dir.absolute(), movie) for movie in samples["id"]]
    labels = encode_genres(samples.genres, source["genres"])
    with writing_folder(data_dir / "store") as folder:
        array = folder.absolute() / "images.npy"  # the workers of a cluster run elsewhere
        checksums, errors = decode_posters(paths, array, (source["H"], source["W"]), executor)
        samples = samples.assign(sha256=checksums, error=errors)
        is_decoded = samples["error"] == ""
        failed = samples.loc[~is_decoded, ["id", "error"]]
        if set(samples.split[is_decoded]) != set(SPLITS):
            sys.exit(
                f"Too few posters to fill train, val and test: {len(failed):,} of "
                f"{len(samples):,} movies have no poster that can be decoded. To download more, "
                "run: python database.py"
            )
        rows = np.flatnonzero(is_decoded)
        keep_rows(array, rows)
        np.save(folder / "labels.npy", labels[rows])
        index = samples.loc[is_decoded, ["id", "split", "copies"]].reset_index(drop=True)
        write_csv(index.rename_axis("row").reset_index(), folder / "index.csv")
        write_csv(samples.loc[:, ["id", "sha256"]], folder / "checksums.csv")
        write_csv(failed, folder / "errors.csv")
        write_json(source | {"N": len(rows)}, folder / "store.json")
    print_store_summary(data_dir / "store", failed)


def decode_posters(
    paths: list[Path], array: Path, size: tuple[int, int], executor: Executor
) -> tuple[list[str], list[str]]:
    """Decode the posters into a new .npy file, a row for each; return checksums and errors.

    They are the SHA-256 of each poster, empty if it cannot be read, and the reason for each row
    without pixels, empty for the others.

    Raises:
        OSError: the disk has no room, or the file lacks what a worker wrote.
    """
    shape = (len(paths), *size, 3)
    check_room(array.parent, int(np.prod(shape, dtype=object)))
    npy.open_memmap(array, "w+", np.uint8, shape).flush()
    starts = range(0, len(paths), CHUNK)
    tasks = ((array, first, paths[first : first + CHUNK], DECODER) for first in starts)
    checksums, errors, digests = [], [], []
    with show_progress(len(paths), "poster") as progress:
        for chunk_checksums, chunk_errors, digest in run_tasks(executor, fill_rows, tasks):
            checksums += chunk_checksums
            errors += chunk_errors
            digests.append(digest)
            progress.update(len(chunk_checksums))
    images = np.load(array, mmap_mode="r")
    for first, digest in zip(starts, digests, strict=True):
        if xxhash.xxh3_64_hexdigest(images[first : first + CHUNK]) != digest:
            raise OSError(f"{array} lacks rows that a worker wrote: do all share this folder?")
    return checksums, errors


def keep_rows(array: Path, rows: np.ndarray) -> None:
    """Keep these rows, rising, of a .npy file, uint8 (N, H, W, 3); change the file in place."""
    images = np.load(array, mmap_mode="r+")
    if len(rows) == len(images):
        return
    for row, source in enumerate(rows):
        images[row] = images[source]
    images.flush()
    shape = (len(rows), *images.shape[1:])
    with open(array, "r+b") as file:  # NumPy keeps room in the header for another N
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
    os.truncate(array, images.offset + int(np.prod(shape)))


def print_store_summary(folder: Path, failed: pd.DataFrame) -> None:
    """Print the size of the store, and the first posters that are left out: id and error."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    print(f"{len(images):,} posters in the store, {len(failed):,} left out")
    for movie, error in failed.head(5).itertuples(index=False):
        print(f"  {movie}: {error}")
    print(f"wrote {folder / 'images.npy'} {images.shape} uint8, {images.nbytes / 1e6:,.0f} MB")
