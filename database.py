"""Step 1: download the posters that a movie metadata CSV lists.

    python database.py

Reads   METADATA_CSV (metadata.py says which forms it may have); it is never written
Writes  DATA_DIR/posters/<id>.jpg, the bytes as served, and DATA_DIR/posters.csv: one row per
        movie, failures included. Stopped at any moment and run again, it goes on where it was; a
        later run asks only for what failed or is new.
Takes   seconds for the demonstration set; RATE_LIMIT allows 15,000 posters in seven minutes.
"""

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from download import Downloader, Limits
from files import locking, replacing
from manifest import Known, open_manifest, poster_path
from metadata import MetadataError, Movies, is_url
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
        (data_dir / "posters").mkdir(parents=True, exist_ok=True)
        busy = f"Another run is downloading to {data_dir}. When it has ended, run this one again"
        with locking(data_dir / "posters.lock", busy):
            counts, reasons = download(movies, source, data_dir, workers, limits)
        report(counts, reasons, data_dir)
    except KeyboardInterrupt:
        print("Stopped. To go on from here, run: python database.py", file=sys.stderr)
        sys.exit(130)
    except MetadataError as error:
        sys.exit(f"{error}. Check METADATA_CSV in database.py, then run: python database.py")
    except OSError as error:  # a full disk, a folder that may not be written
        sys.exit(f"Stopped: {error}. When that is mended, go on with: python database.py")


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

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif"]  # of images in a folder; also in capitals


@dataclass(frozen=True)
class Source:
    """Where the posters of so many movies are: in a folder, or under URLs and this prefix."""

    movies: int
    folder: str | None = None
    prefix: str = ""


def find_source(movies, poster_base):
    """Go through the movies once to see where their posters are. Returns a `Source`.

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
    if not count:
        sys.exit(f"{movies.path} lists no movies. Check METADATA_CSV, then run: python database.py")
    if folder is None and not has_urls:
        check_base(movies, base)
    if base and has_urls and not is_used and not is_url(base):
        print(f"{base} holds none of these movies: using the URLs in the CSV")
        folder = None
    return Source(count, folder, base if is_url(base) else "")


def check_base(movies, base):
    """Exit where there are neither images in a folder nor URLs, nor what would make URLs."""
    again = "Set POSTER_BASE in database.py, then run: python database.py"
    if not movies.has_posters:
        sys.exit(
            f"{movies.path} lists no posters: it has no column poster_path or Poster. A folder of "
            f"images named by id would do. {again}"
        )
    if not is_url(base):
        sys.exit(
            f"POSTER_BASE ({base or None}) is neither a URL nor a folder, and the CSV lists no "
            f"poster URLs. {again}"
        )


def locate(movie, source):
    """A movie's row of posters.csv: `url` says where its poster is, a URL or a path.

    `status` is empty where the poster is yet to be fetched, and `gone` where there is none.
    """
    url, error = find_url(movie, source)
    row = {key: movie[key] for key in ("id", "title", "genres")}
    return row | {"url": url, "status": "" if url else "gone", "error": error}


def find_url(movie, source):
    """Where a movie's poster is, as (URL or path, ""), or ("", the reason why it is nowhere).

    What the CSV writes never leads out of a folder: a name is that of one file directly in it.
    """
    listed = movie["poster"]
    # Windows takes CON for a device, with or without a suffix.
    if not re.fullmatch(
        r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[\w-]{1,100}", movie["id"], re.A | re.I
    ):
        return "", "the id cannot name a file"
    if source.folder is not None:
        path = find_image(source.folder, movie)
        return path, "" if path else f"no image in {source.folder}"
    if not listed:
        return "", "no poster listed"
    if is_url(listed):
        return (listed, "") if len(listed) <= 4000 else ("", "the poster URL is too long")
    if re.match(r"[a-z][a-z0-9+.-]*:", listed, re.I):
        return "", "the poster is listed under another scheme than http"
    if not source.prefix:
        return "", "the poster is listed as a path, and POSTER_BASE is no URL"
    path = listed.removeprefix("/")
    if not all(map(is_file_name, path.split("/"))):
        return "", "the poster path does not name a file"
    return f"{source.prefix.rstrip('/')}/{path}", ""


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


if __name__ == "__main__":
    main()
