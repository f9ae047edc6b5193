"""Step 3: decode and resize the posters into a NumPy array store.

    python preprocessing.py

Reads   DATA_DIR/samples.csv and DATA_DIR/posters/
Writes  DATA_DIR/store/: images.npy (N, H, W, 3) and labels.npy (N, G), both uint8, each poster
        once; index.csv: row, id, split, copies; errors.csv: posters that do not decode, left out;
        and last store.json: genres in order, H, W, N and what the store was made from.
Takes   about 30 s for 15,000 posters on two cores; 45 kB of disk per poster at 150 x 101.
"""

import hashlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from PIL import Image, ImageOps

from ledger import poster_path, read_json, replacing, write_csv, write_json
from progress import show_progress
from sampling import encode_genres, read_samples

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that sampling.py wrote
IMAGE_HEIGHT = 150  # pixels; the CNN learns finer detail from larger posters, and trains slower
IMAGE_WIDTH = 101  # pixels; keep about two thirds of the height, as posters are
WORKERS = None  # processes; None takes one per core
# --------------------------------------------------------------------------------------------------


def main(data_dir=DATA_DIR, image_height=IMAGE_HEIGHT, image_width=IMAGE_WIDTH, workers=WORKERS):
    """Write the store, or say that it is up to date."""
    if min(image_height, image_width) < 1:
        raise ValueError(f"the image size must be positive, got {image_height} x {image_width}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be None or at least 1, got {workers!r}")
    samples = read_samples(data_dir)
    genres = sorted({genre for cell in samples["genres"] for genre in cell.split("|")})
    made_from = {
        "genres": genres,
        "H": image_height,
        "W": image_width,
        "samples_sha256": file_sha256(Path(data_dir) / "samples.csv"),
        "posters_sha256": posters_sha256(samples["id"], data_dir),
    }
    store = Path(data_dir) / "store"
    if is_current(data_dir, made_from):
        print(f"{store} is up to date\nnext: python train.py")
        return
    store.mkdir(exist_ok=True)
    (store / "store.json").unlink(missing_ok=True)  # from here on the store is unfinished

    errors = write_images(samples["id"], data_dir, image_height, image_width, workers)
    samples = samples[~samples["id"].isin(errors["id"])].reset_index(drop=True)
    if set(samples["split"]) != {"train", "val", "test"}:
        sys.exit(
            "Too few posters decode to fill each split. To fetch them, run: python database.py"
        )
    with replacing(store / "labels.npy") as part:
        np.save(part, encode_genres(samples["genres"], genres))
    write_csv(
        samples[["id", "split", "copies"]].rename_axis("row").reset_index(), store / "index.csv"
    )
    write_csv(errors, store / "errors.csv")
    write_json(made_from | {"N": len(samples)}, store / "store.json")
    report(store, len(samples), errors)


# --- decoding -------------------------------------------------------------------------------------


def decode_poster(path, image_height, image_width):
    """Decode an image and resize it to RGB pixels, uint8 of shape (H, W, 3).

    Transparent pixels come out white, and a photo's EXIF rotation is undone. The JPEG decoder
    scales down by a power of two first where the image is much too large (Pillow's draft mode).

    Raises:
        ValueError: the file is missing or is not an image that Pillow can decode.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * image_width, 2 * image_height))
            with suppress(Exception):  # a rotation that cannot be read is none
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            size = (image_width, image_height)
            image = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
            return np.asarray(image)
    except Exception as error:  # on broken files the decoders raise whatever they stumble over
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from error


def try_decode(path, image_height, image_width):
    """(pixels, "") or (None, the reason why there are none); an exception would end the pool."""
    try:
        return decode_poster(path, image_height, image_width), ""
    except ValueError as error:
        return None, str(error)


def write_images(ids, data_dir, image_height, image_width, workers):
    """Decode the posters in processes and write those that decode to images.npy, in order.

    Returns:
        A DataFrame of the others: id, error.
    """
    store = Path(data_dir) / "store"
    paths = [poster_path(data_dir, movie) for movie in ids]
    decode = partial(try_decode, image_height=image_height, image_width=image_width)
    errors, row = [], 0
    # A forked child inherits TensorFlow's locks where that is loaded; a spawned one never does.
    context = multiprocessing.get_context("spawn")
    with replacing(store / "images.npy") as part:
        images = open_memmap(part, "w+", np.uint8, (len(paths), image_height, image_width, 3))
        with (
            ProcessPoolExecutor(workers or min(os.cpu_count(), 61), context) as pool,
            show_progress(len(paths), "poster") as progress,
        ):
            results = pool.map(decode, paths, chunksize=32)
            for movie, (pixels, error) in zip(ids, results, strict=True):
                progress.update()
                if error:
                    errors.append({"id": movie, "error": error})
                else:
                    images[row] = pixels
                    row += 1
        del images  # writes it out; Windows renames no file that is mapped
        if row < len(paths):
            shorten(part, row)
    return pd.DataFrame(errors, columns=["id", "error"])


def shorten(path, rows):
    """Keep the first rows of an array file, without holding them in memory."""
    whole = np.load(path, mmap_mode="r")
    with replacing(path) as part:
        kept = open_memmap(part, "w+", whole.dtype, (rows, *whole.shape[1:]))
        for start in range(0, rows, 1000):
            kept[start : start + 1000] = whole[start : min(start + 1000, rows)]
        del kept, whole


# --- the store ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """The posters as arrays.

    Attributes:
        images: memory-mapped uint8 (N, H, W, 3), read only.
        labels: uint8 (N, G), 1 where a movie carries a genre.
        index: DataFrame of id, split, copies, one row per row of the arrays.
        genres: the G genre names, in the order of the columns of `labels`.
        samples_sha256: checksum of the samples.csv that it was made from.
    """

    images: np.ndarray
    labels: np.ndarray
    index: pd.DataFrame
    genres: list
    samples_sha256: str

    def rows(self, split):
        """The row numbers of a split: train, val or test."""
        return np.flatnonzero(self.index["split"] == split)


def open_store(data_dir):
    """Open the store that main() wrote. Exits with one line where it is missing or out of date."""
    store, samples = Path(data_dir) / "store", Path(data_dir) / "samples.csv"
    if not (store / "store.json").is_file():
        sys.exit(f"{store / 'store.json'} is missing. Run: python preprocessing.py")
    about = read_json(store / "store.json")
    if samples.is_file() and file_sha256(samples) != about["samples_sha256"]:
        sys.exit(f"{store} was made from another {samples}. Run: python preprocessing.py")
    images = np.load(store / "images.npy", mmap_mode="r")
    labels = np.load(store / "labels.npy")
    index = pd.read_csv(store / "index.csv", dtype={"id": str}, na_filter=False, index_col="row")
    if not len(images) == len(labels) == len(index) == about["N"]:
        sys.exit(f"The files in {store} do not belong together. Run: python preprocessing.py")
    return Store(images, labels, index, about["genres"], about["samples_sha256"])


def is_current(data_dir, made_from):
    """Whether the store is whole and was made from just this."""
    try:
        store = open_store(data_dir)
    except (SystemExit, OSError, ValueError):
        return False
    about = read_json(Path(data_dir) / "store" / "store.json")
    is_whole = store.images.shape[1:3] == (about["H"], about["W"])
    return is_whole and all(about.get(key) == value for key, value in made_from.items())


def file_sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def posters_sha256(ids, data_dir):
    """Checksum of the posters: one that was downloaded anew makes the store stale."""
    digest = hashlib.sha256()
    for path in (poster_path(data_dir, movie) for movie in ids):
        digest.update(file_sha256(path).encode() if path.is_file() else b"missing")
    return digest.hexdigest()


def report(store, count, errors):
    size = (store / "images.npy").stat().st_size / 1e6
    shape = np.load(store / "images.npy", mmap_mode="r").shape
    print(f"{count:,} posters decoded, {len(errors):,} left out")
    for movie, error in errors.head(5).itertuples(index=False):
        print(f"  {movie}: {error}")
    print(f"wrote {store / 'images.npy'} {shape} uint8, {size:,.0f} MB\nnext: python train.py")


if __name__ == "__main__":
    main()
