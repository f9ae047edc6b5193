"""Keep the words that were read on posters in DATA_DIR/words/, so that each is read once.

A folder for each version of the reader has a JSON file for each chunk of posters: the words on each
poster, by the SHA-256 of its file. Reading takes half an hour for 15,000 posters on two cores; a
stopped run resumes.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from postergenres.dataset.store import Store
from postergenres.download.manifest import poster_path
from postergenres.files import describe_file, read_checksums, read_json, record_checksums
from postergenres.parallel import open_executor, run_tasks
from postergenres.progress import show_progress
from postergenres.words.reading import Words, describe_reader, require_reader, write_chunk

import numpy as np

CHUNK = 16  # posters per file; so many does a process lose if it is stopped


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
    version = hashlib.sha256(describe_reader().encode()).hexdigest()[:16]
    folder = data_dir / "words" / version
    found = open_chunks(folder)
    missing = [poster for poster in dict(posters).items() if poster[0] not in found]
    if missing:
        print(f"reading the words on {len(missing):,} posters", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        read_missing(missing, folder, workers)
        found = open_chunks(folder)
    return [found[checksum] for checksum, _ in posters]


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
        for name, error in run_tasks(executor, write_chunk, tasks):
            if error:
                sys.exit(f"{error}. Run: python database.py and python preprocessing.py")
            record_checksums(folder, [name])
            bar.update(min(CHUNK, len(posters) - bar.n))
