"""Posters that are the same, byte for byte or nearly so.

Two films that share a poster would let a network be tested on what it learnt by heart. Near
duplicates are found by the perceptual hash of the package imagehash: whether each of the 16 x 16
lowest frequencies of the grey poster is above their median. It hardly changes when a poster is
scaled, compressed, made paler or cropped by a few per cent. Their colours must be similar too.
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

HASH_SIZE = 16  # frequencies each way; 8, the usual, takes posters of one layout for one poster
BITS = HASH_SIZE**2
SIDE = 4 * HASH_SIZE  # pixels; imagehash needs no more
THUMBNAIL = (8, 8)  # pixels, to compare the colours of posters whose hashes are near
COLOUR = 32  # mean difference of their thumbnails, of 255; of random pairs 1 in 150 has as little
FLAT = 8  # grey levels; a poster that spans fewer has no frequencies to compare, only its colour,
FLAT_COLOUR = 2  # of which the thumbnails may differ by this
CHUNK = 32  # posters that a process hashes at a time
TILE = 512  # posters whose hashes are compared with as many others at a time, in the cache
FEW = 1000  # posters, for fewer of which processes are not worth their start


class Hash(NamedTuple):
    """What is compared of a poster.

    Attributes:
        digest: SHA-256 of the bytes, None where there is no file.
        bits: the perceptual hash, uint8 of shape (BITS / 8,), all 0 for a flat poster; None where
            the file is no image.
        thumbnail: uint8 of shape (pixels x 3,); None where `bits` is.
        is_flat: whether the poster is hardly more than one colour.
    """

    digest: bytes | None = None
    bits: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    is_flat: bool = False


def hash_posters(paths, workers=None, cluster=None):
    """Hash image files, many of them in processes, or all on a cluster.

    Args:
        paths: of images in one folder; for a cluster absolute.
        workers: processes; None takes one per core.
        cluster: None, or the address of a Dask scheduler.

    Returns:
        A list of Hash, one for each path.
    """
    chunks = [(paths[start : start + CHUNK],) for start in range(0, len(paths), CHUNK)]
    if cluster is not None:
        results = run_on_cluster(hash_chunk, chunks, cluster, paths[0].parent)
    elif len(paths) < FEW:
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
    return [hash_poster(path) for path in paths]


def hash_poster(path):
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
    if high - low < FLAT:
        return Hash(digest, np.zeros(BITS // 8, dtype=np.uint8), thumbnail, True)
    return Hash(digest, np.packbits(imagehash.phash(image, HASH_SIZE).hash), thumbnail)


def group_duplicates(hashes, max_distance):
    """Number the posters so that those which are the same, or nearly, have the same number.

    Args:
        hashes: what `hash_posters` returned.
        max_distance: of BITS, the most in which the perceptual hashes of near duplicates differ.

    Returns:
        int array, one number per poster, from 0. A poster that resembles two others, which do not
        resemble each other, puts all three in one group.
    """
    first = {}  # the first poster with these bytes
    same = [first.setdefault(hash.digest or row, row) for row, hash in enumerate(hashes)]
    links = [np.column_stack([np.arange(len(same)), same])]
    images = [row for row in first.values() if hashes[row].bits is not None]
    for is_flat, colour in ((False, COLOUR), (True, FLAT_COLOUR)):
        rows = np.array([row for row in images if hashes[row].is_flat == is_flat], dtype=int)
        if len(rows):
            bits = np.array([hashes[row].bits for row in rows])
            thumbnails = np.array([hashes[row].thumbnail for row in rows])
            links.append(rows[find_near(bits, thumbnails, max_distance, colour)])
    a, b = np.concatenate(links).T
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def find_near(bits, thumbnails, max_distance, max_colour, tile=TILE):
    """Pairs of rows whose hashes differ in few bits and whose thumbnails differ by little.

    Hashes are compared each with each, as the set bits of the exclusive or of their words, a tile
    at a time. Rows are sorted by the mean of their thumbnails: where these differ by more than
    `max_colour`, so do the thumbnails, and the tile is left out, about two thirds of them.

    Args:
        bits: uint8 (N, BITS / 8).
        thumbnails: uint8 (N, pixels x 3).
        max_distance: of BITS.
        max_colour: the mean difference of thumbnails.
        tile: rows that are compared with as many others at a time.

    Returns:
        int array (pairs, 2), the lower row first, sorted.
    """
    sums = thumbnails.sum(axis=1, dtype=int)
    order = np.argsort(sums, kind="stable")
    words = bits[order].view(np.uint64).T.copy()
    ends = np.searchsorted(sums[order], sums[order] + max_colour * thumbnails.shape[1], "right")
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
                alike = abs(differences).mean(axis=1) <= max_colour
                pairs.append(np.sort(np.column_stack([one, other])[alike], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def count_differences(words, others):
    """Bits in which packed hashes differ: uint64 (words, N) and (words, M) to uint16 (N, M)."""
    differences = np.zeros((words.shape[1], others.shape[1]), dtype=np.uint16)
    for word, other in zip(words, others, strict=True):
        differences += np.bitwise_count(word[:, None] ^ other)
    return differences


def find_duplicates(movies, data_dir, near_duplicate, cluster):
    """Number the movies so that those whose posters are the same, or nearly, share a number."""
    from postergenres.dataset.duplicates import group_duplicates, hash_posters

    folder = Path(data_dir).absolute()
    paths = [poster_path(folder, movie) for movie in movies["id"]]
    hashes = hash_posters(paths, cluster=cluster)
    groups = group_duplicates(hashes, near_duplicate)
    alike = list_groups(movies["title"], groups)
    print(
        f"{sum(map(len, alike)):,} posters are the same as another or nearly so"
        + (f", in {len(alike):,} groups; each group stays in one split" if alike else "")
    )
    for titles in alike[:5]:
        print(f"  {' = '.join(titles[:4])}{' = ...' if len(titles) > 4 else ''}")
    if unread := sum(hash.digest is None for hash in hashes):
        print(f"{unread:,} posters are not where database.py left them")
    return groups


def list_groups(names, groups):
    """The names in each group of two and more, as lists."""
    return [list(group) for _, group in names.groupby(groups) if len(group) > 1]
