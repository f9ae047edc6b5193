"""Download the posters and write the manifest."""

import asyncio
import sys
from functools import partial

from postergenres.download.client import Downloader
from postergenres.download.manifest import Known, open_manifest, poster_path
from postergenres.download.metadata import is_url
from postergenres.download.sources import locate
from postergenres.files import replacing
from postergenres.progress import show_progress


def download(movies, source, data_dir, workers, limits):
    """Fetch what is not there yet and write posters.csv. Returns Counters: statuses, reasons."""
    for leftover in (data_dir / "posters").glob("*.part.jpg"):
        leftover.unlink()
    known = Known(data_dir)
    rows = (known.settle(locate(movie, source)) for movie in movies)
    with (
        open_manifest(data_dir, known) as manifest,
        show_progress(source.movies, "poster") as progress,
    ):
        asyncio.run(fetch_all(rows, data_dir, workers, limits, manifest, progress))
    return manifest.counts, manifest.reasons


async def fetch_all(rows, data_dir, workers, limits, manifest, progress):
    """Fetch the posters of the rows that have no status yet, and enter all rows in the manifest."""
    numbered = enumerate(rows)

    async def work(downloader):
        for number, row in numbered:  # each takes the next
            is_new = row["status"] == ""
            if is_new:
                get = downloader.fetch if is_url(row["url"]) else downloader.copy
                save = partial(save_poster, poster_path(data_dir, row["id"]))
                row["status"], row["error"] = await get(row["url"], save)
            else:
                await asyncio.sleep(0)  # lets the downloads go on
            manifest.enter(number, row, is_new)
            progress.n += 1

    async def show():
        while True:
            progress.set_postfix(manifest.counts, refresh=False)
            progress.update(0)
            await asyncio.sleep(0.5)

    async with Downloader(workers, limits) as downloader:
        # Eight times more than download at a time: they wait for their next attempts.
        tasks = [asyncio.create_task(work(downloader)) for _ in range(8 * workers)]
        shower = asyncio.create_task(show())
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, shower):
                task.cancel()
            await asyncio.gather(*tasks, shower, return_exceptions=True)
    progress.set_postfix(manifest.counts, refresh=False)


def save_poster(path, body):
    with replacing(path) as part:
        part.write_bytes(body)


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
