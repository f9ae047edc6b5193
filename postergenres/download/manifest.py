"""Read and write posters.csv, and the journal that lets a stopped run resume."""

import csv
import json
import os
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

from postergenres.download.faults import Fault
from postergenres.download.metadata import find_host, is_url
from postergenres.old_files import replacing

COLUMNS = ["id", "title", "genres", "url", "status", "error"]
TRAIN_ONLY = "train_only"  # a further column if there is a TRAIN_ONLY_CSV
JOURNAL_KEYS = ("id", "url", "status", "error")


def read_manifest(data_dir):
    """Read posters.csv.

    Args:
        data_dir: the data folder.

    Returns:
        A DataFrame of strings: id, title, genres, url, status (ok, gone, failed), error,
        train_only ("yes" for a movie that is only trained on, else "").

    Raises:
        SystemExit: posters.csv is missing or unusable; the line names the command that writes it.
    """
    import pandas as pd  # here: step 1 does not need it and starts a second faster

    path = require_manifest(data_dir)
    again = "To write it again, run: python database.py"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        sys.exit(f"{path} cannot be used: it is empty. {again}")
    except UnicodeError:
        sys.exit(f"{path} cannot be used: it is not UTF-8. {again}")
    except pd.errors.ParserError as error:
        reason = " ".join(str(error).split())
        sys.exit(f"{path} cannot be used: it is not a CSV ({reason}). {again}")
    if fault := find_table_fault(table):
        sys.exit(f"{path} cannot be used: {fault}. {again}")
    return table if TRAIN_ONLY in table else table.assign(**{TRAIN_ONLY: ""})


def require_manifest(data_dir):
    """Return the path of posters.csv; exit with the command that writes it if it is missing."""
    path = Path(data_dir) / "posters.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python database.py")
    return path


def find_table_fault(table):
    """Return what is wrong with the columns of posters.csv or with their values, or ""."""
    for sign, name in ((";", ";"), ("\t", "tabs")):  # as spreadsheets save it
        if len(table.columns) == 1 and sign in table.columns[0]:
            return f"its columns are separated by {name}"
    for column in COLUMNS:
        if column not in table.columns:
            return f"it has no column {column}"
    if unknown := set(table["status"]) - {"ok", "gone", "failed"}:
        return f"it has an unknown status ({min(unknown)!r})"
    if TRAIN_ONLY in table and (unknown := set(table[TRAIN_ONLY]) - {"yes", ""}):
        return f"it has a train_only that is neither yes nor empty ({min(unknown)!r})"
    return ""


def poster_path(data_dir, movie):
    """Return the path of the poster of the movie with the id `movie`."""
    return Path(data_dir) / "posters" / f"{movie}.jpg"


def journal_path(data_dir):
    """Return the path of the journal: one JSON object per line for each poster, ok or gone.

    During a run it holds the posters since posters.csv was written. Between two runs it holds the
    posters of movies that the last run left out (by a smaller LIMIT, for example); if there are
    none, it does not exist.
    """
    return Path(data_dir) / "posters.journal.jsonl"


class PreviousRuns:
    """The posters that previous runs, completed or not, downloaded or found to be gone.

    Hashes stand for the URLs, because a million URLs take 400 MB.
    """

    def __init__(self, data_dir):
        self.data_dir = data_dir
        self.file_urls = {}  # {id: hash of the URL that the file is from}
        self.good_urls = {}  # {host and port: URL of a poster that came}
        self.gone_errors = {}  # {hash of (id, URL): error}
        pages = {}  # {host and port: hashes of (id, URL) that are pages}
        distinct = {}  # each error is kept in memory once
        for row in read_previous_rows(data_dir):
            if row["status"] == "ok":
                self.file_urls[row["id"]] = hash(row["url"])
                if is_url(row["url"]):
                    self.good_urls[find_host(row["url"])] = row["url"]
            elif row["error"].startswith("InvalidURL: "):
                continue  # older versions stated it for a bad proxy, too; it costs no request
            elif row["status"] == "gone" and is_url(row["url"]):
                self.gone_errors[poster_hash(row)] = distinct.setdefault(row["error"], row["error"])
                if is_page(row["error"]):
                    pages.setdefault(find_host(row["url"]), []).append(poster_hash(row))
        for host in set(pages) - set(self.good_urls):  # written by an older version
            for key in pages[host]:
                self.gone_errors.pop(key, None)
        if not self.file_urls:  # every response may have been a page that asks to sign in
            self.gone_errors = {
                key: error
                for key, error in self.gone_errors.items()
                if Fault.HTTP_STATUS.is_stated_in(error)
            }

    def fill_in_status(self, row):
        """Fill in the status and error of a row whose poster need not be fetched.

        Args:
            row: a row of posters.csv, as a dict; it is changed.

        Returns:
            The row.
        """
        if row["status"]:
            return row
        if self.file_urls.get(row["id"]) == hash(row["url"]):
            original = None if is_url(row["url"]) else Path(row["url"])
            if is_up_to_date(poster_path(self.data_dir, row["id"]), original):
                row["status"] = "ok"
        elif (error := self.gone_errors.get(poster_hash(row))) is not None:
            row["status"], row["error"] = "gone", error
        return row

    def discard(self, row):
        """Discard what a row of the new posters.csv repeats or replaces."""
        if row["status"] == "ok":
            self.file_urls.pop(row["id"], None)
        elif row["status"] == "gone":
            self.gone_errors.pop(poster_hash(row), None)

    def remaining_rows(self):
        """Yield the rows of previous runs that have not been discarded."""
        if not self.file_urls and not self.gone_errors:
            return
        for row in read_previous_rows(self.data_dir):
            is_file = row["status"] == "ok" and self.file_urls.get(row["id"]) == hash(row["url"])
            is_gone = row["status"] == "gone" and poster_hash(row) in self.gone_errors
            if is_file or is_gone:
                yield row


def is_page(error):
    """Return whether an error of posters.csv states a page in place of an image."""
    return error == Fault.NOT_AN_IMAGE.format() or Fault.TOO_MANY_REDIRECTS.is_stated_in(error)


def poster_hash(row):
    return hash((row["id"], row["url"]))


def read_previous_rows(data_dir):
    """Yield the rows of posters.csv and of the journal as dicts; unreadable ones are skipped."""
    form = {"encoding": "utf-8-sig", "errors": "replace"}  # a spreadsheet may have saved the file
    with suppress(FileNotFoundError), open(data_dir / "posters.csv", newline="", **form) as table:
        rows = csv.DictReader(line.replace("\0", "") for line in table)
        yield from (row for row in rows if set(COLUMNS) <= set(row) and is_readable(row))
    with suppress(FileNotFoundError), open(journal_path(data_dir), **form) as journal:
        for line in journal:
            with suppress(ValueError):  # a killed run may have left half a line
                row = json.loads(line)
                if isinstance(row, dict) and is_readable(row):
                    yield row


def is_readable(row):
    """Return whether a row of a previous run has the texts that a later run needs."""
    return all(isinstance(row.get(key), str) for key in JOURNAL_KEYS)


def is_up_to_date(copy, original):
    """Return whether a poster exists and, if it is a copy, its original has not changed since.

    A copy has the date of its original. If it has another one, as from an older version, the
    bytes are compared, and an equal copy gets the date.

    Args:
        copy: the poster.
        original: the file that it was copied from, or None if it was downloaded.
    """
    try:
        ours = copy.stat()
        if original is None:
            return ours.st_size > 0
        theirs = original.stat()
    except FileNotFoundError:
        return False
    if ours.st_size != theirs.st_size or ours.st_mtime_ns == theirs.st_mtime_ns:
        return ours.st_size == theirs.st_size
    try:
        is_equal = copy.read_bytes() == original.read_bytes()
    except OSError:
        return False
    if is_equal:
        with suppress(OSError):  # not every file system permits it
            os.utime(copy, ns=(theirs.st_mtime_ns, theirs.st_mtime_ns))
    return is_equal


class ManifestWriter:
    """Write posters.csv in the order of the movies, although posters arrive in another order.

    A new poster is recorded in the journal at once. Its row stays in memory until all rows before
    it have been written, at most as long as the time limit of a poster.

    Args:
        table: the open posters.csv.
        journal: the open journal.
        previous: the `PreviousRuns`.
        columns: the columns of posters.csv.

    Attributes:
        counts: a Counter {status: movies}.
        reasons: a Counter {first part of the error: movies}.
    """

    def __init__(self, table, journal, previous, columns):
        self.writer = csv.DictWriter(table, columns, lineterminator="\n")
        self.writer.writeheader()
        self.journal, self.previous = journal, previous
        self.journal.write("\n")  # a killed run may have left half a line
        self.pending_rows, self.next_number = {}, 0
        self.counts, self.reasons = Counter(ok=0, gone=0, failed=0), Counter()

    def add(self, number, row, is_new):
        """Add the row of a movie.

        Args:
            number: the position of the movie among those of all CSVs, from 0.
            row: the row, as a dict.
            is_new: whether this run fetched the poster.
        """
        self.counts[row["status"]] += 1
        self.reasons[row["error"].split(": ")[0]] += 1
        if is_new and row["status"] != "failed":
            self.journal.write(journal_line(row))
            self.journal.flush()
        self.previous.discard(row)
        self.pending_rows[number] = row
        while self.next_number in self.pending_rows:
            self.writer.writerow(self.pending_rows.pop(self.next_number))
            self.next_number += 1


def journal_line(row):
    """Return a row as a line of the journal."""
    return json.dumps({key: row[key] for key in JOURNAL_KEYS}) + "\n"


@contextmanager
def open_manifest(data_dir, previous, columns=COLUMNS):
    """Yield a `ManifestWriter`; replace posters.csv and the journal if the block ends well.

    Args:
        data_dir: the data folder.
        previous: the `PreviousRuns`; the rows that remain in it stay in the journal.
        columns: the columns of posters.csv.
    """
    with (
        replacing(data_dir / "posters.csv") as part,
        open(part, "w", encoding="utf-8", newline="") as table,
        open(journal_path(data_dir), "a", encoding="utf-8") as journal,
    ):
        yield ManifestWriter(table, journal, previous, columns)
        journal.flush()
        remaining = "".join(map(journal_line, previous.remaining_rows()))
    if remaining:
        with replacing(journal_path(data_dir)) as part:
            part.write_text(remaining, encoding="utf-8")
    else:
        journal_path(data_dir).unlink()
