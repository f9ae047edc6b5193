"""Fetch images from URLs with requests: politely, with retries, and within limits."""

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from postergenres.download.answers import Answer, read_answer, read_error
from postergenres.download.hosts import Host, HostLeftAlone, is_loopback
from postergenres.download.images import shorten_error
from postergenres.download.metadata import is_url

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

MAX_REDIRECTS = 10
MAX_PAUSE = 8  # seconds between two attempts, unless the host asks for more


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
            answer, left = self.request(url, host, left)
            pause = min(0.5 * 2**retry, MAX_PAUSE) * random.uniform(0.8, 1.2)
            left -= pause
            may_retry = retry < self.limits.retries and left > 0 and not host.left_alone
            is_last = not (answer.may_change and may_retry)
            host.count(answer, is_last)
            if is_last:
                return answer
            time.sleep(pause)
        raise AssertionError  # for the type checker: the loop has no end

    def request(self, url: str, host: Host, left: float) -> tuple[Answer, float]:
        """Request an image once.

        Args:
            url: the URL.
            host: its `Host`.
            left: seconds left for this image, not counting waits for the host's turn.

        Returns:
            The answer, and the seconds that are left after it.
        """
        session, adapter = self.open_session()
        adapter.deadline = time.monotonic() + left
        try:
            options = {"stream": True, "timeout": self.limits.timeout} | host.environment
            with session.get(url, **options) as response:
                body = self.read_body(response, adapter)
                limits = self.limits.max_bytes, self.limits.max_pixels
                answer = read_answer(response.status_code, body, *limits)
                if answer.may_change:
                    self.obey_retry_after(response)
        except HostLeftAlone as error:
            answer = Answer("failed", str(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            answer = read_error(error)
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
                self.hosts[name] = Host(url, interval=1 / rate if rate else 0)
            return self.hosts[name]

    def open_session(self) -> tuple[requests.Session, PoliteAdapter]:
        """Return the session of this thread and its adapter."""
        if not hasattr(self.local, "session"):
            session, adapter = requests.Session(), PoliteAdapter(self.find_host)
            session.headers["User-Agent"] = f"movie-poster-genres {session.headers['User-Agent']}"
            session.headers["Accept-Encoding"] = "identity"
            session.max_redirects = MAX_REDIRECTS
            session.trust_env = False  # see `Host`
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self.local.session, self.local.adapter = session, adapter
        return self.local.session, self.local.adapter
