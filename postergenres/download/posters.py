"""Download the posters of all movies and write posters.csv."""

import asyncio
import os
import sys
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path

from postergenres.download.client import Downloader
from postergenres.download.faults import Fault
from postergenres.download.manifest import (
    COLUMNS,
    TRAIN_ONLY,
    PreviousRuns,
    journal_path,
    open_manifest,
    poster_path,
)
from postergenres.download.metadata import is_url
from postergenres.download.sources import list_rows
from postergenres.old_files import discard_leftovers, lock_file, replacing
from postergenres.progress import show_progress

# Posters in progress for each worker; most of them wait for their next attempt.
POSTERS_PER_WORKER = 8
MAX_WAITING = 100_000  # rows in memory that may wait for a row before them whose poster is a page
MAX_FAILED = 0.02  # share of the posters that may fail


def download_posters(listings, data_dir, workers, limits):
    """Fetch the posters that previous runs did not and write posters.csv.

    Args:
        listings: a list of (`Movies`, `Source` of their posters). The movies of a second one are
            only trained on.
        data_dir: the data folder; it is created.
        workers: the number of downloads at a time.
        limits: the `Limits` of one poster.

    Returns:
        (counts, reasons): Counters {status: movies} and {reason: movies}.

    Raises:
        SystemExit: another run is downloading to the same folder, or a host sends pages in place
            of posters; these posters are `failed`.
    """
    data_dir = Path(data_dir)
    (data_dir / "posters").mkdir(parents=True, exist_ok=True)
    refusal = (
        f"Another run is downloading to {data_dir}. When it has ended, run: python database.py"
    )
    with lock_file(data_dir / "posters.lock", refusal):
        for leftover in (data_dir / "posters").glob("*.part.jpg"):
            leftover.unlink()
        discard_leftovers([data_dir / "posters.csv", journal_path(data_dir)])
        previous = PreviousRuns(data_dir)
        rows = map(previous.fill_in_status, list_rows(listings))
        columns = COLUMNS + [TRAIN_ONLY] * (len(listings) > 1)
        with (
            open_manifest(data_dir, previous, columns) as manifest,
            show_progress(sum(source.movies for _, source in listings), "poster") as progress,
        ):
            downloader = Downloader(workers, limits, previous.good_urls)
            asyncio.run(fetch_all(rows, data_dir, workers, downloader, manifest, progress))
        if downloader.is_in_portal:
            sys.exit(
                "A host now sends pages in place of images, perhaps because the network asks you "
                f"to sign in. Sign in with a browser, or check {name_settings(listings)}, then "
                "run: python database.py"
            )
        return manifest.counts, manifest.reasons


async def fetch_all(rows, data_dir, workers, downloader, manifest, progress):
    """Fetch the posters of the rows without a status; add all rows to the manifest.

    A page in place of a poster says nothing before its host has sent an image. Such a poster is
    requested once more when the host has; it is `failed` if the host never does.
    """
    pages = deque()  # (number, row)

    def list_rows():
        for number, row in enumerate(rows):
            yield from list_due()
            yield number, row, True
        yield from list_due()

    def list_due():
        while pages and is_due(pages[0][1]):
            yield *pages.popleft(), False

    def is_due(row):
        return downloader.has_sent_image(row["url"]) or len(manifest.pending_rows) > MAX_WAITING

    async def fetch_in_tasks(numbered_rows):
        tasks = [
            asyncio.create_task(
                fetch_rows(numbered_rows, pages, downloader, data_dir, manifest, progress)
            )
            for _ in range(POSTERS_PER_WORKER * workers)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async with downloader:
        display = asyncio.create_task(update_progress(progress, manifest))
        try:
            await fetch_in_tasks(list_rows())
            await fetch_in_tasks((number, row, False) for number, row in list(pages))
        finally:
            display.cancel()
            await asyncio.gather(display, return_exceptions=True)
    progress.set_postfix(manifest.counts, refresh=False)


async def fetch_rows(numbered_rows, pages, downloader, data_dir, manifest, progress):
    """Take one row after another, fetch its poster and add it, until no rows are left.

    Args:
        numbered_rows: an iterator of (number, row, whether the row is taken for the first time),
            shared by all tasks.
        pages: a deque of (number, row), for rows to take a second time.
        downloader: the `Downloader`.
        data_dir: the data folder.
        manifest: the `ManifestWriter`.
        progress: the tqdm object.
    """
    for number, row, is_first in numbered_rows:
        is_new = row["status"] == ""
        if not is_new:
            await asyncio.sleep(0)  # lets the downloads of the other tasks continue
        elif is_first or downloader.has_sent_image(row["url"]):
            status, error = await fetch_poster(row, downloader, data_dir)
            if is_first and Fault.FIRST_PAGE.is_stated_in(error):
                pages.append((number, row))
                continue
            row["status"], row["error"] = status, error
        else:
            row["status"], row["error"] = "failed", Fault.FIRST_PAGE.format()
        manifest.add(number, row, is_new)
        progress.n += 1


async def fetch_poster(row, downloader, data_dir):
    """Fetch the poster of a row and save it; return its status and error."""
    get = downloader.fetch if is_url(row["url"]) else downloader.copy
    date = None if is_url(row["url"]) else read_date(row["url"])  # before it is read
    save = partial(save_poster, poster_path(data_dir, row["id"]), date)
    return await get(row["url"], save)


async def update_progress(progress, manifest):
    """Refresh the progress bar twice a second, until the task is cancelled."""
    while True:
        progress.set_postfix(manifest.counts, refresh=False)
        progress.update(0)
        await asyncio.sleep(0.5)


def read_date(path):
    """Return the date of a file in nanoseconds, or None if it cannot be read."""
    with suppress(OSError):
        return os.stat(path).st_mtime_ns


def save_poster(path, date, body):
    """Write the bytes of a poster, completely or not at all.

    Args:
        path: the file.
        date: its date in nanoseconds, that of the copied file; or None for now.
        body: the bytes.
    """
    with replacing(path) as part:
        part.write_bytes(body)
        if date is not None:
            with suppress(OSError):  # not every file system permits it
                os.utime(part, ns=(date, date))


def print_download_summary(counts, reasons, data_dir):
    """Print how many posters are ok, gone and failed, the most frequent reasons, and the files."""
    print(f"ok {counts['ok']:,}   gone {counts['gone']:,}   failed {counts['failed']:,}")
    for reason, count in reasons.most_common(6):
        if reason:
            print(f"  {count:,} x {reason}")
    folder = Path(data_dir)
    print(f"wrote {folder / 'posters.csv'} ({counts.total():,} rows) and {folder / 'posters'}")


def name_settings(listings):
    """Return the constants that say where the posters are, for a message."""
    return " and ".join(source.setting for _, source in listings)


def exit_if_too_few_posters(counts, listings):
    """Exit with status 1 if over 2 % of the posters failed, or if none was found.

    Args:
        counts: a Counter {status: movies}.
        listings: see `download_posters`.

    Raises:
        SystemExit: the line says which command to run.
    """
    settings = name_settings(listings)
    if counts["failed"] > MAX_FAILED * counts.total():
        sys.exit(
            f"{counts['failed']:,} of {counts.total():,} posters failed. Check the network and "
            f"{settings}; to retry them, run: python database.py"
        )
    if not counts["ok"]:
        sys.exit(f"No poster was found. Check {settings}, then run: python database.py")
