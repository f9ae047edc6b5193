"""Find the training movies whose posters are most similar to a poster.

Similarity is the cosine of the angle between the features of two posters, the input of the last
layer of the network: 1 for the same poster. The search is exact. Subtracting the mean of the
training features first makes no difference: see "Similar posters" in docs/metrics.md.

DATA_DIR/features/ has a folder for each network, named by the first 16 digits of the SHA-256 of
model.keras, with the features of all posters of the store in float16.
"""

import hashlib
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import NamedTuple

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.feature_files import CHUNK, FeatureFiles
from postergenres.dataset.samples import read_titles
from postergenres.dataset.store import open_store, read_checksums
from postergenres.download.manifest import poster_path
from postergenres.old_files import check_room, file_sha256, lock_file

import numpy as np

BATCH = 64  # posters
FEW = 16  # posters with which the time for all of them is estimated
LARGEST = np.finfo(np.float16).max
SPARE = 1_000_000  # bytes of the disk that are left free
SKIP = "SIMILAR = 0 in predict.py skips this"


class Neighbor(NamedTuple):
    """A training movie with a poster that is similar to another one.

    Attributes:
        id: of the movie.
        title: empty if samples.csv is missing.
        genres: list of names.
        similarity: cosine, at most 1.
        path: of its poster; None if the file is missing.
    """

    id: str
    title: str
    genres: list
    similarity: float
    path: Path


class SimilarMovies:
    """The training movies of a store, to search by the features of their posters.

    Args:
        chunks: list of (path of a feature file, row numbers of its posters), see
            `FeatureFiles.split`.
        store: `dataset.store.Store`.
        titles: {id: title}.
        data_dir: a Path, the data folder.
    """

    def __init__(self, chunks, store, titles, data_dir):
        self.chunks, self.titles, self.data_dir = chunks, titles, data_dir
        self.ids, self.labels, self.genres = store.index["id"].array, store.labels, store.genres
        self.split = store.index["split"].array
        self.is_train = np.asarray(self.split == "train")

    def find(self, features, count=5):
        """Return the most similar training movies of each poster, the nearest first.

        A training movie of the store finds itself, too, with a similarity of 1.

        Args:
            features: (M, F), see `models.exported.Outputs`.
            count: movies per poster; fewer are returned if there are fewer training movies.

        Returns:
            A list of M lists of Neighbor.
        """
        rows, similarities = search(features, self.read_train_features(), count)
        return [
            [self.describe(row, cosine) for row, cosine in zip(*nearest, strict=True) if row >= 0]
            for nearest in zip(rows.tolist(), similarities.tolist(), strict=True)
        ]

    def read_train_features(self):
        """Yield (row numbers, features) of the training movies of each feature file."""
        for path, rows in self.chunks:
            is_train = self.is_train[rows]
            yield rows[is_train], np.load(path, mmap_mode="r")[is_train]

    def describe(self, row, similarity):
        """Return the Neighbor for a row of the store."""
        movie = self.ids[row]
        genres = [
            genre for genre, has_it in zip(self.genres, self.labels[row], strict=True) if has_it
        ]
        path = poster_path(self.data_dir, movie)
        path = path if path.is_file() else None
        return Neighbor(movie, self.titles.get(movie, ""), genres, min(similarity, 1.0), path)


# --- search ---------------------------------------------------------------------------------------


def search(queries, blocks, count):
    """Return the rows with the highest cosine similarity; exact, a block at a time.

    Args:
        queries: (M, F).
        blocks: iterable of (row numbers (B,), features (B, F)).
        count: rows per query.

    Returns:
        Row numbers, int64 (M, count), the most similar first and of equal ones the first, and
        similarities, float32 (M, count). -1 and -inf stand where the blocks have too few rows.
    """
    queries = scale_to_unit(queries)
    best_rows = np.full((len(queries), count), -1)
    best = np.full((len(queries), count), -np.inf, np.float32)
    for rows, features in blocks:
        similarities = queries @ scale_to_unit(features).T
        is_better = (similarities > best[:, -1:]).any(axis=0)  # few columns, except of first blocks
        found_rows = np.broadcast_to(rows[is_better], (len(queries), is_better.sum()))
        best_rows = np.hstack([best_rows, found_rows])
        best = np.hstack([best, similarities[:, is_better]])
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best_rows = np.take_along_axis(best_rows, order, axis=1)
        best = np.take_along_axis(best, order, axis=1)
    return best_rows, best


def scale_to_unit(features):
    """Return features, (N, F), as float32 scaled to length 1; a row of zeros stays as it is."""
    features = features.astype(np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


# --- features of the store ------------------------------------------------------------------------


def open_similar(data_dir, model, about, folder, skip=SKIP):
    """Open the training movies of a store for the search; compute missing features first.

    The features of a new model or store take minutes for 15,000 posters; a line says so.

    Args:
        data_dir: the data folder.
        model, about: what `exported.open_exported` returned.
        folder: of the model.
        skip: how a user can do without, for the line.

    Returns:
        `SimilarMovies`; None without a line if the data folder has no store, or with a note if the
        store or a poster cannot be used.

    Raises:
        OSError: the disk has no room.
    """
    data_dir = Path(data_dir)
    if not (data_dir / "store" / "store.json").is_file():
        return None
    try:
        store = open_store(data_dir)
        chunks = prepare_features(data_dir, store, model, about, Path(folder), skip)
    except SystemExit as reason:
        print(f"note: no similar movies are shown: {reason}")
        return None
    return SimilarMovies(chunks, store, read_titles(data_dir), data_dir)


def prepare_features(data_dir, store, model, about, folder, skip):
    """Return the feature files of a store; compute those that are missing or damaged.

    Args:
        data_dir: a Path, the data folder.
        store: `dataset.store.Store`.
        model, about, folder, skip: see `open_similar`.

    Returns:
        A list of (path, row numbers of the store).

    Raises:
        SystemExit: another run computes them, or a poster cannot be used.
    """
    place = data_dir / "features" / file_sha256(folder / "model.keras")[:16]
    columns = model.describe_outputs()["features"][1]
    files = FeatureFiles(place, columns, np.float16, CHUNK)
    checksums = read_checksums(data_dir / "store")[store.index["id"]].to_list()
    chunks = files.split(np.arange(len(checksums)), checksums)
    missing = [rows for _, rows in files.list_missing(chunks)]
    if missing:
        missing = np.concatenate(missing)
        check_room(place, 2 * columns * len(missing) + SPARE)
        read_pixels = choose_reader(data_dir, store, checksums, (about["H"], about["W"]))
        place.mkdir(parents=True, exist_ok=True)
        refusal = f"Another run is writing to {place}. Wait until it ends, then run this again"
        with lock_file(place / "making.lock", refusal):
            announce(model, read_pixels, missing, skip)
            deque(files.fill(chunks, partial(compute_features, model, read_pixels)), maxlen=0)
    return chunks


def choose_reader(data_dir, store, checksums, size):
    """Return a function from row numbers to pixels of a size, uint8 (rows, H, W, 3).

    It reads the store, or decodes the posters if the network needs another size than the store's.
    """
    if store.images.shape[1:3] == size:
        return lambda rows: store.images[rows]
    ids = store.index["id"].array
    return lambda rows: np.stack(
        [decode_unchanged(poster_path(data_dir, ids[row]), checksums[row], size) for row in rows]
    )


def decode_unchanged(path, checksum, size):
    """Return the pixels of a poster; exit if it is missing or not the one in the store."""
    pixels, error = None, "has changed"
    try:
        body = path.read_bytes()
    except OSError as reason:
        error = reason.strerror
    else:
        if hashlib.sha256(body).hexdigest() == checksum:
            pixels, error = try_decode(body, *size)
    if error:
        sys.exit(f"{path}: {error}. Run: python database.py and python preprocessing.py")
    return pixels


def announce(model, read_pixels, rows, skip):
    """Print what is computed, and how long that takes, estimated with the first posters."""
    few = rows[:FEW]
    model.predict(read_pixels(few))  # starts the threads
    begin = time.perf_counter()
    model.predict(read_pixels(few))
    seconds = (time.perf_counter() - begin) / len(few) * len(rows)
    print(
        f"computing the features of {len(rows):,} posters in the store, once for this model, to "
        f"find similar movies: about {describe_seconds(seconds)}. {skip}",
        flush=True,
    )


def describe_seconds(seconds):
    """Return a time as `10 s` or `2 min`, rounded up."""
    return f"{-(-seconds // 10) * 10:.0f} s" if seconds <= 90 else f"{-(-seconds // 60):.0f} min"


def compute_features(model, read_pixels, rows, bar):
    """Return the features of some posters, float16 (rows, F), and update the progress bar."""
    features = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        features.append(model.predict(read_pixels(batch)).features)
        bar.update(len(batch))
    return np.clip(np.concatenate(features), -LARGEST, LARGEST).astype(np.float16)
