"""Keep the words that were read on posters in DATA_DIR/words/, so that each is read once.

A folder for each version of the reader has a JSON file for each chunk of posters: the words on each
poster, by the SHA-256 of its file. Posters of a store are read in processes, posters that a user
names in threads; both are found again by the other. A stopped run resumes.
"""

import hashlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import read_file
from postergenres.dataset.store import Store
from postergenres.download.manifest import poster_path
from postergenres.files import describe_file, read_checksums, read_json, record_checksums
from postergenres.parallel import open_executor, run_tasks
from postergenres.progress import show_progress
from postergenres.words.reading import (
    Words,
    describe_reader,
    read_chunk,
    read_words,
    require_reader,
    write_chunk,
)

import numpy as np

CHUNK = 16  # posters per file; so many does a process lose if it is killed


class WordsCache:
    """The words on posters that a user names. Threads may share it.

    Use it as a context manager: its end writes what is not written yet.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.found: dict[str, Words] | None = None  # opened with the first poster
        self.unwritten: dict[str, Words] = {}
        self.lock = threading.Lock()

    def read_words(self, source: bytes | str | Path) -> Words:
        """Return the words on a poster, from its file or bytes; read those that are new."""
        body = source if isinstance(source, bytes) else read_file(source)
        checksum = hashlib.sha256(body).hexdigest()
        with self.lock:
            if self.found is None:
                self.found = open_chunks(find_folder(self.data_dir))
            words = self.found.get(checksum)
        if words is None:
            words = read_words(body)
            with self.lock:
                self.found[checksum] = self.unwritten[checksum] = words
                if len(self.unwritten) >= CHUNK:
                    self.write()
        return words

    def write(self) -> None:
        folder = find_folder(self.data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        record_checksums(folder, [write_chunk(self.unwritten, folder)])
        self.unwritten = {}

    def __enter__(self) -> "WordsCache":
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            if self.unwritten:
                self.write()


def read_stored_posters(
    data_dir: Path,
    store: Store,
    rows: Sequence[int] | np.ndarray | None = None,
    workers: int | None = None,
) -> list[Words]:
    """Return the words on the posters of a store, or of some of its rows, in their order.

    Those that are not in the cache are read in processes, None for one per core. Exit with a line
    if a poster is missing or has changed, or if the reader is not installed.
    """
    require_reader()
    rows = range(len(store.index)) if rows is None else rows
    ids = store.index["id"]
    posters = [(store.poster_sha256[row], poster_path(data_dir, ids.iloc[row])) for row in rows]
    folder = find_folder(data_dir)
    found = open_chunks(folder)
    missing = [poster for poster in dict(posters).items() if poster[0] not in found]
    if missing:
        print(f"reading the words on {len(missing):,} posters", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        read_missing(missing, folder, workers)
        found = open_chunks(folder)
    return [found[checksum] for checksum, _ in posters]


def find_folder(data_dir: Path) -> Path:
    """Return the folder of this version of the reader; it need not exist."""
    return data_dir / "words" / hashlib.sha256(describe_reader().encode()).hexdigest()[:16]


def open_chunks(folder: Path) -> dict[str, Any]:
    """Return {SHA-256 of a poster: its words} of all files in a folder; delete damaged ones."""
    found = {}
    for name, checksum in read_checksums(folder).items():
        path = folder / name
        if path.is_file() and describe_file(path) == checksum:
            found |= read_json(path)
        elif path.is_file():
            print(f"note: {path} is damaged: its posters are read again")
            path.unlink()
    return found


def read_missing(posters: list[tuple[str, Path]], folder: Path, workers: int | None) -> None:
    """Read posters, (SHA-256, path), in processes, which write a file for each chunk."""
    starts = range(0, len(posters), CHUNK)
    tasks = [(dict(posters[start : start + CHUNK]), folder) for start in starts]
    with open_executor(workers) as executor, show_progress(len(posters), "poster") as bar:
        for name, error in run_tasks(executor, read_chunk, tasks):
            if error:
                sys.exit(f"{error}. Run: python database.py and python preprocessing.py")
            record_checksums(folder, [name])
            bar.update(min(CHUNK, len(posters) - bar.n))
