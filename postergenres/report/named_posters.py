"""Read posters from files, folders and URLs while earlier ones are being predicted."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from postergenres.download.client import Client, Limits
from postergenres.download.metadata import is_url
from postergenres.download.sources import list_images
from postergenres.poster_model import BATCH, ReadPoster, read_ahead

LIMITS = Limits(  # of a poster from a URL
    timeout=10,
    retries=2,
    time_limit=60,
    rate_limit=40,
    max_bytes=20_000_000,
    max_pixels=50_000_000,
)
DOWNLOADS = 16  # at a time


def find_posters(names: Iterable[str | Path]) -> list[str]:
    """Return the names in order, each folder replaced by the images directly in it, by name.

    A folder without images stays in the list, so that it becomes a row with an error.
    """
    found = []
    for name in map(str, names):
        images = list_images(name) if os.path.isdir(name) else []
        found += map(str, images or [name])
    return found


def read_batches(
    names: Sequence[str],
    read: Callable[[str | bytes, str], ReadPoster],
    batch_size: int = BATCH,
    fetch: Callable | None = None,
) -> Iterator[list[ReadPoster]]:
    """Read paths and URLs in threads, up to two batches before the caller needs them.

    `read` is `PosterModel.read`; `fetch` is `Client.fetch` unless it is given.
    """
    has_urls = any(map(is_url, names))
    if has_urls and fetch is None:
        fetch = Client(LIMITS).fetch

    def read_one(name: str) -> ReadPoster:
        if os.path.isdir(name):
            return ReadPoster(name, error="no images in this folder")
        if not (fetch and is_url(name)):
            return read(name, name)
        answer = fetch(name)
        if answer.error:
            return ReadPoster(name, error=answer.error)
        return read(answer.body, name)

    return read_ahead(read_one, names, batch_size, DOWNLOADS if has_urls else None)
