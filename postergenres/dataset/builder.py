"""Build the store: decode the posters of samples.csv, resumable after a kill."""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path

from postergenres.dataset.decoding import DECODER, decode_rows, fill_rows, write_rows
from postergenres.dataset.genres import encode_genres
from postergenres.dataset.samples import read_train_counts
from postergenres.dataset.store import (
    UNUSABLE,
    check_files,
    open_store,
    read_checksums,
    read_index,
    write_store,
)
from postergenres.download.manifest import poster_path
from postergenres.old_files import (
    check_room,
    discard_leftovers,
    file_sha256,
    has_checksum,
    read_json,
)
from postergenres.parallel.dask import run_on_cluster
from postergenres.parallel.pool import run_in_processes
from postergenres.progress import show_progress

import numpy as np
import xxhash
from numpy.lib.format import open_memmap

FILES = "images.npy labels.npy index.csv checksums.csv errors.csv store.json".split()
CHUNK = 32  # posters that a process decodes at a time
FLUSH_INTERVAL = 1  # seconds between two writes to the journal; each write waits for the disk


def describe_source(samples, settings):
    """Return what a store is made from, as store.json records it.

    Args:
        samples: DataFrame, see `samples.read_samples`.
        settings: data_dir, image_height and image_width.
    """
    data_dir = Path(settings["data_dir"])
    return {
        "genres": sorted({genre for cell in samples["genres"] for genre in cell.split("|")}),
        "train": read_train_counts(data_dir),
        "H": int(settings["image_height"]),
        "W": int(settings["image_width"]),
        "samples_sha256": file_sha256(data_dir / "samples.csv"),
        "decoder": DECODER,
    }


class StoreBuilder:
    """Build DATA_DIR/store/ from the posters of samples.csv.

    Args:
        samples: DataFrame, see `samples.read_samples`.
        data_dir: the data folder.
        source: see `describe_source`.
    """

    def __init__(self, samples, data_dir, source):
        self.samples, self.data_dir, self.source = samples, Path(data_dir), source
        self.store = self.data_dir / "store"

    def is_current(self):
        """Return whether the store is complete and made from this source and these posters."""
        if not (self.store / "store.json").is_file():
            return False
        try:
            about = read_json(self.store / "store.json")
            check_files(self.store, about)
        except UNUSABLE:
            print(
                f"The files in {self.store} do not belong together, or an older version wrote "
                "them. They are made again"
            )
            return False
        if any(about.get(name) != value for name, value in self.source.items()):
            return False
        try:
            open_store(self.data_dir)
        except SystemExit:
            return False
        checksums = read_checksums(self.store)
        ids = list(self.samples["id"])
        return list(checksums.index) == ids and not find_changed(ids, checksums, self.data_dir)

    def decode_posters(self, workers, cluster):
        """Decode the posters into store/unfinished.npy, a row for each of the samples, in order.

        Args:
            workers: number of processes; None for one per core.
            cluster: address of a Dask scheduler; None to decode on this machine.

        Returns:
            The SHA-256 of each poster (empty if it is missing), and the reason for each row
            without pixels (empty for the others): two lists.
        """
        self.store.mkdir(exist_ok=True)
        data_dir = self.data_dir.absolute()  # the workers of a cluster run in another folder
        journal = Journal(data_dir / "store", self.samples["id"], self.source)
        is_resumed = journal.resume(data_dir)
        journal.check_room()
        if not is_resumed:
            self.discard_unfinished()
            journal.start()
        tasks = self.list_tasks(data_dir, set(journal.chunks))
        decoded = 0
        with (
            show_progress(len(self.samples), "poster") as progress,
            journal.appending(),
            closing(decode_tasks(journal.array, tasks, workers, cluster, data_dir)) as results,
        ):
            progress.update(journal.count_posters())
            for first, checksums, errors, count in results:
                journal.append(first, checksums, errors)
                decoded += count
                progress.update(len(checksums))
        print(f"{len(self.samples):,} posters, {decoded:,} of them decoded in this run")
        return journal.list_results()

    def list_tasks(self, data_dir, done):
        """Yield the arguments of `decode_rows` for each chunk but those whose first row is done."""
        size = self.source["H"], self.source["W"]
        reusable = find_reusable_rows(data_dir / "store", self.source)
        ids = self.samples["id"].tolist()
        for first in range(0, len(ids), CHUNK):
            if first not in done:
                chunk = ids[first : first + CHUNK]
                yield first, chunk, [reusable.get(movie) for movie in chunk], data_dir, size

    def finish(self, checksums, errors):
        """Make a store of the decoded rows; leave out the posters without pixels.

        Args:
            checksums, errors: what `decode_posters` returned.

        Raises:
            SystemExit: a split would have no posters.
        """
        samples = self.samples.assign(sha256=checksums, error=errors)
        failed = samples.loc[samples["error"] != "", ["id", "error"]]
        if set(samples["split"].drop(failed.index)) != {"train", "val", "test"}:
            sys.exit(
                f"Too few posters to fill train, val and test: {len(failed):,} of "
                f"{len(samples):,} movies have no poster that can be decoded. To download more, "
                "run: python database.py"
            )
        labels = encode_genres(samples["genres"], self.source["genres"])
        write_store(self.store, self.store / "unfinished.npy", samples, labels, self.source)
        self.discard_unfinished()
        print_store_summary(self.store, len(samples) - len(failed), failed)

    def discard_unfinished(self):
        """Delete what killed runs may have left.

        The journal goes first: without it, nothing relies on the rows of the array.
        """
        for name in ("unfinished.jsonl", "unfinished.npy"):
            (self.store / name).unlink(missing_ok=True)
        discard_leftovers(self.store / name for name in FILES)


class Journal:
    """Record which rows of unfinished.npy are complete, so that a killed run can be resumed.

    unfinished.jsonl has a JSON object per line: first the key, on which the pixels depend, then
    for each complete chunk its first row, the SHA-256 of its posters, their errors, and the XXH3
    of its rows of the array.

    Args:
        store: the folder.
        ids: Series of the ids of the movies of all rows.
        source: see `describe_source`.

    Attributes:
        array: path of unfinished.npy, uint8 (ids, H, W, 3).
        chunks: {first row of a complete chunk: (checksums, errors)}.
    """

    def __init__(self, store, ids, source):
        self.path, self.array = store / "unfinished.jsonl", store / "unfinished.npy"
        self.ids, self.shape = ids.tolist(), (len(ids), source["H"], source["W"], 3)
        self.key = {name: source[name] for name in ("H", "W", "decoder")}
        self.key["ids_sha256"] = hashlib.sha256("\n".join(self.ids).encode()).hexdigest()
        self.chunks = {}

    def resume(self, data_dir):
        """Read the chunks that a killed run has completed; return whether there are any.

        A chunk is dropped if one of its posters has changed since.
        """
        self.recover_array()
        self.chunks = self.read()
        rows, checksums = [], []
        for first, (chunk, _) in self.chunks.items():
            rows += range(first, first + len(chunk))
            checksums += chunk
        for position in find_changed([self.ids[row] for row in rows], checksums, data_dir):
            self.chunks.pop(rows[position] - rows[position] % CHUNK, None)
        return bool(self.chunks)

    def recover_array(self):
        """Rename images.npy back to unfinished.npy, after a kill in the last steps of a build.

        `write_store` renames the array before it writes store.json.
        """
        is_moved = self.path.is_file() and not self.array.is_file()
        if is_moved and not self.path.with_name("store.json").is_file():
            with suppress(FileNotFoundError):
                os.replace(self.path.with_name("images.npy"), self.array)

    def read(self):
        """Return the chunks in the file; none if it has another key or the array is damaged."""
        chunks, damaged = {}, 0
        with suppress(OSError, ValueError), open(self.path, encoding="utf-8") as lines:
            if json.loads(next(lines, "null")) != self.key:
                return {}
            if not self.has_array():
                print(f"{self.array} is damaged. Its posters are decoded again")
                return {}
            for line in lines:
                with suppress(ValueError):  # the line that was being written at the kill
                    chunk = json.loads(line)
                    if self.is_chunk(chunk):
                        chunks[chunk["first"]] = chunk["checksums"], chunk["errors"]
                    else:
                        damaged += 1
        if damaged:
            print(f"{self.path} has {damaged:,} damaged lines. Their posters are decoded again")
        return chunks

    def has_array(self):
        """Return whether the array can be read and has the right shape."""
        try:
            array = np.load(self.array, mmap_mode="r")
        except UNUSABLE:
            return False
        return array.shape == self.shape and array.dtype == np.uint8

    def is_chunk(self, chunk):
        """Return whether the content of a line describes the chunk that begins at its first row."""
        if not isinstance(chunk, dict) or type(first := chunk.get("first")) is not int:
            return False
        rows = len(range(len(self.ids))[first : first + CHUNK]) if first >= 0 else 0
        columns = chunk.get("checksums"), chunk.get("errors")
        are_texts = all(
            isinstance(column, list) and all(isinstance(cell, str) for cell in column)
            for column in columns
        )
        if not (are_texts and first % CHUNK == 0 < rows == len(columns[0]) == len(columns[1])):
            return False
        # Older versions wrote no XXH3.
        return "xxh3" not in chunk or chunk["xxh3"] == self.hash_rows(first, rows)

    def check_room(self):
        """Check that the disk has room for the array.

        Raises:
            OSError: it has not; nothing was deleted or written.
        """
        used = 0
        with suppress(OSError):
            status = self.array.stat()  # Windows does not tell the blocks of a sparse file
            used = getattr(status, "st_blocks", status.st_size // 512) * 512
        check_room(self.path.parent, int(np.prod(self.shape, dtype=object)) - used)

    def start(self):
        """Create the array, then the file with the key."""
        open_memmap(self.array, "w+", np.uint8, self.shape).flush()
        self.path.write_text(json.dumps(self.key) + "\n", encoding="utf-8")

    @contextmanager
    def appending(self):
        """Open the file for `append`; write the last chunks if the block ends without an error."""
        with (
            open(self.path, "a", encoding="utf-8") as self.lines,
            open(self.array, "r+b") as self.images,
        ):
            self.lines.write("\n")  # a killed run may have left half a line
            self.waiting, self.flushed_at = [], time.monotonic()
            yield
            self.flush()

    def append(self, first, checksums, errors):
        """Record a chunk whose rows are in the array; `flush` at most once a second."""
        self.chunks[first] = checksums, errors
        xxh3 = self.hash_rows(first, len(checksums))
        line = {"first": first, "checksums": checksums, "errors": errors, "xxh3": xxh3}
        self.waiting.append(line)
        if time.monotonic() - self.flushed_at > FLUSH_INTERVAL:
            self.flush()

    def hash_rows(self, first, count):
        """Return the XXH3 of rows of the array, as 16 hexadecimal digits."""
        rows = np.load(self.array, mmap_mode="r")[first : first + count]
        return xxhash.xxh3_64_hexdigest(rows)

    def flush(self):
        """Write the waiting chunks, after the disk has their rows: the power may fail, too."""
        os.fsync(self.images.fileno())
        self.lines.write("".join(json.dumps(chunk) + "\n" for chunk in self.waiting))
        self.lines.flush()
        self.waiting, self.flushed_at = [], time.monotonic()

    def count_posters(self):
        """Return the number of rows of the complete chunks."""
        return sum(len(checksums) for checksums, _ in self.chunks.values())

    def list_results(self):
        """Return the checksums and the errors of all rows: two lists."""
        chunks = [self.chunks[first] for first in sorted(self.chunks)]
        return [list(chain.from_iterable(column)) for column in zip(*chunks, strict=True)]


def decode_tasks(array, tasks, workers, cluster, data_dir):
    """Yield the result of `fill_rows` for each task, after the array has the task's pixels.

    Processes of this machine write to the array themselves. The workers of a cluster send the
    pixels, because what another machine writes to a shared folder may reach the disk later.
    """
    if cluster is None:
        yield from run_in_processes(fill_rows, ((array, *task) for task in tasks), workers)
        return
    with closing(run_on_cluster(decode_rows, tasks, cluster, data_dir / "posters")) as results:
        for first, pixels, *outcome in results:
            write_rows(array, first, pixels)
            yield first, *outcome


def find_reusable_rows(store, source):
    """Return where an existing store has pixels of the same size: {id: (array, row, SHA-256)}.

    A store of an older version has no checksums: its rows are trusted, if there are as many as ids.
    """
    try:
        about = read_json(store / "store.json")
        if any(about.get(name) != source[name] for name in ("H", "W", "decoder")):
            return {}
        if has_checksum(about) is not None:
            check_files(store, about, ("images.npy", "index.csv", "checksums.csv"), verify="all")
        images, checksums = store / "images.npy", dict(read_checksums(store))
        index, array = read_index(store), np.load(images, mmap_mode="r")
        if array.shape != (len(index), source["H"], source["W"], 3) or array.dtype != np.uint8:
            return {}
        return {movie: (images, row, checksums[movie]) for row, movie in enumerate(index["id"])}
    except UNUSABLE:
        return {}


def find_changed(ids, checksums, data_dir):
    """Return the positions of the posters that have another SHA-256, or cannot be read any more.

    Args:
        ids: list of the movies' ids.
        checksums: the earlier SHA-256 of each poster; empty if it could not be read.
        data_dir: the data folder.
    """

    def has_changed(movie, checksum):
        try:
            return file_sha256(poster_path(data_dir, movie)) != checksum
        except OSError:
            return checksum != ""

    checksums, changed = list(checksums), []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(ids), 1000):  # map() would start all at once
            part = slice(start, start + 1000)
            changed += pool.map(has_changed, ids[part], checksums[part])
    return np.flatnonzero(changed).tolist()


def print_store_summary(store, count, failed):
    """Print the size of the store, and the first posters that are left out.

    Args:
        store: the folder.
        count: posters in the store.
        failed: DataFrame of id and error.
    """
    size = (store / "images.npy").stat().st_size / 1e6
    shape = np.load(store / "images.npy", mmap_mode="r").shape
    print(f"{count:,} posters in the store, {len(failed):,} left out")
    for movie, error in failed.head(5).itertuples(index=False):
        print(f"  {movie}: {error}")
    print(f"wrote {store / 'images.npy'} {shape} uint8, {size:,.0f} MB\nnext: python train.py")
