"""Build the store of posters."""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from postergenres.dataset.decoding import decode_rows, fill_rows, write_rows
from postergenres.dataset.store import open_store, read_checksums, read_index, write_store
from postergenres.download.manifest import poster_path
from postergenres.files import file_sha256, read_json
from postergenres.parallel.dask import run_on_cluster
from postergenres.parallel.pool import run_in_processes
from postergenres.progress import show_progress

CHUNK = 32  # posters that a process decodes at a time


def write_images(ids, data_dir, made_from, workers, cluster):
    """Decode the posters into store/unfinished.npy, in order, each in its row.

    A journal beside it says which chunks of rows are done, so that a killed run can be continued.

    Returns:
        The SHA-256 of each poster (empty where it is missing), and why it has no pixels (else
        empty), two lists.
    """
    data_dir, size = Path(data_dir).absolute(), (made_from["H"], made_from["W"])
    store = data_dir / "store"
    array, journal = store / "unfinished.npy", store / "unfinished.jsonl"
    key = {name: made_from[name] for name in ("H", "W", "decoder")}
    key["ids_sha256"] = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    if journal.is_file() and not array.is_file() and not (store / "store.json").is_file():
        with suppress(FileNotFoundError):  # killed between the last two renames of finish()
            os.replace(store / "images.npy", array)
    done = read_done(array, journal, key, ids, data_dir)
    if not done:
        discard_unfinished(store)
        open_memmap(array, "w+", np.uint8, (len(ids), *size, 3)).flush()
        journal.write_text(json.dumps(key) + "\n", encoding="utf-8")
    known = read_known(store, made_from)

    def list_tasks():
        for first in range(0, len(ids), CHUNK):
            if first not in done:
                chunk = ids.iloc[first : first + CHUNK].tolist()
                yield first, chunk, [known.get(movie) for movie in chunk], data_dir, size

    decoded = 0
    with (
        show_progress(len(ids), "poster") as progress,
        open(journal, "a", encoding="utf-8") as lines,
        open(array, "r+b") as images,
        closing(fill_all(array, list_tasks(), workers, cluster, data_dir)) as results,
    ):
        progress.update(sum(len(checksums) for checksums, _ in done.values()))
        lines.write("\n")  # a killed run may have left half a line
        waiting, since = [], time.monotonic()
        for first, checksums, errors, count in results:
            done[first] = checksums, errors
            waiting.append({"first": first, "checksums": checksums, "errors": errors})
            decoded += count
            progress.update(len(checksums))
            if time.monotonic() - since > 1:
                enter(waiting, lines, images)
                waiting, since = [], time.monotonic()
        enter(waiting, lines, images)
    print(f"{len(ids):,} posters, {decoded:,} of them decoded in this run")
    chunks = [done[first] for first in sorted(done)]
    return [list(chain.from_iterable(column)) for column in zip(*chunks, strict=True)]


def fill_all(array, tasks, workers, cluster, data_dir):
    """Yield what decode_rows() tells of each task but the pixels, once these are in the array.

    A process here writes them itself. What a machine of a cluster writes to a shared folder may
    still be in that machine's memory when it says so: its workers send them, they are written here.
    """
    if cluster is None:
        yield from run_in_processes(fill_rows, ((array, *task) for task in tasks), workers)
        return
    with closing(run_on_cluster(decode_rows, tasks, cluster, data_dir / "posters")) as results:
        for first, pixels, *told in results:
            write_rows(array, first, pixels)
            yield first, *told


def enter(chunks, lines, images):
    """Enter chunks in the journal, once the disk has their rows: the power may fail, too."""
    os.fsync(images.fileno())
    lines.write("".join(json.dumps(chunk) + "\n" for chunk in chunks))
    lines.flush()


def read_done(array, journal, key, ids, data_dir):
    """What a killed run has done: {first row of a chunk: (checksums, errors)}.

    Empty where it made something else, or nothing. A chunk of which a poster has changed since is
    left out.
    """
    done = {}
    with suppress(OSError, ValueError), open(journal, encoding="utf-8") as lines:
        shape = (len(ids), key["H"], key["W"], 3)
        if json.loads(next(lines, "null")) != key or np.load(array, mmap_mode="r").shape != shape:
            return {}
        for line in lines:
            with suppress(ValueError):  # the line that was being written when the run was killed
                chunk = json.loads(line)
                done[chunk["first"]] = chunk["checksums"], chunk["errors"]
    rows = [first + i for first, (checksums, _) in done.items() for i in range(len(checksums))]
    checksums = [checksum for chunk, _ in done.values() for checksum in chunk]
    changed = find_changed(ids.iloc[rows], checksums, data_dir)
    for row in np.array(rows)[changed]:
        done.pop(row - row % CHUNK, None)
    return done


def read_known(store, made_from):
    """Where a finished store has pixels of the same size: {id: (array, row, SHA-256)}."""
    try:
        about = read_json(store / "store.json")
        if any(about.get(name) != made_from[name] for name in ("H", "W", "decoder")):
            return {}
        images, checksums = store / "images.npy", dict(read_checksums(store))
        index = read_index(store)
        if len(np.load(images, mmap_mode="r")) != len(index):
            return {}
        return {movie: (images, row, checksums[movie]) for row, movie in enumerate(index["id"])}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}


def find_changed(ids, checksums, data_dir):
    """Whether each poster has another SHA-256 than it had, or cannot be read now: bool array."""

    def has_changed(movie, checksum):
        try:
            return file_sha256(poster_path(data_dir, movie)) != checksum
        except OSError:
            return checksum != ""

    ids, checksums, changed = list(ids), list(checksums), []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(ids), 1000):  # map() would start all at once
            part = slice(start, start + 1000)
            changed += pool.map(has_changed, ids[part], checksums[part])
    return np.array(changed, dtype=bool)


def discard_unfinished(store):
    """Delete what killed runs may have left; first the journal, which vouches for the array."""
    for name in ("unfinished.jsonl", "unfinished.npy", "images.part.npy"):
        (store / name).unlink(missing_ok=True)


def finish(samples, store, made_from):
    """Make a store of what write_images() left, without the posters that have no pixels."""
    from postergenres.dataset.genres import encode_genres

    errors = samples.loc[samples["error"] != "", ["id", "error"]]
    if set(samples["split"].drop(errors.index)) != {"train", "val", "test"}:
        sys.exit(
            f"Too few posters to fill train, val and test: of {len(samples):,} movies "
            f"{len(errors):,} have none that decodes. With more, run: python database.py"
        )
    labels = encode_genres(samples["genres"], made_from["genres"])
    write_store(store, store / "unfinished.npy", samples, labels, made_from)
    discard_unfinished(store)
    report(store, len(samples) - len(errors), errors)


def is_current(data_dir, ids, made_from):
    """Whether the store is whole, and was made from just this and from these posters."""
    store = Path(data_dir) / "store"
    try:
        about = read_json(store / "store.json")
        if any(about.get(key) != value for key, value in made_from.items()):
            return False
        checksums = read_checksums(store)
        open_store(data_dir)
    except (SystemExit, OSError, ValueError, KeyError, AttributeError):
        return False
    return list(checksums.index) == list(ids) and not find_changed(ids, checksums, data_dir).any()


def report(store, count, errors):
    size = (store / "images.npy").stat().st_size / 1e6
    shape = np.load(store / "images.npy", mmap_mode="r").shape
    print(f"{count:,} posters in the store, {len(errors):,} left out")
    for movie, error in errors.head(5).itertuples(index=False):
        print(f"  {movie}: {error}")
    print(f"wrote {store / 'images.npy'} {shape} uint8, {size:,.0f} MB\nnext: python train.py")
