"""Fetch images from URLs with requests: politely, with retries, and within limits.

What an answer means is decided by `read_answer`, `check_body` and `Client.request`, for the columns
status and error of posters.csv (the table is also in docs/data-steps.md):

    answer                                           status    what follows
    -----------------------------------------------  --------  --------------------------------
    a complete image                                 `ok`      never requested again
    HTTP 404 or 410, larger than the limits, no URL  `gone`    never requested again
    HTTP 408, 429 or 5xx, no connection, a timeout,  `failed`  retried, and requested again by
      cut short, a body that is no image                       the next run
    everything else, such as HTTP 403                `failed`  requested again by the next run
"""

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from postergenres.download.images import NOT_AN_IMAGE, TOO_LARGE, check_image, shorten_error
from postergenres.download.metadata import is_url

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

MAX_REDIRECTS = 10
MAX_PAUSE = 8  # seconds between two attempts, unless the host asks for more
MAX_FAILURES = 20  # in a row, after which a host is left alone
PASSING = (  # errors that another attempt may not meet
    requests.ConnectionError,  # also of TLS and of a proxy
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,  # while a body is read: cut short, too slow, reset
)
PAGES = "sends pages in place of images, perhaps because the network asks you to sign in"


@dataclass(frozen=True)
class Limits:
    """The limits for fetching one image.

    timeout: seconds to connect, and seconds without new data.
    retries: further attempts, if they may help.
    time_limit: seconds for one image, all attempts and pauses together, without the rate limit.
    rate_limit: requests per second to one host, or None; this machine itself has no limit.
    max_bytes, max_pixels: the largest image.
    """

    timeout: float
    retries: int
    time_limit: float
    rate_limit: float | None
    max_bytes: int
    max_pixels: int


@dataclass(frozen=True)
class Answer:
    """What came of a request for an image.

    status: `ok`; `gone` if another request is useless; or `failed`.
    error: why there is no image, or "".
    body: the image, as served.
    may_change: whether another attempt may help.
    is_page: whether the body is no image of any kind.
    """

    status: str
    error: str = ""
    body: bytes | None = None
    may_change: bool = False
    is_page: bool = False


class HostLeftAlone(requests.RequestException):
    """Nothing more is requested from a host in this run; the text says why."""


class Host:
    """When a host may be sent the next request, and whether any more.

    Args:
        interval: seconds between two requests.

    Attributes:
        left_alone: why nothing more is requested, or "".
    """

    def __init__(self, interval: float) -> None:
        self.interval, self.next_turn, self.left_alone = interval, 0.0, ""
        self.has_sent_image, self.pages, self.failures = False, 0, 0
        self.queue, self.lock = threading.Lock(), threading.Lock()

    def wait_for_turn(self) -> float:
        """Wait until a request may be sent; return the seconds that it took."""
        start = time.monotonic()
        with self.queue:  # only the first thread watches the clock
            while not self.left_alone and (pause := self.next_turn - time.monotonic()) > 0:
                time.sleep(pause)
            self.postpone(self.interval)
        if self.left_alone:
            raise HostLeftAlone(f"not requested: its host {self.left_alone}")
        return time.monotonic() - start

    def postpone(self, seconds: float) -> None:
        """Send no request for some seconds."""
        with self.lock:
            self.next_turn = max(self.next_turn, time.monotonic() + seconds)

    def count(self, answer: Answer, is_last: bool) -> None:
        """Count an answer, and leave the host alone after too many failures in a row.

        Pages count one by one until the first image; other failures once per poster, after its
        last attempt.
        """
        with self.lock:
            self.has_sent_image = self.has_sent_image or answer.status == "ok"
            if answer.is_page and not self.has_sent_image:
                self.pages += 1
            if is_last:
                self.failures = self.failures + 1 if answer.may_change else 0
            if max(self.pages, self.failures) >= MAX_FAILURES and not self.left_alone:
                failed = f"failed for {MAX_FAILURES} posters in a row ({answer.error})"
                self.left_alone = PAGES if answer.is_page else failed


class PoliteAdapter(HTTPAdapter):
    """Send requests, redirects included, when it is their host's turn and before a deadline.

    Attributes:
        deadline: as by `time.monotonic`; a wait for the host's turn moves it.
    """

    def __init__(self, find_host: Callable[[str], Host]) -> None:
        super().__init__()
        self.find_host, self.deadline = find_host, 0.0

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        self.deadline += self.find_host(str(request.url)).wait_for_turn()
        timeout = max(0.001, min(timeout, self.deadline - time.monotonic()))
        return super().send(request, stream, timeout, verify, cert, proxies)


class Client:
    """Fetch images within limits, from any number of threads.

    Attributes:
        hosts: {host, and port if the URLs have one: its `Host`}.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.hosts = limits, dict[str, Host]()
        self.lock, self.local = threading.Lock(), threading.local()

    def fetch(self, url: str) -> Answer:
        """Fetch an image; pause for 0.5, 1, 2, 4, 8, 8 ... seconds before further attempts."""
        try:
            host = self.find_host(url)
        except ValueError as error:
            return Answer("gone", shorten_error(error))
        left = self.limits.time_limit
        for retry in itertools.count():
            answer, left = self.request(url, left)
            pause = min(0.5 * 2**retry, MAX_PAUSE) * random.uniform(0.8, 1.2)
            left -= pause
            may_retry = retry < self.limits.retries and left > 0 and not host.left_alone
            is_last = not (answer.may_change and may_retry)
            host.count(answer, is_last)
            if is_last:
                return answer
            time.sleep(pause)
        raise AssertionError  # for the type checker: the loop has no end

    def request(self, url: str, left: float) -> tuple[Answer, float]:
        """Request an image once.

        Args:
            url: the URL.
            left: seconds left for this image, not counting waits for the host's turn.

        Returns:
            The answer, and the seconds that are left after it.
        """
        session, adapter = self.open_session(url)
        adapter.deadline = time.monotonic() + left
        try:
            with session.get(url, stream=True, timeout=self.limits.timeout) as response:
                body = self.read_body(response, adapter)
                answer = read_answer(response.status_code, body, self.limits)
                if answer.may_change:
                    self.obey_retry_after(response)
        except HostLeftAlone as error:
            answer = Answer("failed", str(error))
        except PASSING as error:
            answer = Answer("failed", shorten_error(error), may_change=True)
        except (requests.RequestException, ValueError) as error:  # such as redirects without an end
            answer = Answer("failed", shorten_error(error))
        return answer, adapter.deadline - time.monotonic()

    def read_body(self, response: requests.Response, adapter: PoliteAdapter) -> bytes:
        """Return a body, or the part of it that is over `max_bytes`.

        `read1` returns what has come, so that a slow body is noticed; urllib3 checks the length.
        """
        body = bytearray()
        while chunk := response.raw.read1(2**16, decode_content=True):
            body += chunk
            if len(body) > self.limits.max_bytes:
                break
            if time.monotonic() > adapter.deadline:
                raise requests.Timeout(f"not complete after {self.limits.time_limit:g} s")
        return bytes(body)

    def obey_retry_after(self, response: requests.Response) -> None:
        """Let the whole host wait as long as it asks for, or leave it alone if that is long."""
        try:
            seconds = urllib3.Retry().get_retry_after(response.raw) or 0
        except urllib3.exceptions.InvalidHeader:
            return
        host = self.find_host(response.url)
        if seconds > self.limits.time_limit:
            until = datetime.now() + timedelta(seconds=seconds)
            host.left_alone = f"asks to wait until {until:%Y-%m-%d %H:%M}"
        else:
            host.postpone(seconds)

    def find_host(self, url: str) -> Host:
        """Return the state of the host of a URL.

        Raises:
            ValueError: it is no http or https URL.
        """
        name = url.split("/", 3)[2] if is_url(url) else ""
        with self.lock:
            if name not in self.hosts:
                address = parse_url(url)
                if not (name and address.host):
                    raise ValueError(f"{url} is no http or https URL with a host")
                rate = None if is_loopback(address.host) else self.limits.rate_limit
                self.hosts[name] = Host(1 / rate if rate else 0)
            return self.hosts[name]

    def open_session(self, url: str) -> tuple[requests.Session, PoliteAdapter]:
        """Return the session of this thread for the host of a URL, and its adapter."""
        sessions = self.local.__dict__
        name = url.split("/", 3)[2]
        if name not in sessions:
            session, adapter = requests.Session(), PoliteAdapter(self.find_host)
            session.headers["User-Agent"] = f"movie-poster-genres {session.headers['User-Agent']}"
            session.headers["Accept-Encoding"] = "identity"
            session.max_redirects = MAX_REDIRECTS
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            # Read the environment once: per request, that is 15 % of the time.
            found = session.merge_environment_settings(url, {}, None, None, None)
            session.proxies, session.verify, session.trust_env = (
                found["proxies"],
                found["verify"],
                False,
            )
            sessions[name] = session, adapter
        return sessions[name]


def read_answer(status: int, body: bytes, limits: Limits) -> Answer:
    """Return what an answer with an HTTP status and a body means."""
    if status == 200:
        return check_body(body, limits)
    if status in (404, 410):
        return Answer("gone", f"HTTP {status}")
    return Answer("failed", f"HTTP {status}", may_change=status in (408, 429) or status >= 500)


def check_body(body: bytes, limits: Limits) -> Answer:
    """Return what a body means, or the content of a file."""
    error = check_image(body, limits.max_bytes, limits.max_pixels)
    if not error:
        return Answer("ok", body=body)
    if error.startswith(TOO_LARGE):
        return Answer("gone", error)
    return Answer("failed", error, may_change=True, is_page=error.startswith(NOT_AN_IMAGE))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
