"""Read posters from files, folders and URLs while earlier ones are being predicted."""

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from postergenres.dataset.decoding import try_decode
from postergenres.download.client import Downloader, Limits
from postergenres.download.metadata import is_url
from postergenres.download.sources import list_images

LIMITS = Limits(  # of a poster from a URL
    timeout=10,
    retries=2,
    time_limit=60,
    rate_limit=40,
    max_bytes=20_000_000,
    max_pixels=50_000_000,
)
DOWNLOADS = 16  # at a time


def find_posters(names):
    """Return the posters that a user names, in order, as strings.

    A folder is replaced by the images directly in it, sorted by name. A folder without images stays
    in the list, so that it becomes a row with an error.
    """
    found = []
    for name in map(str, names):
        images = list_images(name) if os.path.isdir(name) else []
        found += map(str, images or [name])
    return found


def decode_batches(names, image_height, image_width, batch_size, read=None):
    """Decode posters in threads, up to two batches before the caller needs them.

    Args:
        names: paths and URLs.
        image_height, image_width: pixels.
        batch_size: the number of posters in a batch.
        read: `words.reading.read_words`; None to read no words.

    Yields:
        A list for each batch, with (pixels, "", words) for each poster, or (None, error, []) if it
        cannot be read. The pixels are uint8 (H, W, 3), the same as in a store of that poster.
    """
    pool, fetcher = ThreadPoolExecutor(os.cpu_count()), Fetcher()

    def decode(name, fetched):
        source, error = (name, "") if fetched is None else fetched.result()
        if error:
            return None, error, []
        pixels, error = try_decode(source, image_height, image_width)
        return pixels, error, read(source) if read and not error else []

    def submit(name):
        return pool.submit(decode, name, fetcher.start(name) if is_url(name) else None)

    ahead = deque()
    try:
        for start in range(0, len(names), batch_size):
            ahead.append([submit(name) for name in names[start : start + batch_size]])
            if len(ahead) > 2:
                yield [future.result() for future in ahead.popleft()]
        while ahead:
            yield [future.result() for future in ahead.popleft()]
    finally:  # also after Ctrl-C: do not wait for slow hosts
        fetcher.stop()
        pool.shutdown(wait=False, cancel_futures=True)


class Fetcher:
    """Fetch images from URLs, in an event loop that runs in its own thread.

    Args:
        limits: the `Limits`.
        public_only: see `Downloader`.
    """

    def __init__(self, limits=LIMITS, public_only=False):
        self.limits, self.public_only = limits, public_only
        self.loop, self.thread, self.downloader = None, None, None
        self.exit_stack = AsyncExitStack()

    def start(self, url):
        """Start to fetch an image; return a Future of (bytes, "") or (None, error)."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
            self.thread.start()
            self.submit(self.open()).result()
        return self.submit(self.fetch(url))

    def stop(self):
        """Cancel all fetches that have not finished, and end the thread."""
        if self.loop is not None:
            self.submit(self.close()).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def submit(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    async def open(self):
        downloader = Downloader(DOWNLOADS, self.limits, public_only=self.public_only)
        self.downloader = await self.exit_stack.enter_async_context(downloader)

    async def fetch(self, url):
        bodies = []
        _, error = await self.downloader.fetch(url, bodies.append)
        return (None, error) if error else (bodies[0], "")

    async def close(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.exit_stack.aclose()
