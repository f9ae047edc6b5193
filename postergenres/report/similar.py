"""Find the training movies whose posters are most similar to a poster.

Similarity is the cosine of the angle between the features of two posters, the input of the last
layer of the network: 1 for the same poster. The search is exact. Subtracting the mean of the
training features first makes no difference: see "Similar posters" in docs/metrics.md.

DATA_DIR/features/ has a folder for each network, named by the checksum of model.keras, with the
features of all posters of the store in float16.
"""

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.feature_files import CHUNK, FeatureFiles
from postergenres.dataset.samples import read_titles
from postergenres.dataset.store import Store, open_store
from postergenres.download.manifest import poster_path
from postergenres.files import read_checksums
from postergenres.models.exported import ExportedModel
from postergenres.poster_model import PosterModel
from postergenres.step import add_data_dir

import numpy as np
from tqdm import tqdm

BATCH = 64  # posters
LARGEST = np.finfo(np.float16).max
# What the search needs of the store; the pixels are only read if features are missing.
STORE_FILES = ("store.json", "labels.npy", "index.csv", "checksums.csv")
SKIP = "SIMILAR = 0 in predict.py skips this"

ReadPixels = Callable[[np.ndarray], np.ndarray]  # from rows of the store to uint8 (rows, H, W, 3)


@dataclass(frozen=True)
class Neighbor:
    """A training movie with a poster that is similar to another one."""

    id: str
    title: str  # empty if samples.csv is missing
    genres: list[str]
    similarity: float  # cosine, at most 1
    path: Path | None  # of its poster; None if the file is missing


@dataclass(frozen=True)
class SimilarMovies:
    """The training movies of a store, to search by the features of their posters."""

    chunks: list[tuple[Path, np.ndarray]]  # feature files, and the rows of the store in them
    store: Store
    titles: dict[str, str]  # by id
    data_dir: Path

    def find(self, features: np.ndarray, count: int = 5) -> list[list[Neighbor]]:
        """Return up to `count` training movies for each row of features, (M, F), the nearest first.

        A training movie of the store finds itself, too, with a similarity of 1.
        """
        rows, similarities = search(features, self.read_train_features(), count)
        return [
            [self.describe(row, cosine) for row, cosine in zip(*nearest, strict=True) if row >= 0]
            for nearest in zip(rows.tolist(), similarities.tolist(), strict=True)
        ]

    def read_train_features(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (row numbers, features) of the training movies of each feature file."""
        splits = self.store.index["split"].to_numpy()
        for path, rows in self.chunks:
            is_train = splits[rows] == "train"
            yield rows[is_train], np.load(path, mmap_mode="r")[is_train]

    def describe(self, row: int, similarity: float) -> Neighbor:
        """Return the Neighbor for a row of the store."""
        movie = self.store.index["id"].iloc[row]
        path = poster_path(self.data_dir, movie)
        return Neighbor(
            id=movie,
            title=self.titles.get(movie, ""),
            genres=[self.store.genres[i] for i in np.flatnonzero(self.store.labels[row])],
            similarity=min(similarity, 1.0),
            path=path if path.is_file() else None,
        )


# --- search ---------------------------------------------------------------------------------------


def search(
    queries: np.ndarray, blocks: Iterable[tuple[np.ndarray, np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the highest cosine similarity to queries, (M, F): exact, block by block.

    Args:
        blocks: (row numbers (B,), features (B, F)).

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


def scale_to_unit(features: np.ndarray) -> np.ndarray:
    """Return features, (N, F), as float32 scaled to length 1; a row of zeros stays as it is."""
    features = features.astype(np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


# --- features of the store ------------------------------------------------------------------------


def open_similar(
    data_dir: Path, model: PosterModel, skip: str = SKIP, chunk: int = CHUNK
) -> SimilarMovies | None:
    """Open the training movies of a store for the search; compute missing features first.

    `skip` tells a user how to do without; `chunk` is the number of posters per feature file. Return
    None if the data folder has no store, or with a note if the store or a poster cannot be used.
    """
    if not (data_dir / "store" / "store.json").is_file():
        return None
    try:
        try:
            store = open_store(data_dir, STORE_FILES)
        except (OSError, ValueError):  # images.npy is missing or cut short
            store = open_store(data_dir)  # says so
        name = read_checksums(model.folder)["model.keras"]["xxh3"]
        columns = model.network.describe_outputs()["features"][1]
        files = FeatureFiles(data_dir / "features" / name, columns, np.float16, chunk)
        chunks = files.split(np.arange(len(store.labels)), store.poster_sha256)
        missing = sum(len(rows) for _, rows in files.list_missing(chunks))
        if missing:
            print(
                f"computing the features of {missing:,} posters in the store, once for this model, "
                f"to find similar movies. {skip}",
                flush=True,
            )
            store = open_store(data_dir)  # the pixels are checked, too
            read_pixels = choose_reader(data_dir, store, model.size)
            deque(
                files.fill(chunks, partial(compute_features, model.network, read_pixels)), maxlen=0
            )
    except SystemExit as reason:
        print(add_data_dir(f"note: no similar movies are shown: {reason}", data_dir))
        return None
    return SimilarMovies(chunks, store, read_titles(data_dir), data_dir)


def choose_reader(data_dir: Path, store: Store, size: tuple[int, int]) -> ReadPixels:
    """Return a function that reads the store, or decodes posters if their size is another one."""
    if store.images.shape[1:3] == size:
        return lambda rows: store.images[rows]
    paths = [poster_path(data_dir, movie) for movie in store.index["id"]]
    return lambda rows: np.stack(
        [decode_unchanged(paths[row], store.poster_sha256[row], size) for row in rows]
    )


def decode_unchanged(path: Path, checksum: str, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a poster; exit if it is missing or not the one in the store."""
    pixels, error = None, "has changed"
    try:
        body = path.read_bytes()
        if hashlib.sha256(body).hexdigest() == checksum:
            pixels, error = try_decode(body, *size)
    except OSError as reason:
        error = reason.strerror
    if pixels is None:
        sys.exit(f"{path}: {error}. Run: python database.py and python preprocessing.py")
    return pixels


def compute_features(
    network: ExportedModel, read_pixels: ReadPixels, rows: np.ndarray, bar: tqdm
) -> np.ndarray:
    """Return the features of some posters, float16 (rows, F), and update the progress bar."""
    features = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        features.append(network.predict(read_pixels(batch)).features)
        bar.update(len(batch))
    return np.clip(np.concatenate(features), -LARGEST, LARGEST).astype(np.float16)
