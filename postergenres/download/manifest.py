"""What is known of each poster: posters.csv, and the journal of a run that has not ended."""

import csv
import json
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

from postergenres.download.metadata import is_url
from postergenres.files import replacing

COLUMNS = ["id", "title", "genres", "url", "status", "error"]


def read_manifest(data_dir):
    """Read posters.csv: id, title, genres, url, status (ok, gone, failed) and error, as strings."""
    import pandas as pd  # here, because step 1 does without and starts a second sooner

    path = Path(data_dir) / "posters.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python database.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def poster_path(data_dir, movie):
    """The file that holds the poster of the movie with this id."""
    return Path(data_dir) / "posters" / f"{movie}.jpg"


def journal_path(data_dir):
    """What has been settled since posters.csv was written, one JSON object per line.

    When a run has ended it holds what posters.csv does not: posters of movies that were left out,
    by a smaller LIMIT for one. Where there is nothing of the kind it is deleted.
    """
    return Path(data_dir) / "posters.journal.jsonl"


class Known:
    """What earlier runs settled, finished or killed: which URL a file is from, which are gone.

    Hashes stand for the URLs, because those of a million movies take 400 MB.
    """

    def __init__(self, data_dir):
        self.data_dir = data_dir
        self.files, self.gone = {}, {}
        reasons = {}
        for row in read_settled(data_dir):
            if row["status"] == "ok":
                self.files[row["id"]] = hash(row["url"])
            elif row["status"] == "gone" and is_url(row["url"]):
                reason = reasons.setdefault(row["error"], row["error"])
                self.gone[hash((row["id"], row["url"]))] = reason
        if not self.files:  # then every answer may have been a page that asks to sign in
            self.gone = {
                key: reason for key, reason in self.gone.items() if reason.startswith("HTTP")
            }

    def settle(self, row):
        """Fill in the status of a row whose poster needs no asking. Returns the row."""
        if row["status"]:
            return row
        if self.files.get(row["id"]) == hash(row["url"]):
            original = None if is_url(row["url"]) else Path(row["url"])
            if is_up_to_date(poster_path(self.data_dir, row["id"]), original):
                row["status"] = "ok"
        elif (reason := self.gone.get(hash((row["id"], row["url"])))) is not None:
            row["status"], row["error"] = "gone", reason
        return row

    def forget(self, row):
        """Forget what this row of the new posters.csv says, or overrules."""
        if row["status"] == "ok":
            self.files.pop(row["id"], None)
        elif row["status"] == "gone":
            self.gone.pop(hash((row["id"], row["url"])), None)

    def remembered(self):
        """The rows of earlier runs that have not been forgotten."""
        if not self.files and not self.gone:
            return
        for row in read_settled(self.data_dir):
            is_file = row["status"] == "ok" and self.files.get(row["id"]) == hash(row["url"])
            is_gone = row["status"] == "gone" and hash((row["id"], row["url"])) in self.gone
            if is_file or is_gone:
                yield row


def read_settled(data_dir):
    """The rows of posters.csv and of the journal that can be read, as dicts."""
    form = {"encoding": "utf-8-sig", "errors": "replace"}  # a spreadsheet may have saved them
    with suppress(FileNotFoundError), open(data_dir / "posters.csv", newline="", **form) as table:
        rows = csv.DictReader(line.replace("\0", "") for line in table)
        yield from (row for row in rows if set(COLUMNS) <= set(row))
    with suppress(FileNotFoundError), open(journal_path(data_dir), **form) as journal:
        for line in journal:
            with suppress(ValueError):  # the line that was being written when the run was killed
                row = json.loads(line)
                if isinstance(row, dict) and {"id", "url", "status", "error"} <= set(row):
                    yield row


def is_up_to_date(copy, original):
    """Whether a file is there, and is that of a folder that may have been replaced since."""
    try:
        ours = copy.stat()
        if original is None:
            return ours.st_size > 0
        theirs = original.stat()
    except FileNotFoundError:
        return False
    return ours.st_size == theirs.st_size and ours.st_mtime_ns >= theirs.st_mtime_ns


class ManifestWriter:
    """Writes posters.csv in the order of the movies, though their posters come in any order.

    Each is in the journal at once. A row waits in memory only for those before it, which the time
    limit of a poster bounds.
    """

    def __init__(self, table, journal, known):
        self.writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        self.writer.writeheader()
        self.journal, self.known = journal, known
        self.journal.write("\n")  # a killed run may have left half a line
        self.waiting, self.written = {}, 0
        self.counts, self.reasons = Counter(ok=0, gone=0, failed=0), Counter()

    def enter(self, number, row, is_new):
        """Enter the row of the movie with this number; `is_new` where its poster was asked for."""
        self.counts[row["status"]] += 1
        self.reasons[row["error"].split(": ")[0]] += 1
        if is_new and row["status"] != "failed":
            self.journal.write(to_line(row))
            self.journal.flush()
        self.known.forget(row)
        self.waiting[number] = row
        while self.written in self.waiting:
            self.writer.writerow(self.waiting.pop(self.written))
            self.written += 1


def to_line(row):
    return json.dumps({key: row[key] for key in ("id", "url", "status", "error")}) + "\n"


@contextmanager
def open_manifest(data_dir, known):
    """Yield a `ManifestWriter`; if all goes well, posters.csv and the journal are replaced."""
    with (
        replacing(data_dir / "posters.csv") as part,
        open(part, "w", encoding="utf-8", newline="") as table,
        open(journal_path(data_dir), "a", encoding="utf-8") as journal,
    ):
        yield ManifestWriter(table, journal, known)
        journal.flush()
        remembered = "".join(map(to_line, known.remembered()))
    if remembered:
        with replacing(journal_path(data_dir)) as part:
            part.write_text(remembered, encoding="utf-8")
    else:
        journal_path(data_dir).unlink()
