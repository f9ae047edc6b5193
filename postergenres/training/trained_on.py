"""The movies that a network was trained on, so that they never validate or test its successors.

A model folder has trained_on.npy, which lists them, and a model that started from the weights of
another one also weights_trained_on.npy, which lists the movies behind those weights. A row, uint8
(40,), stands for a movie: 8 bytes of the SHA-256 of its id and 32 bytes of the perceptual hash of
its poster, which is 0 if the poster is of one color. The movies cannot be read from the lists, but
it can be asked whether a movie is in them.
"""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from postergenres.dataset.duplicates import (
    BITS,
    NEAR_DUPLICATE,
    SIDE,
    count_differences,
    hash_image,
)
from postergenres.dataset.store import Store

import numpy as np
from PIL import Image

FILE = "trained_on.npy"
WEIGHTS_FILE = "weights_trained_on.npy"
ID_BYTES = 8
BLOCK = 64  # posters that are compared with the list at a time


def list_movies(ids: Iterable[str], images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the hashes of movies, uint8 (M, 40), from their ids and the rows of their posters.

    The posters are uint8 (N, H, W, 3).
    """
    hashed = np.zeros((len(rows), ID_BYTES + BITS // 8), np.uint8)
    for line, movie, row in zip(hashed, ids, rows, strict=True):
        digest = hashlib.sha256(movie.encode()).digest()
        line[:ID_BYTES] = np.frombuffer(digest[:ID_BYTES], np.uint8)
        line[ID_BYTES:] = hash_image(Image.fromarray(images[row]).resize((SIDE, SIDE)))
    return hashed


def join_lists(*lists: np.ndarray) -> np.ndarray:
    """Return the movies of several lists, each once, in an order that says nothing."""
    return np.unique(np.concatenate(lists), axis=0)


def are_listed(movies: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """Return whether each of the movies has the id or nearly the poster of a listed one, (M,)."""
    ids, listed_ids = (np.ascontiguousarray(x[:, :ID_BYTES]).view("<u8") for x in (movies, listed))
    posters, known = movies[:, ID_BYTES:], listed[:, ID_BYTES:]
    has_poster, known = posters.any(axis=1), known[known.any(axis=1)]
    words, known_words = (np.ascontiguousarray(x).view(np.uint64).T for x in (posters, known))
    nearest = [
        count_differences(words[:, start : start + BLOCK], known_words).min(axis=1, initial=BITS)
        for start in range(0, len(movies), BLOCK)
    ]
    is_near = (np.concatenate(nearest) <= NEAR_DUPLICATE) & has_poster
    return np.isin(ids, listed_ids).ravel() | is_near


def leave_out(store: Store, listed: np.ndarray) -> tuple[Store, dict[str, int]]:
    """Return a store whose validation and test movies are not listed, and how many are left out.

    The posters stay; their split is "left out". Exit if no movie of a split remains.
    """
    split, counts = store.index["split"].to_numpy(copy=True), {"val": 0, "test": 0}
    for name in counts if len(listed) else ():
        rows = store.rows(name)
        movies = list_movies(store.index["id"].iloc[rows], store.images, rows)
        found = rows[are_listed(movies, listed)]
        split[found], counts[name] = "left out", len(found)
        if len(found) == len(rows):
            sys.exit(
                f"The weights in WEIGHTS were trained on all {len(rows):,} movies of the {name} "
                "split. Use other movies, or set WEIGHTS to None. Run: python train.py"
            )
    return replace(store, index=store.index.assign(split=split)), counts


# --- the files of a model folder ------------------------------------------------------------------


def read_behind_weights(folder: Path) -> np.ndarray:
    """Return the list of the movies behind the weights that a model started from, if any."""
    path = folder / WEIGHTS_FILE
    return np.load(path) if path.is_file() else np.zeros((0, ID_BYTES + BITS // 8), np.uint8)


def read_lists(folder: Path) -> np.ndarray:
    """Return the list of the training movies of a model and of the weights it started from."""
    return join_lists(np.load(folder / FILE), read_behind_weights(folder))


def save_lists(store: Store, behind_weights: np.ndarray | None, folder: Path) -> None:
    """Write the list of the training movies of a store, and of those behind the initial weights."""
    rows = store.rows("train")
    movies = list_movies(store.index["id"].iloc[rows], store.images, rows)
    np.save(folder / FILE, join_lists(movies))
    if behind_weights is not None:
        np.save(folder / WEIGHTS_FILE, behind_weights)
