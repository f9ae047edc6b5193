"""Posters that the user names: files, folders and URLs, decoded while others are predicted."""

import asyncio
import io
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from database import list_images
from decoding import try_decode
from download import Downloader, Limits
from metadata import is_url

# What a poster may cost that comes from a URL.
LIMITS = Limits(
    timeout=10,
    retries=2,
    time_limit=60,
    rate_limit=40,
    max_bytes=20_000_000,
    max_pixels=50_000_000,
)


def find_posters(names):
    """The images named, in order; a folder stands for the images directly in it, by name."""
    found = []
    for name in map(str, names):
        images = list_images(name) if not is_url(name) and Path(name).is_dir() else []
        found += map(str, images or [name])  # a folder without images is a row with its error
    return found


def decode_batches(names, image_height, image_width, batch_size):
    """Decode posters, two batches ahead of the one that is asked for.

    Args:
        names: paths and URLs.

    Yields:
        A list of (pixels, "") and (None, the reason why there are none) for each batch; pixels
        are uint8 (H, W, 3), what the store would have of the same file.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool, ThreadPoolExecutor(1) as reader:

        def decode(name, body):
            if isinstance(body, str):
                return None, body
            return try_decode(name if body is None else io.BytesIO(body), image_height, image_width)

        def read(batch):
            urls = [name for name in batch if is_url(name)]
            bodies = asyncio.run(fetch(urls)) if urls else {}
            return list(pool.map(decode, batch, map(bodies.get, batch)))

        ahead = deque()
        for start in range(0, len(names), batch_size):
            ahead.append(reader.submit(read, names[start : start + batch_size]))
            if len(ahead) > 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


async def fetch(urls, workers=16):
    """The images at these URLs: {url: its bytes, or the reason why there are none}."""
    bodies = {}

    async def fetch_one(downloader, url):
        status, error = await downloader.fetch(url, lambda body: bodies.update({url: body}))
        if status != "ok":
            bodies[url] = error

    async with Downloader(workers, LIMITS) as downloader:
        await asyncio.gather(*(fetch_one(downloader, url) for url in dict.fromkeys(urls)))
    return bodies
