"""Keep the words that were read on posters in DATA_DIR/words/, so that each is read once.

A folder for each version of the reader has a JSON file for each chunk of posters, with the words on
each poster by the SHA-256 of its file, and with a checksum. Reading takes half an hour for 15,000
posters on two cores; a stopped run resumes.
"""

import hashlib
import sys
from pathlib import Path

from postergenres.dataset.store import read_checksums
from postergenres.download.manifest import poster_path
from postergenres.old_files import has_checksum, lock_file, read_json
from postergenres.parallel import open_executor, run_tasks
from postergenres.progress import show_progress
from postergenres.words.reading import describe_reader, require_reader, write_chunk

CHUNK = 16  # posters per file; so many does a process lose if it is stopped
NAME = "?" * 16 + ".json"


def read_stored_posters(data_dir, store, rows=None, workers=None):
    """Return the words on posters of a store; read those that are not in the cache.

    Args:
        data_dir: the data folder, with store/ and posters/.
        store: `dataset.store.Store`.
        rows: row numbers of M posters; None for all.
        workers: number of processes; None for one per core.

    Returns:
        A list of M lists of (text, confidence): see `reading.read_words`.

    Raises:
        SystemExit: a poster is missing or has changed, or another run reads posters.
    """
    ids = store.index["id"] if rows is None else store.index["id"].iloc[rows]
    checksums = read_checksums(Path(data_dir) / "store")[ids]
    paths = [poster_path(data_dir, movie) for movie in ids]
    return read_files(list(zip(checksums, paths, strict=True)), Path(data_dir) / "words", workers)


def read_files(posters, folder, workers=None):
    """Return the words on posters, in a list; read those that are not in the cache.

    Args:
        posters: list of (SHA-256, path of a poster).
        folder: of the cache.
        workers: number of processes; None for one per core.
    """
    require_reader()
    folder = Path(folder) / hashlib.sha256(describe_reader().encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    refusal = f"Another run is reading words into {folder}. Wait until it ends, then run this again"
    with lock_file(folder / "reading.lock", refusal):
        found = open_chunks(folder)
        missing = {checksum: path for checksum, path in posters if checksum not in found}
        if missing:
            print(f"reading the words on {len(missing):,} posters", flush=True)
            read_missing(list(missing.items()), folder, workers)
            found = open_chunks(folder)
    return [found[checksum] for checksum, _ in posters]


def open_chunks(folder):
    """Return {SHA-256: words} of all files in a folder; delete damaged files and leftovers."""
    for leftover in folder.glob("*.part.json"):
        leftover.unlink()
    found = {}
    for path in sorted(folder.glob(NAME)):
        try:
            content = read_json(path)
            is_whole = has_checksum(content)
        except (ValueError, TypeError):
            is_whole = False
        if is_whole:
            found |= content["words"]
        else:
            print(f"note: {path} is damaged: its posters are read again")
            path.unlink()
    return found


def read_missing(posters, folder, workers):
    """Read posters in processes, each of which writes a file for each of its chunks."""
    chunks = [posters[start : start + CHUNK] for start in range(0, len(posters), CHUNK)]
    tasks = ((chunk, folder) for chunk in chunks)
    with open_executor(workers) as executor, show_progress(len(posters), "poster") as bar:
        results = run_tasks(executor, write_chunk, tasks)
        for chunk, error in zip(chunks, results, strict=True):
            if error:
                sys.exit(f"{error}. Run: python database.py and python preprocessing.py")
            bar.update(len(chunk))
