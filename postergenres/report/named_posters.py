"""Read posters from files, folders and URLs while earlier ones are being predicted."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from postergenres.dataset.decoding import try_decode
from postergenres.download.client import Client, Limits
from postergenres.download.metadata import is_url
from postergenres.download.sources import list_images
from postergenres.words.reading import Words, select_texts

import numpy as np

LIMITS = Limits(  # of a poster from a URL
    timeout=10,
    retries=2,
    time_limit=60,
    rate_limit=40,
    max_bytes=20_000_000,
    max_pixels=50_000_000,
)
DOWNLOADS = 16  # at a time


@dataclass(frozen=True)
class ReadPoster:
    """A poster that was read, or why it could not be."""

    name: str  # path or URL
    pixels: np.ndarray | None = None  # uint8 (H, W, 3), the same as in a store of that poster
    error: str = ""  # empty if it was read
    words: Words = ()  # text and confidence of each line of text on it

    @property
    def text(self) -> str:
        """The words that are used, for people."""
        return " / ".join(select_texts(self.words))


def find_posters(names: Iterable[str | Path]) -> list[str]:
    """Return the names in order, each folder replaced by the images directly in it, by name.

    A folder without images stays in the list, so that it becomes a row with an error.
    """
    found = []
    for name in map(str, names):
        images = list_images(name) if os.path.isdir(name) else []
        found += map(str, images or [name])
    return found


def read_poster(
    name: str, source: str | bytes, size: tuple[int, int], read_words: Callable | None = None
) -> ReadPoster:
    """Decode a poster from its path or bytes to a height and width, and read its words.

    `read_words` is `words.reading.read_words`, or None to read no words.
    """
    pixels, error = try_decode(source, *size)
    return ReadPoster(name, pixels, error, read_words(source) if read_words and not error else ())


def read_batches(
    names: Sequence[str],
    size: tuple[int, int],
    batch_size: int,
    read_words: Callable | None = None,
    fetch: Callable | None = None,
) -> Iterator[list[ReadPoster]]:
    """Read paths and URLs in threads, up to two batches before the caller needs them.

    See `read_poster` for `size` and `read_words`; `fetch` is `Client.fetch` unless it is given.
    """
    has_urls = any(map(is_url, names))
    if has_urls and fetch is None:
        fetch = Client(LIMITS).fetch

    def read(name: str) -> ReadPoster:
        if os.path.isdir(name):
            return ReadPoster(name, error="no images in this folder")
        if not (fetch and is_url(name)):
            return read_poster(name, name, size, read_words)
        answer = fetch(name)
        if answer.error:
            return ReadPoster(name, error=answer.error)
        return read_poster(name, answer.body, size, read_words)

    pool = ThreadPoolExecutor(DOWNLOADS if has_urls else os.cpu_count())
    ahead = deque()
    try:
        for start in range(0, len(names), batch_size):
            ahead.append([pool.submit(read, name) for name in names[start : start + batch_size]])
            if len(ahead) > 2:
                yield [future.result() for future in ahead.popleft()]
        while ahead:
            yield [future.result() for future in ahead.popleft()]
    finally:  # do not wait for slow hosts
        pool.shutdown(wait=False, cancel_futures=True)
