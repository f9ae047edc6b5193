"""Find posters that are the same, byte for byte or nearly.

Two movies with the same poster in different splits would let the network be tested on what it has
memorized. Near duplicates are found by the perceptual hash of the package imagehash: one bit for
each of the 16 x 16 lowest frequencies of the gray poster, set if it is above their median. The hash
hardly changes if a poster is scaled, compressed, made paler or cropped by a few percent. The colors
of near duplicates must be similar, too.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from postergenres.dataset.decoding import DECODER, check_worker, decode_poster
from postergenres.download.manifest import PLACEHOLDER, poster_path
from postergenres.parallel import open_executor, run_tasks
from postergenres.progress import show_progress

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    import pandas as pd  # not in the processes, which start faster without it

HASH_SIZE = 16  # frequencies each way; the usual 8 confuses posters of the same layout
BITS = HASH_SIZE**2
NEAR_DUPLICATE = 68  # differing bits of near duplicates, unless sampling.py sets others
SIDE = 4 * HASH_SIZE  # pixels; imagehash needs no more
THUMBNAIL = (8, 8)  # pixels, to compare the colors of posters with similar hashes
COLOR = 32  # largest mean difference of thumbnails, of 255; 1 in 150 random pairs is below
FEWEST_GRAY_LEVELS = 8  # a poster of fewer has no frequencies, so only its color is compared
FLAT_COLOR = 2  # largest mean difference of the thumbnails of flat posters, of 255
POSTERS_PER_TASK = 32  # that a process hashes at a time
TILE = 512  # posters that are compared with as many others at a time; fits the CPU cache
FEWEST_FOR_PROCESSES = 1000  # posters; for fewer, starting processes takes longer than it saves


class PosterHash(NamedTuple):
    """The features of a poster that are compared with those of others."""

    digest: bytes | None = None  # SHA-256 of the bytes; None if there is no file
    bits: np.ndarray | None = None  # the perceptual hash, uint8 (BITS / 8,); None for no image
    thumbnail: np.ndarray | None = None  # uint8 (pixels x 3,); None for no image
    is_flat: bool = False  # hardly more than one color; then all bits are 0


def hash_posters(
    ids: Iterable[str], data_dir: Path, cluster: str | None = None
) -> list[PosterHash]:
    """Hash posters: a few in a thread, many in processes, or all on a Dask cluster."""
    paths = [poster_path(data_dir.absolute(), movie) for movie in ids]
    starts = range(0, len(paths), POSTERS_PER_TASK)
    tasks = ((paths[start : start + POSTERS_PER_TASK], DECODER) for start in starts)
    are_few = cluster is None and len(paths) < FEWEST_FOR_PROCESSES
    hashes = []
    with (
        ThreadPoolExecutor(1) if are_few else open_executor(cluster=cluster) as executor,
        show_progress(len(paths), "poster") as progress,
    ):
        for chunk in run_tasks(executor, hash_chunk, tasks):
            hashes += chunk
            progress.update(len(chunk))
    return hashes


def hash_chunk(paths: Sequence[Path], decoder: str) -> list[PosterHash]:
    """Return the `PosterHash` of each path; runs in a worker."""
    check_worker(decoder, paths[0].parent.parent)
    return [hash_poster(path) for path in paths]


def hash_poster(path: Path) -> PosterHash:
    """Return the `PosterHash` of an image file."""
    try:
        body = path.read_bytes()
    except OSError:
        return PosterHash()
    digest = hashlib.sha256(body).digest()
    try:
        image = Image.fromarray(decode_poster(body, SIDE, SIDE))
    except ValueError:
        return PosterHash(digest)
    thumbnail = np.asarray(image.resize(THUMBNAIL, Image.Resampling.BOX)).ravel()
    bits = hash_image(image)
    return PosterHash(digest, bits, thumbnail, is_flat=not bits.any())


def hash_image(image: Image.Image) -> np.ndarray:
    """Return the perceptual hash of SIDE x SIDE pixels, uint8 (BITS / 8,); 0 for a flat image."""
    if np.ptp(np.asarray(image.convert("L"))) < FEWEST_GRAY_LEVELS:
        return np.zeros(BITS // 8, dtype=np.uint8)
    return np.packbits(imagehash.phash(image, HASH_SIZE).hash)


def leave_out_placeholders(movies: "pd.DataFrame") -> "pd.DataFrame":
    """Return the movies without those whose poster has the same bytes as PLACEHOLDER others.

    Train-only movies do not count for the other movies, which they must not change. Columns are
    `poster` (a `PosterHash`) and `train_only` (bool).
    """
    digests = [poster.digest for poster in movies.poster]
    is_split = (~movies.train_only).to_numpy()
    counts = Counter(digests)
    own_counts = Counter(digest for digest, own in zip(digests, is_split, strict=True) if own)
    is_placeholder = [
        digest is not None and (own_counts if own else counts)[digest] >= PLACEHOLDER
        for digest, own in zip(digests, is_split, strict=True)
    ]
    return movies.loc[~np.array(is_placeholder, dtype=bool)]


def list_groups(names: Iterable[str], groups: Iterable[int]) -> list[list[str]]:
    """Return the names in each group of at least two movies."""
    found: dict[int, list[str]] = {}
    for name, group in zip(names, groups, strict=True):
        found.setdefault(group, []).append(name)
    return [found[group] for group in sorted(found) if len(found[group]) > 1]


def group_duplicates(hashes: Sequence[PosterHash], max_distance: int) -> np.ndarray:
    """Return the group number of each poster, from 0: int (posters,).

    Posters that are the same, or whose perceptual hashes differ in at most `max_distance` bits, are
    in one group. If a poster resembles two others that do not resemble each other, all three are.
    """
    first: dict[bytes | int, int] = {}  # the first poster with these bytes
    same = [first.setdefault(poster.digest or row, row) for row, poster in enumerate(hashes)]
    links = [np.column_stack([np.arange(len(same)), same])]
    images = [row for row in first.values() if hashes[row].bits is not None]
    for is_flat, max_color in ((False, COLOR), (True, FLAT_COLOR)):
        rows = np.array([row for row in images if hashes[row].is_flat == is_flat], dtype=int)
        if len(rows):
            bits = np.array([hashes[row].bits for row in rows])
            thumbnails = np.array([hashes[row].thumbnail for row in rows])
            links.append(rows[find_near_pairs(bits, thumbnails, max_distance, max_color)])
    a, b = np.concatenate(links).T
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def find_near_pairs(
    bits: np.ndarray, thumbnails: np.ndarray, max_distance: int, max_color: int, *, tile: int = TILE
) -> np.ndarray:
    """Return the pairs of rows whose hashes differ in few bits and whose colors differ by little.

    All hashes, uint8 (N, BITS / 8), are compared with each other, a tile at a time. Rows are sorted
    by the mean of their thumbnails, uint8 (N, pixels x 3): if two means differ by more than
    `max_color`, so do the thumbnails. This skips about two thirds of the tiles.

    Returns:
        int array (pairs, 2), the lower row first, sorted.
    """
    sums = thumbnails.sum(axis=1, dtype=int)
    order = np.argsort(sums, kind="stable")
    words = bits[order].view(np.uint64).T.copy()
    ends = np.searchsorted(sums[order], sums[order] + max_color * thumbnails.shape[1], "right")
    pairs = [np.empty((0, 2), dtype=int)]
    for top in range(0, len(order), tile):
        bottom = min(top + tile, len(order))
        for left in range(top, ends[bottom - 1], tile):
            distances = count_differences(words[:, top:bottom], words[:, left : left + tile])
            near = np.argwhere(distances <= max_distance) + (top, left)
            near = order[near[near[:, 0] < near[:, 1]]]
            for start in range(0, len(near), tile):
                pairs.append(keep_similar_colors(near[start : start + tile], thumbnails, max_color))
    return np.unique(np.concatenate(pairs), axis=0)


def keep_similar_colors(pairs: np.ndarray, thumbnails: np.ndarray, max_color: int) -> np.ndarray:
    """Return the pairs whose thumbnails differ by at most `max_color` on average."""
    one, other = pairs.T
    differences = np.subtract(thumbnails[one], thumbnails[other], dtype=np.int16)
    return np.sort(pairs[abs(differences).mean(axis=1) <= max_color], axis=1)


def count_differences(words: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Count the bits in which hashes, uint64 (words, N) and (words, M), differ: uint16 (N, M)."""
    differences = np.zeros((words.shape[1], others.shape[1]), dtype=np.uint16)
    for word, other in zip(words, others, strict=True):
        differences += np.bitwise_count(word[:, None] ^ other)
    return differences
