"""Step 1: download the posters that a movie metadata CSV lists.

    python database.py

Reads   METADATA_CSV (metadata.py says which forms it may have); it is never written
Writes  DATA_DIR/posters/<id>.jpg, the bytes as served, and DATA_DIR/posters.csv: one row per
        movie, failures included. Stopped at any moment and run again, it goes on where it was; a
        later run asks only for what failed or is new.
Takes   seconds for the demonstration set; RATE_LIMIT allows 15,000 posters in seven minutes.
"""

import sys
from pathlib import Path

from postergenres.download.client import Limits
from postergenres.download.metadata import MetadataError, Movies
from postergenres.download.posters import download, report
from postergenres.download.sources import find_source
from postergenres.files import lock_file

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
        with lock_file(data_dir / "posters.lock", busy):
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


# --- fetching -------------------------------------------------------------------------------------


if __name__ == "__main__":
    main()
