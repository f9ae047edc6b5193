"""Read and write posters.csv, and the journal that lets a stopped run resume."""

from __future__ import annotations

import csv
import json
import os
import sys
import threading
from array import array
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from postergenres.download.metadata import is_url
from postergenres.files import naming, replacing

import numpy as np
import xxhash

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["id", "title", "genres", "url", "status", "error"]
TRAIN_ONLY = "train_only"  # a further column if there is a TRAIN_ONLY_CSV
PLACEHOLDER = 10  # movies with the same bytes, such as "no image available": no poster of theirs


@dataclass(slots=True)
class Poster:
    """A row of posters.csv.

    url: a URL or the path of a file.
    status: `ok`, `gone`, `failed`, or "" before the download.
    train_only: "yes" for a movie that is only trained on, else "".
    fingerprint: of the file, see `describe_body`; not in posters.csv.
    """

    id: str
    title: str
    genres: str
    url: str
    status: str = ""
    error: str = ""
    train_only: str = ""
    fingerprint: int = 0


def poster_path(data_dir: str | Path, movie: str) -> Path:
    """Return the path of the poster of the movie with the id `movie`."""
    return Path(data_dir) / "posters" / f"{movie}.jpg"


# --- posters.csv ----------------------------------------------------------------------------------


@dataclass
class Summary:
    """What a run downloaded.

    counts: {status: movies}.
    reasons: {first part of the error: movies}.
    shared: the number of movies whose poster is a placeholder, see `find_placeholders`.
    """

    counts: Counter[str] = field(default_factory=lambda: Counter(ok=0, gone=0, failed=0))
    reasons: Counter[str] = field(default_factory=Counter)
    shared: int = 0


def write_manifest(posters: Iterable[Poster], data_dir: Path, has_train_only: bool) -> Summary:
    """Write posters.csv while the posters arrive; it replaces the old one when all have.

    Args:
        posters: in the order of the CSV; a million of them need not fit in memory.
        data_dir: the data folder.
        has_train_only: whether there is a column train_only.
    """
    columns, summary = COLUMNS + [TRAIN_ONLY] * has_train_only, Summary()
    fingerprints = array("Q")
    with (
        replacing(data_dir / "posters.csv") as part,
        open(part, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for poster in posters:
            writer.writerow([getattr(poster, column) for column in columns])
            summary.counts[poster.status] += 1
            if poster.error:
                summary.reasons[poster.error.split(": ")[0]] += 1
            if poster.status == "ok":
                fingerprints.append(poster.fingerprint)
    summary.shared = int(find_placeholders(np.array(fingerprints)).sum())
    return summary


def find_placeholders(checksums: np.ndarray) -> np.ndarray:
    """Return which posters are placeholders: `PLACEHOLDER` movies or more have the same bytes.

    Args:
        checksums: (posters,), one of the bytes of each poster.

    Returns:
        bool (posters,).
    """
    _, places, counts = np.unique(checksums, return_inverse=True, return_counts=True)
    return counts[places] >= PLACEHOLDER


def read_manifest(data_dir: str | Path) -> pd.DataFrame:
    """Read posters.csv.

    Returns:
        Strings: id, title, genres, url, status (ok, gone, failed), error, train_only ("yes" for a
        movie that is only trained on, else "").

    Raises:
        SystemExit: posters.csv is missing or unusable; the line names the command that writes it.
    """
    import pandas as pd  # not in the processes of a pool, which start faster without it

    path = require_manifest(data_dir)
    again = "To write it again, run: python database.py"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except UnicodeError:
        sys.exit(f"{path} cannot be used: it is not UTF-8. {again}")
    except ValueError as error:  # EmptyDataError and ParserError
        reason = " ".join(str(error).split())
        sys.exit(f"{path} cannot be used: it is not a CSV ({reason}). {again}")
    if fault := find_table_fault(table):
        sys.exit(f"{path} cannot be used: {fault}. {again}")
    return table if TRAIN_ONLY in table else table.assign(**{TRAIN_ONLY: ""})


def require_manifest(data_dir: str | Path) -> Path:
    """Return the path of posters.csv; exit with the command that writes it if it is missing."""
    path = Path(data_dir) / "posters.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python database.py")
    return path


def find_table_fault(table: pd.DataFrame) -> str:
    """Return what is wrong with the columns of posters.csv or with their values, or ""."""
    for sign, name in ((";", ";"), ("\t", "tabs")):  # as spreadsheets save it
        if len(table.columns) == 1 and sign in table.columns[0]:
            return f"its columns are separated by {name}"
    for column in COLUMNS:
        if column not in table.columns:
            return f"it has no column {column}"
    if doubled := table.loc[table["id"].duplicated(), "id"].tolist():
        return f"it has an id for the second time ({doubled[0]!r})"
    if unknown := set(table["status"]) - {"ok", "gone", "failed"}:
        return f"it has an unknown status ({min(unknown)!r})"
    if TRAIN_ONLY in table and (unknown := set(table[TRAIN_ONLY]) - {"yes", ""}):
        return f"it has a train_only that is neither yes nor empty ({min(unknown)!r})"
    return ""


# --- the journal ----------------------------------------------------------------------------------


class Journal:
    """The posters that all runs downloaded or found to be gone: a line each, written at once.

    The next run reads it, whether this one ended or was killed. It is never shortened, so that a
    smaller LIMIT or a wrong POSTER_BASE loses nothing; the last line on a poster counts.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.lock = data_dir, threading.Lock()
        self.path = data_dir / "posters.journal.jsonl"
        # {hash of (id, URL): fingerprint, or why it is gone}. The ids and URLs of a million movies
        # would take 300 MB.
        self.known: dict[int, int | str] = {}
        with suppress(FileNotFoundError), open(self.path, encoding="utf-8", errors="replace") as f:
            for line in f:
                with suppress(ValueError, TypeError):  # a killed run may have left half a line
                    movie, url, result = json.loads(line)
                    is_gone = isinstance(result, str)
                    self.known[hash((movie, url))] = sys.intern(result) if is_gone else result
        self.file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  # open until the end
        self.file.write("\n")

    def recall(self, poster: Poster) -> bool:
        """Fill in the status of a poster that an earlier run completed; return whether it did."""
        result = self.known.get(hash((poster.id, poster.url)))
        if isinstance(result, str):
            poster.status, poster.error = "gone", result
        elif result and is_up_to_date(poster_path(self.data_dir, poster.id), poster.url, result):
            poster.status, poster.fingerprint = "ok", result
        return poster.status != ""

    def record(self, poster: Poster) -> None:
        """Write a line on a poster, unless the next run shall try again."""
        is_gone = poster.status == "gone" and is_url(poster.url)
        if poster.status == "ok" or is_gone:
            result = poster.error if is_gone else poster.fingerprint
            with self.lock, naming(self.path):
                self.file.write(json.dumps([poster.id, poster.url, result]) + "\n")
                self.file.flush()


def describe_body(body: bytes) -> int:
    """Return the fingerprint of a file: its size in the high 32 bits, 32 of its XXH3 in the low."""
    return (len(body) % 2**32 << 32) + xxhash.xxh3_64_intdigest(body) % 2**32


def is_up_to_date(path: Path, url: str, fingerprint: int) -> bool:
    """Return whether a poster is still the file that was saved, and its original has not changed.

    Only size and date are compared. A copy from a folder has the date of its original.
    """
    try:
        saved = os.stat(path)
        original = saved if is_url(url) else os.stat(url)
    except OSError:
        return False
    is_same = (saved.st_size, saved.st_mtime_ns) == (original.st_size, original.st_mtime_ns)
    return is_same and saved.st_size % 2**32 == fingerprint >> 32
