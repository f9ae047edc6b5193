"""Find posters that are the same, byte for byte or nearly.

Two movies with the same poster in different splits would let the network be tested on what it has
memorized. Near duplicates are found by the perceptual hash of the package imagehash: one bit for
each of the 16 x 16 lowest frequencies of the gray poster, set if it is above their median. The hash
hardly changes if a poster is scaled, compressed, made paler or cropped by a few percent. The colors
of near duplicates must be similar, too.
"""

import hashlib
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from postergenres.dataset.decoding import decode_poster
from postergenres.download.manifest import poster_path
from postergenres.parallel.dask import run_on_cluster
from postergenres.parallel.pool import run_in_processes
from postergenres.progress import show_progress
from postergenres.terminal import escape_controls

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_SIZE = 16  # frequencies each way; the usual 8 confuses posters of the same layout
BITS = HASH_SIZE**2
SIDE = 4 * HASH_SIZE  # pixels; imagehash needs no more
THUMBNAIL = (8, 8)  # pixels, to compare the colors of posters with similar hashes
COLOR = 32  # largest mean difference of thumbnails, of 255; 1 in 150 random pairs is below
FEWEST_GRAY_LEVELS = 8  # a poster of fewer has no frequencies, so only its color is compared
FLAT_COLOR = 2  # largest mean difference of the thumbnails of flat posters, of 255
POSTERS_PER_TASK = 32  # that a process hashes at a time
TILE = 512  # posters that are compared with as many others at a time; fits the CPU cache
MOST_MISSING = 0.02  # of the posters; with more, a folder was probably moved or deleted
FEWEST_FOR_PROCESSES = 1000  # posters; for fewer, starting processes takes longer than it saves


class PosterHash(NamedTuple):
    """The features of a poster that are compared with those of others.

    Attributes:
        digest: SHA-256 of the bytes; None if there is no file.
        bits: the perceptual hash, uint8 (BITS / 8,), all 0 for a flat poster; None if the file is
            not an image.
        thumbnail: uint8 (pixels x 3,); None if `bits` is None.
        is_flat: whether the poster is hardly more than one color.
    """

    digest: bytes | None = None
    bits: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    is_flat: bool = False


def find_duplicates(movies, train_only, data_dir, near_duplicate, cluster):
    """Group the movies whose posters are the same or nearly, and print a summary.

    The groups of the movies without the train-only ones do not depend on the train-only posters.

    Args:
        movies: DataFrame of id and title, without the train-only movies.
        train_only: DataFrame of id and title of the train-only movies; often empty.
        data_dir: the folder with posters/.
        near_duplicate: the most bits in which the perceptual hashes of near duplicates differ.
        cluster: None, or the address of a Dask scheduler.

    Returns:
        (groups, all_groups): int arrays (movies,) and (movies + train-only movies,), see
        `group_duplicates`.

    Raises:
        SystemExit: more than MOST_MISSING of the posters cannot be read.
    """
    folder = Path(data_dir).absolute()
    paths = [poster_path(folder, movie) for movie in (*movies["id"], *train_only["id"])]
    hashes = hash_posters(paths, cluster=cluster)
    missing = sum(poster.digest is None for poster in hashes)
    if missing > MOST_MISSING * len(hashes):
        sys.exit(
            f"{missing:,} of {len(hashes):,} posters are missing in {Path(data_dir) / 'posters'}. "
            "To download them again, run: python database.py"
        )
    groups = all_groups = group_duplicates(hashes[: len(movies)], near_duplicate)
    if len(train_only):
        all_groups = group_duplicates(hashes, near_duplicate)
    alike = list_groups(movies["title"], groups)
    print(
        f"{sum(map(len, alike)):,} posters are the same as another or nearly so"
        + (f", in {len(alike):,} groups; each group stays in one split" if alike else "")
    )
    for titles in alike[:5]:
        shown = " = ".join(map(escape_controls, titles[:4]))
        print(f"  {shown}{' = ...' if len(titles) > 4 else ''}")
    if missing:
        print(f"{missing:,} posters are missing. To download them again, run: python database.py")
    return groups, all_groups


def list_groups(names, groups):
    """Return the names in each group of at least two movies, as lists.

    Args:
        names: Series of ids or titles.
        groups: (movies,) group number of each movie.
    """
    return [list(group) for _, group in names.groupby(groups) if len(group) > 1]


def hash_posters(paths, workers=None, cluster=None):
    """Hash image files: a few in this process, many in worker processes, or all on a cluster.

    Args:
        paths: of images in one folder; for a cluster absolute.
        workers: the number of processes; None: one per core.
        cluster: None, or the address of a Dask scheduler.

    Returns:
        A list of `PosterHash`, one for each path.
    """
    chunks = [
        (paths[start : start + POSTERS_PER_TASK],)
        for start in range(0, len(paths), POSTERS_PER_TASK)
    ]
    if cluster is not None:
        results = run_on_cluster(hash_chunk, chunks, cluster, paths[0].parent)
    elif len(paths) < FEWEST_FOR_PROCESSES:
        results = (hash_chunk(*chunk) for chunk in chunks)
    else:
        results = run_in_processes(hash_chunk, chunks, workers)
    hashes = []
    with show_progress(len(paths), "poster") as progress, closing(results):
        for result in results:
            hashes += result
            progress.update(len(result))
    return hashes


def hash_chunk(paths):
    """Return the `PosterHash` of each path; runs in a worker."""
    return [hash_poster(path) for path in paths]


def hash_poster(path):
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
    low, high = image.convert("L").getextrema()
    if high - low < FEWEST_GRAY_LEVELS:
        return PosterHash(digest, np.zeros(BITS // 8, dtype=np.uint8), thumbnail, True)
    return PosterHash(digest, np.packbits(imagehash.phash(image, HASH_SIZE).hash), thumbnail)


def group_duplicates(hashes, max_distance):
    """Number the posters so that posters that are the same, or nearly, have the same number.

    Args:
        hashes: a list of `PosterHash`.
        max_distance: the most bits in which the perceptual hashes of near duplicates differ.

    Returns:
        int array, one number per poster, from 0. If a poster resembles two others that do not
        resemble each other, all three are in one group.
    """
    first = {}  # the first poster with these bytes
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


def find_near_pairs(bits, thumbnails, max_distance, max_color, tile=TILE):
    """Find the pairs of rows whose hashes differ in few bits and whose colors differ by little.

    All hashes are compared with each other, a tile at a time. Rows are sorted by the mean of their
    thumbnails: if two means differ by more than `max_color`, so do the thumbnails. This skips about
    two thirds of the tiles.

    Args:
        bits: uint8 (N, BITS / 8).
        thumbnails: uint8 (N, pixels x 3).
        max_distance: the most bits that differ.
        max_color: the largest mean difference of thumbnails.
        tile: rows that are compared with as many others at a time.

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


def keep_similar_colors(pairs, thumbnails, max_color):
    """Return the pairs whose thumbnails differ by little, the lower row first.

    Args:
        pairs: int (pairs, 2), row numbers.
        thumbnails: uint8 (N, pixels x 3).
        max_color: the largest mean difference of thumbnails.
    """
    one, other = pairs.T
    differences = np.subtract(thumbnails[one], thumbnails[other], dtype=np.int16)
    return np.sort(pairs[abs(differences).mean(axis=1) <= max_color], axis=1)


def count_differences(words, others):
    """Count the bits in which packed hashes differ.

    Args:
        words, others: uint64 (words, N) and (words, M).

    Returns:
        uint16 (N, M).
    """
    differences = np.zeros((words.shape[1], others.shape[1]), dtype=np.uint16)
    for word, other in zip(words, others, strict=True):
        differences += np.bitwise_count(word[:, None] ^ other)
    return differences
