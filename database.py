"""Step 1: download the posters that a movie metadata CSV lists.

    python database.py

Reads   METADATA_CSV (metadata.py says which forms it may have); it is never written
Writes  DATA_DIR/posters/<id>.jpg, the bytes as served, and DATA_DIR/posters.csv: one row per
        movie, failures included. Stopped at any moment and run again, it goes on where it was; a
        later run asks only for what failed or is new.
Takes   seconds for the demonstration set; RATE_LIMIT allows 15,000 posters in seven minutes.
"""

import asyncio
import csv
import json
import os
import re
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from download import Downloader, Limits, is_url
from metadata import Movies
from progress import show_progress

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # every step reads and writes here; change it in all to keep two runs apart
METADATA_CSV = "data/sample/movies_metadata.csv"  # the list of movies; point it at your own CSV
POSTER_BASE = "data/sample/posters"  # folder or URL prefix; None where the CSV has whole URLs
LIMIT = None  # movies, from the top of the CSV; 500 gives a first look at a large one
WORKERS = 16  # downloads at a time; lower it where the host asks for less
RATE_LIMIT = 40  # requests per second to one host; None where the host is yours
TIMEOUT = 10  # seconds without an answer or a further byte before an attempt has failed
RETRIES = 4  # further attempts per poster, 0.5, 1, 2, 4 ... seconds apart; more on a bad network
TIME_LIMIT = 60  # seconds for one poster, all attempts and pauses together
MAX_BYTES = 20_000_000  # a larger file is left out; a poster has some 100,000
MAX_PIXELS = 50_000_000  # a larger image is left out; a small file can unfold to fill the memory
# --------------------------------------------------------------------------------------------------

COLUMNS = ["id", "title", "genres", "url", "status", "error"]


def main(
    data_dir=DATA_DIR,
    metadata_csv=METADATA_CSV,
    poster_base=POSTER_BASE,
    limit=LIMIT,
    workers=WORKERS,
    rate_limit=RATE_LIMIT,
    timeout=TIMEOUT,
    retries=RETRIES,
    time_limit=TIME_LIMIT,
    max_bytes=MAX_BYTES,
    max_pixels=MAX_PIXELS,
):
    """Download the posters and write posters.csv; exit with 1 where over 2 % of them failed."""
    limits = Limits(timeout, retries, time_limit, rate_limit, max_bytes, max_pixels)
    check_settings(limit, workers, limits)
    data_dir = Path(data_dir)
    try:
        movies = Movies(metadata_csv, limit)
        source = find_source(movies, poster_base)
        with locking(data_dir):
            counts, reasons = download(movies, source, data_dir, workers, limits)
    except KeyboardInterrupt:
        print("Stopped. To go on from here, run: python database.py", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"Cannot write: {error}. When that is mended, go on with: python database.py")
    report(counts, reasons, data_dir)


def check_settings(limit, workers, limits):
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be None or at least 1 movie, got {limit!r}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers!r}")
    if limits.retries < 0:
        raise ValueError(f"retries must be 0 or more, got {limits.retries!r}")
    if limits.rate_limit is not None and limits.rate_limit <= 0:
        raise ValueError(f"rate_limit must be None or more than 0, got {limits.rate_limit!r}")
    for name in ("timeout", "time_limit", "max_bytes", "max_pixels"):
        if getattr(limits, name) <= 0:
            raise ValueError(f"{name} must be more than 0, got {getattr(limits, name)!r}")


# --- where the posters are ------------------------------------------------------------------------

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif"]


@dataclass(frozen=True)
class Source:
    """Where the posters of so many movies are: in a folder, or under URLs and this prefix."""

    movies: int
    folder: str | None = None
    prefix: str = ""


def find_source(movies, poster_base):
    """Go through the movies once to see where their posters are; says what the CSV holds.

    A folder that holds none of the movies gives way to the URLs in the CSV.
    """
    base = str(poster_base or "")
    folder = Path(base).as_posix() if base and Path(base).is_dir() else None
    count, has_urls, is_used = 0, False, False
    for movie in movies:
        count += 1
        has_urls = has_urls or is_url(movie["poster"])
        is_used = is_used or (folder is not None and find_image(folder, movie) != "")
    print(movies.summary())
    again = "Set POSTER_BASE in database.py, then run: python database.py"
    if not count:
        sys.exit(f"{movies.path} lists no movies. Check METADATA_CSV, then run: python database.py")
    if folder is None and not movies.has_posters:
        sys.exit(
            f"{movies.path} lists no posters: it has no column poster_path or Poster. A folder of "
            f"images named by id would do. {again}"
        )
    if folder is None and not is_url(base) and not has_urls:
        sys.exit(
            f"POSTER_BASE ({base or None}) is neither a URL nor a folder, and the CSV lists no "
            f"poster URLs. {again}"
        )
    if base and has_urls and not is_used and not is_url(base):
        print(f"{base} holds none of these movies: using the URLs in the CSV")
        folder = None
    return Source(count, folder, base if is_url(base) else "")


def locate(movie, source):
    """A movie's row of posters.csv: `url` says where its poster is, a URL or a path.

    `status` is empty where the poster is yet to be fetched, and `gone` where there is none. What
    the CSV writes never leads out of the folders: a name is that of one file directly in one.
    """
    url, error = "", "no poster listed"
    listed = movie["poster"]
    # Windows takes CON for a device, with or without a suffix.
    if not re.fullmatch(
        r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[\w-]{1,100}", movie["id"], re.A | re.I
    ):
        error = "the id cannot name a file"
    elif source.folder is not None:
        url, error = find_image(source.folder, movie), f"no image in {source.folder}"
    elif is_url(listed):
        url, error = (listed, "") if len(listed) <= 4000 else ("", "the poster URL is too long")
    elif re.match(r"[a-z][a-z0-9+.-]*:", listed, re.I):
        error = "the poster is listed under another scheme than http"
    elif listed and not source.prefix:
        error = "the poster is listed as a path, and POSTER_BASE is no URL"
    elif listed:
        parts = listed.removeprefix("/").split("/")
        url, error = f"{source.prefix.rstrip('/')}/{'/'.join(parts)}", ""
        if not all(map(is_file_name, parts)):
            url, error = "", "the poster path does not name a file"
    kept = {key: movie[key] for key in ("id", "title", "genres")}
    return kept | {"url": url, "status": "" if url else "gone", "error": "" if url else error}


def find_image(folder, movie):
    """The path of the image that the CSV names or that is named by the id, or an empty string."""
    names = [movie["poster"].removeprefix("/")]
    for stem in filter(None, dict.fromkeys((movie["id"], *movie["names"]))):
        names += [stem + suffix for lower in SUFFIXES for suffix in (lower, lower.upper())]
    for name in names:
        path = f"{folder}/{name}"
        if is_file_name(name) and os.path.isfile(path):
            return path
    return ""


def is_file_name(name):
    """Whether this can name a file directly in a folder, on any system."""
    is_plain = re.fullmatch(r'(?!\.{1,2}$)[^\x00-\x1f<>:"/\\|?*\ufffd]+', name)
    return is_plain is not None and len(name.encode("utf-8", "replace")) <= 255


def list_images(folder):
    """The paths of the images directly in a folder, sorted by name."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES]


# --- fetching -------------------------------------------------------------------------------------


def download(movies, source, data_dir, workers, limits):
    """Fetch what is not there yet and write posters.csv. Returns Counters: statuses, reasons."""
    for leftover in (data_dir / "posters").glob("*.part.jpg"):
        leftover.unlink()
    known = read_known(data_dir)
    rows = (settle(locate(movie, source), known, data_dir) for movie in movies)
    with (
        replacing(data_dir / "posters.csv") as part,
        open(part, "w", encoding="utf-8", newline="") as table,
        open(journal_path(data_dir), "a", encoding="utf-8") as journal,
        show_progress(source.movies, "poster") as progress,
    ):
        ledger = Ledger(table, journal, progress)
        asyncio.run(fetch_all(rows, data_dir, workers, limits, ledger))
        ledger.show()
    journal_path(data_dir).unlink()
    return ledger.counts, ledger.reasons


async def fetch_all(rows, data_dir, workers, limits, ledger):
    """Fetch the posters of the rows that have no status yet, and enter all rows in the ledger."""
    numbered = enumerate(rows)

    async def work(downloader):
        for number, row in numbered:  # each takes the next
            is_known = row["status"] != ""
            if is_known:
                await asyncio.sleep(0)  # lets the downloads go on
            else:
                save = partial(save_poster, poster_path(data_dir, row["id"]))
                row["status"], row["error"] = await downloader.fetch(row["url"], save)
            ledger.enter(number, row, is_known)

    async def tick():
        while True:
            await asyncio.sleep(0.5)
            ledger.show()

    async with Downloader(workers, limits) as downloader:
        # Eight times more than download at a time: they wait for their next attempts.
        tasks = [asyncio.create_task(work(downloader)) for _ in range(8 * workers)]
        ticker = asyncio.create_task(tick())
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, ticker):
                task.cancel()
            await asyncio.gather(*tasks, ticker, return_exceptions=True)


def save_poster(path, body):
    with replacing(path) as part:
        part.write_bytes(body)


class Ledger:
    """Writes the rows of posters.csv in the order of the movies, though they end in any order.

    The journal has each at once. Neither grows in memory: a row waits only for those before it.
    """

    def __init__(self, table, journal, progress):
        self.writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        self.writer.writeheader()
        self.journal, self.progress = journal, progress
        self.journal.write("\n")  # a killed run may have left half a line
        self.waiting, self.written = {}, 0
        self.counts, self.reasons = Counter(ok=0, gone=0, failed=0), Counter()

    def enter(self, number, row, is_known):
        self.counts[row["status"]] += 1
        self.reasons[row["error"].split(": ")[0]] += 1
        if row["status"] != "failed" and not is_known:
            settled = {key: row[key] for key in ("id", "url", "status", "error")}
            self.journal.write(json.dumps(settled) + "\n")
            self.journal.flush()
        self.progress.n += 1
        self.waiting[number] = row
        while self.written in self.waiting:
            self.writer.writerow(self.waiting.pop(self.written))
            self.written += 1

    def show(self):
        self.progress.set_postfix(self.counts, refresh=False)
        self.progress.update(0)


# --- what earlier runs have -----------------------------------------------------------------------


def read_posters(data_dir):
    """Read posters.csv: id, title, genres, url, status (ok, gone, failed) and error, as strings."""
    path = Path(data_dir) / "posters.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python database.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def poster_path(data_dir, movie):
    """The file that holds the poster of the movie with this id."""
    return Path(data_dir) / "posters" / f"{movie}.jpg"


def journal_path(data_dir):
    """What a run has settled so far, one JSON object per line; it is deleted when the run ends."""
    return Path(data_dir) / "posters.journal.jsonl"


def read_known(data_dir):
    """What earlier runs settled, finished or killed: {hash of id and url: (status, error)}.

    Hashes, because a million movies take 400 MB as text. Nothing, where no poster was ok: then the
    host or the source was wrong, not the posters.
    """
    known, outcomes = {}, {}
    for row in read_settled(data_dir):
        outcome = (row["status"], row["error"])
        if outcome[0] in ("ok", "gone"):
            known[hash((row["id"], row["url"]))] = outcomes.setdefault(outcome, outcome)
    return known if ("ok", "") in outcomes else {}


def read_settled(data_dir):
    """The rows of posters.csv and of the journal, as dicts."""
    with (
        suppress(FileNotFoundError),
        open(data_dir / "posters.csv", encoding="utf-8", newline="") as table,
    ):
        rows = csv.DictReader(table)
        if rows.fieldnames == COLUMNS:
            yield from rows
    with suppress(FileNotFoundError), open(journal_path(data_dir), encoding="utf-8") as journal:
        for line in journal:
            with suppress(ValueError):  # the line that was being written when the run was killed
                yield json.loads(line)


def settle(row, known, data_dir):
    """Fill in the status of a row whose poster needs no asking. Returns the row."""
    outcome = known.get(hash((row["id"], row["url"])))
    if outcome and not row["status"]:
        copy = poster_path(data_dir, row["id"])
        if is_url(row["url"]):
            is_settled = outcome[0] == "gone" or copy.is_file()
        else:  # a file may have been replaced since
            is_settled = outcome[0] == "ok" and is_up_to_date(copy, Path(row["url"]))
        if is_settled:
            row["status"], row["error"] = outcome
    return row


def is_up_to_date(copy, original):
    if not copy.is_file() or not original.is_file():
        return False
    ours, theirs = copy.stat(), original.stat()
    return ours.st_size == theirs.st_size and ours.st_mtime_ns >= theirs.st_mtime_ns


@contextmanager
def locking(data_dir):
    """Keep a second run out of the folder; the system lifts the lock of a run that is killed."""
    (data_dir / "posters").mkdir(parents=True, exist_ok=True)
    path = data_dir / "posters.lock"
    try:
        with FileLock(path, blocking=False):
            try:
                yield
            finally:
                with suppress(OSError):  # Windows keeps a file that is open
                    path.unlink()
    except Timeout:
        sys.exit(f"Another run is downloading to {data_dir}. When it has ended, run this one again")


# --- files that are whole or absent ---------------------------------------------------------------


@contextmanager
def replacing(path):
    """Yield a path beside `path`; rename it to `path` once the block has ended without an error."""
    part = Path(path).with_suffix(f".part{Path(path).suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_csv(table, path):
    """Write a DataFrame as CSV, whole or not at all."""
    with replacing(path) as part:
        table.to_csv(part, index=False, lineterminator="\n", encoding="utf-8")


def report(counts, reasons, data_dir):
    """Print the counts; exit with status 1 where too many failed to go on."""
    print(f"ok {counts['ok']:,}   gone {counts['gone']:,}   failed {counts['failed']:,}")
    for reason, count in reasons.most_common(6):
        if reason:
            print(f"  {count:,} x {reason}")
    print(f"wrote {data_dir / 'posters.csv'} ({counts.total():,} rows) and {data_dir / 'posters'}")
    if counts["failed"] > 0.02 * counts.total():
        sys.exit(
            f"{counts['failed']:,} of {counts.total():,} posters failed. Check the network and "
            "POSTER_BASE; to ask for these again, run: python database.py"
        )
    if not counts["ok"]:
        sys.exit("No poster was found. Check POSTER_BASE, then run: python database.py")
    print("next: python sampling.py")


if __name__ == "__main__":
    main()
