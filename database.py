"""Step 1: download the posters that a movie metadata CSV lists.

    python database.py

Reads   METADATA_CSV and TRAIN_ONLY_CSV, which are never modified; docs/data-steps.md describes
        the supported formats
Writes  DATA_DIR/posters/<id>.jpg, the bytes as served, and DATA_DIR/posters.csv: one row per
        movie, failures included. A stopped run resumes; a later run requests only the posters
        that failed or are new.
Takes   seconds for the demonstration set; RATE_LIMIT allows 15,000 posters in six minutes.
"""

from pathlib import Path

from postergenres.download.client import Client, Limits
from postergenres.download.manifest import write_manifest
from postergenres.download.posters import (
    download_posters,
    exit_if_too_few_posters,
    print_summary,
)
from postergenres.download.sources import open_listings
from postergenres.settings import (
    Bytes,
    Count,
    File,
    Folder,
    Pixels,
    Rate,
    Retries,
    Seconds,
    Workers,
    checked,
    run_from_shell,
)
from postergenres.step import step

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # every step reads and writes here; change it in all to keep two runs apart
METADATA_CSV = "data/sample/movies_metadata.csv"  # the list of movies; set it to your own CSV
POSTER_BASE = "data/sample/posters"  # folder or URL prefix; None if the CSV has complete URLs
TRAIN_ONLY_CSV = None  # or a second CSV: its movies are only trained on, never validated or tested
TRAIN_ONLY_POSTERS = None  # where its posters are, like POSTER_BASE
LIMIT = None  # movies, from the top of each CSV; 500 gives a first look at a large one
WORKERS = 16  # downloads at a time; lower it if the host asks for fewer
RATE_LIMIT = 40  # requests per second to one host; None if the host is yours
TIMEOUT = 10  # seconds without new data before an attempt fails; raise it for a slow host
RETRIES = 4  # further attempts per poster, 0.5, 1, 2, 4 ... seconds apart; more on a bad network
TIME_LIMIT = 60  # seconds for one poster, including all attempts and pauses
MAX_BYTES = 20_000_000  # larger files are rejected; a poster has about 100,000 bytes
MAX_PIXELS = 50_000_000  # larger images are rejected, because decoding them could exhaust memory
# --------------------------------------------------------------------------------------------------


@checked
def main(
    data_dir: Folder = DATA_DIR,
    metadata_csv: File = METADATA_CSV,
    poster_base: Folder | None = POSTER_BASE,
    train_only_csv: File | None = TRAIN_ONLY_CSV,
    train_only_posters: Folder | None = TRAIN_ONLY_POSTERS,
    limit: Count | None = LIMIT,
    workers: Workers = WORKERS,
    rate_limit: Rate | None = RATE_LIMIT,
    timeout: Seconds = TIMEOUT,
    retries: Retries = RETRIES,
    time_limit: Seconds = TIME_LIMIT,
    max_bytes: Bytes = MAX_BYTES,
    max_pixels: Pixels = MAX_PIXELS,
) -> None:
    """Download the posters and write posters.csv."""
    data_dir = Path(data_dir)
    limits = Limits(
        timeout=timeout,
        retries=retries,
        time_limit=time_limit,
        rate_limit=rate_limit,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
    )
    client = Client(limits)
    with step("database", data_dir):
        listings = open_listings(
            metadata_csv, poster_base, train_only_csv, train_only_posters, limit=limit
        )
        posters = download_posters(listings, data_dir, client, workers)
        summary = write_manifest(posters, data_dir, has_train_only=len(listings) > 1)
        print_summary(summary, client, data_dir)
        exit_if_too_few_posters(summary, listings)


if __name__ == "__main__":
    run_from_shell(main)
