"""Ask a host politely: one request after the other, and none after too many failures."""

import threading
import time
from ipaddress import ip_address

from postergenres.download.answers import Answer

import requests

MAX_FAILURES = 20  # in a row, after which a host is left alone
PAGES = "sends pages in place of images, perhaps because the network asks you to sign in"


class HostLeftAlone(requests.RequestException):
    """Nothing more is requested from a host in this run; the text says why."""


class Host:
    """When a host may be sent the next request, and whether any more.

    Args:
        url: of the host.
        interval: seconds between two requests.

    Attributes:
        left_alone: why nothing more is requested, or "".
        environment: the proxies and certificates that requests finds in the environment. They are
            read once, because a look for each request takes 15 % of its time.
    """

    def __init__(self, url: str, interval: float) -> None:
        self.interval, self.next_turn, self.left_alone = interval, 0.0, ""
        self.has_sent_image, self.pages, self.failures = False, 0, 0
        found = requests.Session().merge_environment_settings(url, {}, None, None, None)
        self.environment = {"proxies": found["proxies"], "verify": found["verify"]}
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


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
