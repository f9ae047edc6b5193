"""Fetch images from URLs and files, many at a time: politely, with retries, whole or not at all."""

import asyncio
import io
import itertools
import os
import random
import socket
import ssl
import threading
import time
import warnings
from collections import defaultdict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from urllib.request import getproxies

import aiohttp
import certifi
from PIL import Image
from yarl import URL

MAX_REDIRECTS = 10
MAX_PAUSE = 8  # seconds between two attempts, where the host does not ask for more
HOPELESS = 20  # images in a row that got no connection, after which a host is left alone
SMALL = 300_000  # pixels that are decoded in a few milliseconds
MAX_SCANS = 100  # of a JPEG; a progressive one has ten, each costs as much as the whole image


@dataclass(frozen=True)
class Limits:
    """What an image may cost.

    timeout: seconds to connect, and seconds without a further byte.
    retries: further attempts where they may help.
    time_limit: seconds for one image, all its attempts and pauses together.
    rate_limit: requests per second and host, or None; a host on this machine has no limit.
    max_bytes, max_pixels: the largest image.
    """

    timeout: float
    retries: int
    time_limit: float
    rate_limit: float | None
    max_bytes: int
    max_pixels: int


@dataclass
class Host:
    """What a run has learnt of a port of a host."""

    has_answered: bool = False
    unconnected: int = 0  # images in a row that got no connection


@dataclass(frozen=True)
class Answer:
    """What came of one attempt."""

    status: str  # ok; gone, where asking again is useless; failed
    error: str = ""
    may_change: bool = False  # whether another attempt may help
    is_connected: bool = True
    retry_after: float = 0  # seconds that the host asks to wait
    body: bytes | None = None


class Downloader:
    """Fetches images, `workers` at a time, within `limits`. Use it in `async with`."""

    def __init__(self, workers, limits):
        self.limits = limits
        self.slots = asyncio.Semaphore(workers)
        self.processors = asyncio.Semaphore(os.cpu_count() or 1)
        self.hosts = defaultdict(Host)  # under (host, port)
        self.turns = defaultdict(float)  # when each host may be asked again
        # `find_fault` counts the pixels itself, before it decodes any.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

    async def __aenter__(self):
        certificates = ssl.create_default_context()
        if not certificates.cert_store_stats()["x509_ca"]:  # as on macOS
            certificates.load_verify_locations(certifi.where())
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=Resolver(), ssl=certificates),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": f"movie-poster-genres {aiohttp.http.SERVER_SOFTWARE}",
                "Accept-Encoding": "identity",
            },
            trust_env=bool(getproxies()),  # to look for proxies costs as much as a request
        )
        self.session._retry_connection = False  # it would ask again by itself, and not count it
        return self

    async def __aexit__(self, *exception):
        await self.session.close()

    async def fetch(self, url, save):
        """Fetch an image from an http(s) URL, with retries, and hand its bytes to `save`.

        While it waits for its next attempt another image takes its place.

        Args:
            url: the URL.
            save: a function of the bytes, called in any thread; what it raises is raised here.

        Returns:
            (status, error): status `ok`; `gone` where asking again is useless; or `failed`.
        """
        try:
            address = URL(url)
            host = self.hosts[address.host, address.port]
        except ValueError as error:
            return "gone", describe(error)
        spent = 0.0
        for attempt in itertools.count():
            if host.unconnected >= HOPELESS:
                return "failed", f"not asked: no connection to its host, {HOPELESS} times in a row"
            async with self.slots:
                await self.wait_for_turn(address.host)
                start = time.monotonic()
                answer = await self.ask(address, self.limits.time_limit - spent)
                spent += time.monotonic() - start
            if answer.body is not None:
                await asyncio.sleep(0)  # the next request goes out before this body is checked
                answer = await self.keep(answer.body, save)
            pause = min(0.5 * 2**attempt, MAX_PAUSE) * random.uniform(0.8, 1.2)
            pause = max(pause, answer.retry_after)
            if answer.is_connected:
                host.has_answered, host.unconnected = True, 0
            # A host that did answer is waited for: the network may be back in a moment.
            retries = self.limits.retries
            is_last = attempt >= retries and (answer.is_connected or not host.has_answered)
            if is_last or not answer.may_change or spent + pause > self.limits.time_limit:
                host.unconnected += not answer.is_connected
                return answer.status, answer.error
            spent += pause
            await asyncio.sleep(pause)

    async def copy(self, path, save):
        """Hand the bytes of an image file to `save`. Returns (status, error), as `fetch` does."""
        async with self.slots:
            answer = await in_daemon_thread(read_file, path, self.limits.max_bytes)
        if answer.body is not None:
            answer = await self.keep(answer.body, save)
            answer = answer if answer.status == "ok" else Answer("gone", answer.error)
        return answer.status, answer.error

    async def wait_for_turn(self, host):
        """Wait until the rate limit lets this host be asked; `host` is None in a URL without."""
        if self.limits.rate_limit and not is_loopback(host or ""):
            now = time.monotonic()
            turn = max(now, self.turns[host])
            self.turns[host] = turn + 1 / self.limits.rate_limit
            await asyncio.sleep(turn - now)

    async def ask(self, url, seconds):
        """Ask once for an image, within so many seconds. Returns an `Answer`."""
        try:
            return await self.follow(url, time.monotonic() + seconds)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Answer("failed", describe(error), may_change=True, is_connected=False)
        except ValueError as error:  # not a URL; aiohttp.InvalidURL is one of these
            return Answer("gone", describe(error))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            return Answer("failed", describe(error), may_change=True)

    async def follow(self, url, end):
        """The answer at the end of the redirects; to http(s) only, each in its host's turn."""
        timeout = self.limits.timeout
        for _ in range(MAX_REDIRECTS + 1):
            left = max(end - time.monotonic(), 0.001)  # 0 would be no limit
            async with self.session.get(
                url,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(left, timeout, timeout, timeout),
            ) as response:
                if response.status not in (301, 302, 303, 307, 308):
                    return await read(response, self.limits.max_bytes)
                url = response.url.join(URL(response.headers.get("Location", "")))
            if url.scheme not in ("http", "https"):
                return Answer("gone", f"a redirect to {url.scheme}:")
            await self.wait_for_turn(url.host)
        return Answer("gone", f"more than {MAX_REDIRECTS} redirects")

    async def keep(self, body, save):
        """Check and save a body: at once, or in a thread if it is so large as to hold up others.

        At once takes 0.5 ms, a thread 1.5 ms, since it and the event loop wait for one lock.
        """
        most = self.limits.max_pixels
        answer = check_and_save(body, save, min(most, SMALL))
        if answer.error.startswith("too large") and most > SMALL:
            async with self.processors:
                answer = await in_daemon_thread(check_and_save, body, save, most)
        return answer


async def in_daemon_thread(function, *arguments):
    """Run a function in a thread that neither asyncio nor the interpreter waits for.

    Without a network it takes half a minute to look up a name, and a large image takes seconds to
    decode; neither can be interrupted when the user presses Ctrl-C.
    """
    future = Future()

    def work():
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wrap_future(future)


class Resolver(aiohttp.abc.AbstractResolver):
    """Looks names up as aiohttp does, but in daemon threads."""

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        found = await in_daemon_thread(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        return [
            {
                "hostname": host,
                "host": address[0],
                "port": address[1],
                "family": family,
                "proto": protocol,
                "flags": socket.AI_NUMERICHOST,
            }
            for family, _, protocol, _, address in found
        ]

    async def close(self):
        pass


async def read(response, max_bytes):
    """The `Answer` that a response is, with its body where that may be an image."""
    status, error = response.status, f"HTTP {response.status}"
    if status != 200 and 0 < (response.content_length or 0) <= 65536:
        with suppress(aiohttp.ClientError, asyncio.TimeoutError):
            await response.read()  # the connection is of use again after its page only
    if status in (404, 410):
        return Answer("gone", error)
    if status in (408, 429) or status >= 500:
        wait = retry_after(response.headers.get("Retry-After", ""))
        return Answer("failed", error, may_change=True, retry_after=wait)
    if status != 200:
        return Answer("failed", error)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if max(len(body), response.content_length or 0) > max_bytes:
            return Answer("gone", f"too large: over {max_bytes:,} bytes")
    return Answer("ok", body=bytes(body))


def retry_after(value):
    """The seconds that a Retry-After header asks for, as a number or a date; 0 where it does not.

    Source: RFC 9110, section 10.2.3.
    """
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


@lru_cache
def is_loopback(host):
    """Whether a host name or address is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def read_file(path, max_bytes):
    """The `Answer` that a file is, with its bytes."""
    try:
        if os.path.getsize(path) > max_bytes:
            return Answer("gone", f"too large: over {max_bytes:,} bytes")
        return Answer("ok", body=Path(path).read_bytes())
    except OSError as error:
        return Answer("failed", describe(error))


def check_and_save(body, save, max_pixels):
    """Save a body that is a whole image. Returns an `Answer`.

    What is not an image may become one, since a host under load answers with a page; what is cut
    short is an image that the next run asks for again.
    """
    fault = find_fault(body, max_pixels)
    if fault is None:
        save(body)
        return Answer("ok")
    status = "failed" if fault.startswith("cut short") else "gone"
    return Answer(status, fault, may_change=not fault.startswith("too large"))


def find_fault(body, max_pixels):
    """Why these bytes are not a whole image, or None where Pillow decodes them to the last one."""
    try:
        # No other formats: Pillow would hand an EPS file to Ghostscript.
        with Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
            if image.width * image.height > max_pixels:
                return f"too large: {image.width} x {image.height} pixels"
            if image.format in ("JPEG", "MPO") and body.count(b"\xff\xda") > MAX_SCANS:
                return f"not an image: over {MAX_SCANS} scans"
            image.draft("RGB", (1, 1))  # reads every byte of a JPEG, computes 1 pixel in 64
            image.load()
    except Image.DecompressionBombError:
        return f"too large: over {max_pixels:,} pixels"
    except Image.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # on broken files the decoders raise whatever they stumble over
        is_short = "truncated" in str(error).lower()
        return f"{'cut short' if is_short else 'not an image'}: {describe(error)}"
    return None


def describe(error):
    """An exception as one short line; its class says more than the text of what it wraps."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
