"""Posters that the user names: files, folders and URLs, decoded while others are predicted."""

import asyncio
import io
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from postergenres.dataset.decoding import try_decode
from postergenres.download.client import Downloader, Limits
from postergenres.download.metadata import is_url
from postergenres.download.sources import list_images

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
        images = list_images(name) if os.path.isdir(name) else []
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
    pool, fetcher = ThreadPoolExecutor(os.cpu_count()), Fetcher()

    def decode(name, fetched):
        if fetched is None:
            return try_decode(name, image_height, image_width)
        body, error = fetched.result()
        return (None, error) if error else try_decode(io.BytesIO(body), image_height, image_width)

    def submit(name):
        return pool.submit(decode, name, fetcher.start(name) if is_url(name) else None)

    ahead = deque()
    try:
        for start in range(0, len(names), batch_size):
            ahead.append([submit(name) for name in names[start : start + batch_size]])
            if len(ahead) > 2:
                yield [one.result() for one in ahead.popleft()]
        while ahead:
            yield [one.result() for one in ahead.popleft()]
    finally:  # also when the user presses Ctrl-C
        fetcher.stop()
        pool.shutdown(wait=False, cancel_futures=True)


class Fetcher:
    """Fetches images from URLs in a thread of its own, as step 1 does."""

    def __init__(self, workers=16):
        self.workers, self.loop, self.downloader = workers, None, None

    def start(self, url):
        """A Future of (bytes, "") or (None, the reason why there are none)."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self.fetch(url), self.loop)

    async def fetch(self, url):
        if self.downloader is None:
            self.downloader = Downloader(self.workers, LIMITS)
            await self.downloader.__aenter__()
        bodies = []
        _, error = await self.downloader.fetch(url, bodies.append)
        return (None, error) if error else (bodies[0], "")

    def stop(self):
        """Give up what is not there yet."""
        if self.loop is not None:
            asyncio.run_coroutine_threadsafe(self.close(), self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)

    async def close(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.downloader is not None:
            await self.downloader.__aexit__()
