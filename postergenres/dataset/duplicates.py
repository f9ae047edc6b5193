"""Find posters that are the same, byte for byte or nearly.

If two movies in different splits shared a poster, a model could memorize it in training and be
tested on it. Near duplicates have similar perceptual hashes, by the package imagehash: each of the
256 bits says whether one of the 16 x 16 lowest frequencies of the gray poster is above their
median. Scaling, compressing, brightening or cropping a poster by a few percent changes few bits.
Near duplicates must have similar colors, too.
"""

import hashlib
import io
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from postergenres.dataset.decoding import decode_poster
from postergenres.download.manifest import poster_path
from postergenres.parallel.dask import run_on_cluster
from postergenres.parallel.pool import run_in_processes
from postergenres.progress import show_progress

HASH_SIZE = 16  # frequencies per axis; with the usual 8, posters with one layout look the same
BITS = HASH_SIZE**2
SIDE = 4 * HASH_SIZE  # pixels; imagehash needs no more
THUMBNAIL = (8, 8)  # pixels, for comparing the colors of posters with similar hashes
MAX_COLOR_DIFFERENCE = 32  # mean over thumbnails, of 255; 1 in 150 random pairs differs by less
FLAT_RANGE = 8  # gray levels; posters with a smaller range have no frequencies worth comparing
MAX_FLAT_COLOR_DIFFERENCE = 2  # mean over thumbnails, for flat posters, which only have a color
POSTERS_PER_TASK = 32  # that a process hashes at a time
TILE = 512  # hashes that are compared with as many others at a time, which fits the CPU's cache
MIN_FOR_POOL = 1000  # posters; hashing fewer takes less time than starting processes


class Hash(NamedTuple):
    """The features of a poster that are compared.

    Attributes:
        digest: SHA-256 of the bytes, None if the file cannot be read.
        bits: the perceptual hash, uint8 (BITS / 8,), all 0 for a flat poster; None if the file
            cannot be decoded.
        thumbnail: uint8 (pixels x 3,); None if `bits` is None.
        is_flat: whether the poster has hardly more than one color.
    """

    digest: bytes | None = None
    bits: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    is_flat: bool = False


def find_duplicates(movies, data_dir, near_duplicate, cluster):
    """Group the movies whose posters are the same or nearly so, and print how many there are.

    Args:
        movies: DataFrame of id and title.
        data_dir: the data folder.
        near_duplicate: the most bits in which the hashes of near duplicates differ.
        cluster: None, or the address of a Dask scheduler.

    Returns:
        int array (movies,), the number of each movie's group.
    """
    folder = Path(data_dir).absolute()
    paths = [poster_path(folder, movie) for movie in movies["id"]]
    hashes = hash_posters(paths, cluster=cluster)
    groups = group_duplicates(hashes, near_duplicate)
    print_duplicates(list_groups(movies["title"], groups))
    if unread := sum(hash.digest is None for hash in hashes):
        print(f"{unread:,} posters that database.py saved cannot be read")
    return groups


def list_groups(names, groups):
    """Return the names in each group of at least two, as lists."""
    return [list(group) for _, group in names.groupby(groups) if len(group) > 1]


def print_duplicates(duplicates, shown=5, shown_titles=4):
    """Print how many posters are duplicates, and the titles of the first groups."""
    total = sum(map(len, duplicates))
    where = f", in {len(duplicates):,} groups; each group stays in one split" if total else ""
    print(f"{total:,} posters are the same as another or nearly so{where}")
    for titles in duplicates[:shown]:
        more = " = ..." if len(titles) > shown_titles else ""
        print(f"  {' = '.join(titles[:shown_titles])}{more}")


def hash_posters(paths, workers=None, cluster=None):
    """Hash posters: on a cluster, in a pool of processes, or, if they are few, in this process.

    Args:
        paths: files in one folder; absolute paths for a cluster.
        workers: number of processes; None for one per core.
        cluster: None, or the address of a Dask scheduler.

    Returns:
        A list of `Hash`, one for each path.
    """
    tasks = [(paths[i : i + POSTERS_PER_TASK],) for i in range(0, len(paths), POSTERS_PER_TASK)]
    if cluster is not None:
        results = run_on_cluster(hash_chunk, tasks, cluster, paths[0].parent)
    elif len(paths) < MIN_FOR_POOL:
        results = (hash_chunk(*task) for task in tasks)
    else:
        results = run_in_processes(hash_chunk, tasks, workers)
    hashes = []
    with show_progress(len(paths), "poster") as progress, closing(results):
        for result in results:
            hashes += result
            progress.update(len(result))
    return hashes


def hash_chunk(paths):
    """Return the `Hash` of each file, a list."""
    return [hash_poster(path) for path in paths]


def hash_poster(path):
    """Return the `Hash` of a file; parts of it are None if the file cannot be read or decoded."""
    try:
        body = path.read_bytes()
    except OSError:
        return Hash()
    digest = hashlib.sha256(body).digest()
    try:
        image = Image.fromarray(decode_poster(io.BytesIO(body), SIDE, SIDE))
    except ValueError:
        return Hash(digest)
    thumbnail = np.asarray(image.resize(THUMBNAIL, Image.Resampling.BOX)).ravel()
    low, high = image.convert("L").getextrema()
    if high - low < FLAT_RANGE:
        return Hash(digest, np.zeros(BITS // 8, dtype=np.uint8), thumbnail, True)
    return Hash(digest, np.packbits(imagehash.phash(image, HASH_SIZE).hash), thumbnail)


def group_duplicates(hashes, max_distance):
    """Group the posters that are the same or nearly the same.

    Args:
        hashes: list of `Hash`.
        max_distance: the most bits, of BITS, in which the hashes of near duplicates differ.

    Returns:
        int array (posters,), the number of each poster's group, from 0. Groups are chains: if one
        poster is similar to two others, all three are in one group.
    """
    first = {}  # the first poster with these bytes
    same = [first.setdefault(hash.digest or row, row) for row, hash in enumerate(hashes)]
    links = [np.column_stack([np.arange(len(same)), same])]
    images = [row for row in first.values() if hashes[row].bits is not None]
    for is_flat, max_color in ((False, MAX_COLOR_DIFFERENCE), (True, MAX_FLAT_COLOR_DIFFERENCE)):
        rows = np.array([row for row in images if hashes[row].is_flat == is_flat], dtype=int)
        if len(rows):
            bits = np.array([hashes[row].bits for row in rows])
            thumbnails = np.array([hashes[row].thumbnail for row in rows])
            links.append(rows[find_near_pairs(bits, thumbnails, max_distance, max_color)])
    a, b = np.concatenate(links).T
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def find_near_pairs(bits, thumbnails, max_distance, max_color, tile=TILE):
    """Return the pairs of posters with similar hashes and similar thumbnails.

    All hashes are compared with each other, a tile at a time, by counting the bits of the exclusive
    or of their words. The posters are sorted by the mean of their thumbnails: if the means differ
    by more than `max_color`, the thumbnails do, too. This skips about two thirds of the tiles.

    Args:
        bits: uint8 (posters, BITS / 8).
        thumbnails: uint8 (posters, pixels x 3).
        max_distance: the most bits in which hashes differ.
        max_color: the largest mean difference of thumbnails.
        tile: hashes that are compared with as many others at a time.

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
            a, b = order[near[near[:, 0] < near[:, 1]]].T
            for part in range(0, len(a), tile):
                one, other = a[part : part + tile], b[part : part + tile]
                differences = np.subtract(thumbnails[one], thumbnails[other], dtype=np.int16)
                alike = abs(differences).mean(axis=1) <= max_color
                pairs.append(np.sort(np.column_stack([one, other])[alike], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def count_differences(words, others):
    """Return in how many bits hashes differ: uint64 (words, N) and (words, M) to uint16 (N, M)."""
    differences = np.zeros((words.shape[1], others.shape[1]), dtype=np.uint16)
    for word, other in zip(words, others, strict=True):
        differences += np.bitwise_count(word[:, None] ^ other)
    return differences
