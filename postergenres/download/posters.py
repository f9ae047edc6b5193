"""Download the posters of all movies."""

import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from postergenres.download.answers import Answer, read_body
from postergenres.download.client import Client, Limits
from postergenres.download.images import shorten_error
from postergenres.download.manifest import Journal, Poster, Summary, describe_body, poster_path
from postergenres.download.metadata import is_url
from postergenres.download.sources import Listing, list_posters
from postergenres.files import replacing
from postergenres.progress import show_progress

AHEAD = 10_000  # posters in memory; they wait for one before them for at most TIME_LIMIT
MAX_FAILED = 0.02  # share of the posters that may fail


def download_posters(
    listings: list[Listing], data_dir: Path, client: Client, workers: int
) -> Iterator[Poster]:
    """Download the posters that no earlier run did, and yield all of them in the order of the CSV.

    Args:
        listings: see `sources.open_listings`.
        data_dir: the data folder.
        client: the `Client`.
        workers: the number of downloads at a time.
    """
    (data_dir / "posters").mkdir(exist_ok=True)
    for leftover in (data_dir / "posters").glob("*.part.jpg"):
        leftover.unlink()
    journal, pending = Journal(data_dir), deque[Future[Poster]]()
    pool = ThreadPoolExecutor(workers)
    total = sum(source.movies for _, source in listings)
    try:
        with show_progress(total, "poster") as progress:
            for poster in list_posters(listings):
                pending.append(pool.submit(complete_poster, poster, journal, client))
                while len(pending) > AHEAD or (pending and pending[0].done()):
                    yield pending.popleft().result()
                    progress.update()
            for future in pending:
                yield future.result()
                progress.update()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error, wait for no slow host


def complete_poster(poster: Poster, journal: Journal, client: Client) -> Poster:
    """Fetch or copy a poster that has no status yet, save it, and fill in its status."""
    if poster.status or journal.recall(poster):
        return poster
    date = None
    if is_url(poster.url):
        answer = client.fetch(poster.url)
    else:
        answer, date = read_image_file(poster.url, client.limits)
    poster.status, poster.error = answer.status, answer.error
    if answer.body is not None:
        save_poster(poster_path(journal.data_dir, poster.id), answer.body, date)
        poster.fingerprint = describe_body(answer.body)
    journal.record(poster)
    return poster


def read_image_file(path: str, limits: Limits) -> tuple[Answer, int | None]:
    """Return what an image file amounts to, and its date in nanoseconds."""
    try:
        date = os.stat(path).st_mtime_ns  # before it is read
        with open(path, "rb") as file:
            body = file.read(limits.max_bytes + 1)
        return read_body(body, limits.max_bytes, limits.max_pixels), date
    except OSError as error:
        return Answer("failed", shorten_error(error)), None


def save_poster(path: Path, body: bytes, date: int | None) -> None:
    """Write the bytes of a poster, with the date of the file that they were copied from."""
    with replacing(path) as part:
        part.write_bytes(body)
        if date is not None:
            with suppress(OSError):  # not every file system permits it
                os.utime(part, ns=(date, date))


def print_summary(summary: Summary, client: Client, data_dir: Path) -> None:
    """Print how many posters are ok, gone and failed, the most frequent reasons, and the files."""
    counts = summary.counts
    print(f"ok {counts['ok']:,}   gone {counts['gone']:,}   failed {counts['failed']:,}")
    for reason, count in summary.reasons.most_common(6):
        print(f"  {count:,} x {reason}")
    if summary.shared:
        print(
            f"{summary.shared:,} movies share their poster, byte for byte, with nine others or "
            "more: a placeholder. Step 2 leaves them out"
        )
    for name, host in client.hosts.items():
        if host.left_alone:
            print(f"{name} {host.left_alone}. Its other posters were not requested in this run")
    print(f"wrote {data_dir / 'posters.csv'} ({counts.total():,} rows) and {data_dir / 'posters'}")


def exit_if_too_few_posters(summary: Summary, listings: list[Listing]) -> None:
    """Exit with status 1 if over 2 % of the posters failed, or if none was found.

    Raises:
        SystemExit: the line says which command to run.
    """
    counts, settings = summary.counts, " and ".join(source.setting for _, source in listings)
    if counts["failed"] > MAX_FAILED * counts.total():
        sys.exit(
            f"{counts['failed']:,} of {counts.total():,} posters failed. Check the network and "
            f"{settings}; to retry them, run: python database.py"
        )
    if not counts["ok"]:
        sys.exit(f"No poster was found. Check {settings}, then run: python database.py")
