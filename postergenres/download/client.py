"""Fetch images from URLs and files: many at a time, with retries and a rate limit per host."""

import asyncio
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
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from urllib.request import getproxies

from postergenres.download.addresses import NotPublic, open_public_socket
from postergenres.download.faults import Fault, exception_line
from postergenres.download.images import check_image
from postergenres.download.metadata import find_host

import aiohttp
import certifi
from PIL import Image
from yarl import URL

MAX_REDIRECTS = 10
MAX_PAUSE = 8  # seconds between two attempts, unless the host asks for more
MAX_PAGES = 10  # pages in a row from a host, after which it is left alone
FIRST_PROBE = 16  # requests not sent to a host without images, before one is sent; then 32, 64 ...
MAX_UNREACHABLE = 20  # images in a row without a connection, after which no more requests are sent
SMALL_IMAGE = 300_000  # pixels; up to this size, decoding takes a few milliseconds
MAX_ERROR_PAGE = 65536  # bytes of an error page that are read in order to keep the connection


@dataclass(frozen=True)
class Limits:
    """The limits for fetching one image.

    timeout: seconds to connect, and seconds without new data.
    retries: further attempts, if they may help.
    time_limit: seconds for one image, all attempts and pauses together.
    rate_limit: requests per second to one host, or None; this machine itself has no limit.
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
    """The state of one port of a host during a run."""

    has_responded: bool = False
    unreachable: int = 0  # images in a row without a connection
    good_url: str | None = None  # of an image that came, in this run or a previous one
    pages: int = 0  # unconfirmed pages in a row
    skipped: int = 0  # images that were not requested, because of the pages
    confirming: asyncio.Lock = field(default_factory=asyncio.Lock)  # one page at a time


@dataclass(frozen=True)
class Attempt:
    """The result of one attempt to fetch an image."""

    status: str  # ok, gone or failed, as in posters.csv
    error: str = ""
    may_change: bool = False  # whether another attempt may help
    is_connected: bool = True
    retry_after: float = 0  # seconds that the host asks to wait
    body: bytes | None = None
    is_page: bool = False  # no image of any kind, or redirects without an end


class Downloader:
    """Fetch images within limits. Use it in `async with`.

    Args:
        workers: the number of images to fetch at a time.
        limits: the `Limits`.
        good_urls: {host and port, as in the URLs: URL of an image that a previous run fetched}.
        public_only: whether to refuse this machine and its local network. Then no proxy is used,
            because it would look up the hosts itself.

    Attributes:
        is_in_portal: whether a host was left alone, because it sends pages in place of images.
    """

    def __init__(self, workers, limits, good_urls=None, public_only=False):
        self.limits, self.public_only = limits, public_only
        self.good_urls, self.is_in_portal = good_urls or {}, False
        self.download_slots = asyncio.Semaphore(workers)
        self.decoding_slots = asyncio.Semaphore(os.cpu_count() or 1)
        self.hosts = defaultdict(Host)  # {(host, port): Host}
        self.queues = defaultdict(asyncio.Lock)  # {host: held by the request that is next}
        self.next_request = defaultdict(float)  # {host: the time of its next request}
        # check_image() compares the pixels with a limit of its own before it decodes any.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

    async def __aenter__(self):
        certificates = ssl.create_default_context()
        if not certificates.cert_store_stats()["x509_ca"]:  # as on macOS
            certificates.load_verify_locations(certifi.where())
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=Resolver(),
                ssl=certificates,
                socket_factory=open_public_socket if self.public_only else None,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": f"movie-poster-genres {aiohttp.http.SERVER_SOFTWARE}",
                "Accept-Encoding": "identity",
            },
            # Per request, a lookup of proxies takes as long as the request.
            trust_env=bool(getproxies()) and not self.public_only,
            middlewares=[send_once],
        )
        return self

    async def __aexit__(self, *exception):
        await self.session.close()

    async def fetch(self, url, save):
        """Fetch an image from an http(s) URL, with retries, and pass its bytes to `save`.

        Between two attempts another image takes the download slot.

        Args:
            url: the URL.
            save: a function of the bytes. It may run in any thread; its exceptions are raised.

        Returns:
            (status, error): status `ok`; `gone` if another request is useless; or `failed`.
        """
        try:
            address = URL(url)
            host = self.hosts[address.host, address.port]
            host.good_url = host.good_url or self.good_urls.get(find_host(url))
        except ValueError as error:
            return "gone", exception_line(error)
        spent = 0.0
        for retry in itertools.count():
            if host.unreachable >= MAX_UNREACHABLE:
                return "failed", Fault.HOST_UNREACHABLE.format(MAX_UNREACHABLE)
            if host.pages >= MAX_PAGES and not (retry == 0 and is_probed(host)):
                return "failed", Fault.HOST_SENDS_PAGES.format(MAX_PAGES)
            attempt, seconds = await self.request(address, self.limits.time_limit - spent)
            spent += seconds
            if attempt.body is not None:
                await asyncio.sleep(0)  # the next request is sent before this body is checked
                attempt = attempt_of(*await self.check_and_save(attempt.body, save))
            if attempt.is_connected:
                host.has_responded, host.unreachable = True, 0
            pause = choose_pause(retry, attempt)
            if not self.may_retry(retry, attempt, host, spent + pause):
                host.unreachable += not attempt.is_connected
                if attempt.status == "ok":
                    host.good_url, host.pages = url, 0
                elif attempt.is_page and host.good_url is None:
                    self.count_page(host)
                    return "failed", Fault.FIRST_PAGE.format()
                elif attempt.is_page and not await self.confirm_page(host):
                    return "failed", Fault.UNCONFIRMED_PAGE.format()
                return attempt.status, attempt.error
            spent += pause
            await asyncio.sleep(pause)

    async def confirm_page(self, host):
        """Return whether a page in place of an image is the host's last word on this image.

        A network that asks to sign in, perhaps midway, sends pages in place of all images. So
        an image that came before is requested again.
        """
        async with host.confirming:
            if host.pages >= MAX_PAGES:
                return False
            attempt, _ = await self.request(URL(host.good_url), self.limits.time_limit)
            if attempt.body is not None:
                fault, _ = await self.check_and_save(attempt.body, lambda body: None)
                if fault is None:
                    host.pages = 0
                    return True
            self.count_page(host)
            return False

    def count_page(self, host):
        """Count a page that may not be the host's last word on an image."""
        host.pages += 1
        self.is_in_portal = self.is_in_portal or host.pages >= MAX_PAGES

    def has_sent_image(self, url):
        """Return whether the host of a URL has sent an image, in this run or a previous one."""
        address = URL(url)
        return self.hosts[address.host, address.port].good_url is not None

    def may_retry(self, retries, attempt, host, seconds):
        """Return whether another attempt follows.

        Args:
            retries: the number of retries so far.
            attempt: the last `Attempt`.
            host: the `Host`. One that responded before is retried until the time limit: the
                network may be back in a moment.
            seconds: the time spent on the image by the start of the next attempt.
        """
        is_last = retries >= self.limits.retries and (
            attempt.is_connected or not host.has_responded
        )
        return attempt.may_change and not is_last and seconds <= self.limits.time_limit

    async def copy(self, path, save):
        """Pass the bytes of an image file to `save`.

        Args:
            path: the file.
            save: a function of the bytes, as for `fetch`.

        Returns:
            (status, error), as from `fetch`.
        """
        async with self.download_slots:
            attempt = await in_daemon_thread(read_image_file, path, self.limits.max_bytes)
        if attempt.body is None:
            return attempt.status, attempt.error
        fault, error = await self.check_and_save(attempt.body, save)
        return "gone" if fault else "ok", error

    @asynccontextmanager
    async def download_slot(self, host):
        """Hold a download slot during the block, from the moment the rate limit permits a request.

        The requests to a host line up: only the first of them waits for the rate limit, without a
        slot, and then for a slot. So a host that is waited for keeps no slot from other hosts, and
        a host that waited for a slot sends no burst.

        Args:
            host: the name of the host, or None if a URL has none.
        """
        if self.limits.rate_limit and not is_loopback(host or ""):
            async with self.queues[host]:
                now = time.monotonic()
                turn = max(now, self.next_request[host])
                await asyncio.sleep(turn - now)
                now = time.monotonic()
                await self.download_slots.acquire()
                turn += time.monotonic() - now
                self.next_request[host] = turn + 1 / self.limits.rate_limit
        else:
            await self.download_slots.acquire()
        try:
            yield
        finally:
            self.download_slots.release()

    async def request(self, url, time_limit):
        """Request an image once and follow redirects, when slots and rate limits permit.

        Args:
            url: the `yarl.URL`.
            time_limit: seconds for the request and its redirects.

        Returns:
            (attempt, seconds): the `Attempt` and its duration without the waits for its turns.
        """
        spent = 0.0
        for _ in range(MAX_REDIRECTS + 1):
            async with self.download_slot(url.host):
                start = time.monotonic()
                result = await self.send(url, time_limit - spent)
                spent += time.monotonic() - start
            if isinstance(result, Attempt):
                return result, spent
            url = result
        error = Fault.TOO_MANY_REDIRECTS.format(MAX_REDIRECTS)
        return Attempt("gone", error, is_page=True), spent

    async def send(self, url, time_limit):
        """Send one request; return an `Attempt`, or the `yarl.URL` that it is redirected to."""
        try:
            return await self.get(url, time_limit)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            if isinstance(getattr(error, "os_error", None), NotPublic):
                return Attempt("gone", Fault.NOT_PUBLIC.format())
            line = exception_line(error)
            return Attempt("failed", line, may_change=True, is_connected=False)
        except ValueError as error:  # not a URL; aiohttp.InvalidURL is a ValueError
            is_its_own = getattr(error, "url", None) in (url, str(url), url.host)
            is_final = is_its_own or not self.session.trust_env  # or else the proxy's
            return Attempt("gone" if is_final else "failed", exception_line(error))
        except ConnectionLost as error:
            return Attempt("failed", exception_line(error.__cause__), may_change=True)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Attempt("failed", exception_line(error), may_change=True)

    async def get(self, url, time_limit):
        """Return the `Attempt` or the `yarl.URL` that a response amounts to."""
        timeout = self.limits.timeout
        async with self.session.get(
            url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(max(time_limit, 0.001), timeout, timeout, timeout),
        ) as response:  # a time limit of 0 would mean none
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                return await read_response(response, self.limits.max_bytes)
            url = response.url.join(URL(location))
        if url.scheme not in ("http", "https"):
            return Attempt("gone", Fault.REDIRECT_SCHEME.format(url.scheme))
        return url

    async def check_and_save(self, body, save):
        """Check a body and save it if it is a complete image.

        A small image is decoded on the event loop, which takes 0.5 ms; a thread would take 1.5 ms,
        because it competes with the loop for the GIL. A large image would hold up the others.

        Returns:
            (fault, error), as from `check_image`.
        """
        most = self.limits.max_pixels
        fault, error = save_if_complete(body, save, min(most, SMALL_IMAGE))
        if fault is Fault.TOO_MANY_PIXELS and most > SMALL_IMAGE:
            async with self.decoding_slots:
                fault, error = await in_daemon_thread(save_if_complete, body, save, most)
        return fault, error


class ConnectionLost(aiohttp.ClientError):
    """The host closed the connection; the cause is aiohttp's error."""


async def send_once(request, handler):
    """Keep aiohttp from sending a request again, because retries are counted here.

    This is a client middleware. After these errors, aiohttp sends a request a second time.

    Raises:
        ConnectionLost: aiohttp would send the request again.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost from error


class Resolver(aiohttp.abc.AbstractResolver):
    """Look up host names as aiohttp's own resolver does, but in daemon threads."""

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


async def in_daemon_thread(function, *arguments):
    """Run a function in a thread that neither asyncio nor the interpreter waits for at its exit.

    Ctrl-C cannot interrupt the lookup of a name, which takes half a minute without a network, or
    the decoding of a large image, which takes seconds.
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


def choose_pause(retries, attempt):
    """Return the seconds before the next attempt: 0.5, 1, 2, 4, 8, 8 ..., with 20 % of jitter.

    Args:
        retries: the number of retries so far.
        attempt: the last `Attempt`; the pause is longer if the host asked for that.
    """
    pause = min(0.5 * 2**retries, MAX_PAUSE) * random.uniform(0.8, 1.2)
    return max(pause, attempt.retry_after)


async def read_response(response, max_bytes):
    """Return the `Attempt` that a response amounts to, with its body if the status is 200."""
    status, error = response.status, Fault.HTTP_STATUS.format(response.status)
    if status != 200 and 0 < (response.content_length or 0) <= MAX_ERROR_PAGE:
        with suppress(aiohttp.ClientError, asyncio.TimeoutError):
            await response.read()  # the connection can be reused only after its page is read
    if status in (404, 410):
        return Attempt("gone", error)
    if status in (408, 429) or status >= 500:
        wait = parse_retry_after(response.headers.get("Retry-After", ""))
        return Attempt("failed", error, may_change=True, retry_after=wait)
    if status != 200:
        return Attempt("failed", error)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if max(len(body), response.content_length or 0) > max_bytes:
            return Attempt("gone", Fault.TOO_MANY_BYTES.format(max_bytes))
    return Attempt("ok", body=bytes(body))


def read_image_file(path, max_bytes):
    """Return an `Attempt` with the bytes of a file."""
    try:
        if os.path.getsize(path) > max_bytes:
            return Attempt("gone", Fault.TOO_MANY_BYTES.format(max_bytes))
        return Attempt("ok", body=Path(path).read_bytes())
    except OSError as error:
        return Attempt("failed", exception_line(error))


def save_if_complete(body, save, max_pixels):
    """Pass a body to `save` if it is a complete image.

    Returns:
        (fault, error), as from `check_image`.
    """
    fault, error = check_image(body, max_pixels)
    if fault is None:
        save(body)
    return fault, error


def attempt_of(fault, error):
    """Return the `Attempt` for a body, from the result of `check_image`.

    A body that is no image is retried, because an overloaded host may send an error page with
    status 200. The next run retries only images that were cut short.
    """
    if fault is None:
        return Attempt("ok")
    status = "failed" if fault is Fault.CUT_SHORT else "gone"
    may_change, is_page = fault is not Fault.TOO_MANY_PIXELS, fault is Fault.NOT_AN_IMAGE
    return Attempt(status, error, may_change=may_change, is_page=is_page)


def is_probed(host):
    """Return whether a request is sent although the host sends pages; count the others.

    Without any image from the host, its first posters may just be missing. So a few later ones
    are requested: the 16th that was not, the 32nd, the 64th ...
    """
    host.skipped += 1
    is_power_of_two = host.skipped & (host.skipped - 1) == 0
    return host.good_url is None and host.skipped >= FIRST_PROBE and is_power_of_two


def parse_retry_after(value):
    """Return the seconds to wait that a Retry-After header asks for, or 0 if it is invalid.

    Args:
        value: a number of seconds or a date.

    Source: RFC 9110, section 10.2.3.
    """
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


@lru_cache
def is_loopback(host):
    """Return whether a host name or address is that of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
