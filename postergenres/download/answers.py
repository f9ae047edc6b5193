"""What the answer to a request means for posters.csv; docs/data-steps.md has the same table.

answer                                                      status    what follows
----------------------------------------------------------  --------  ----------------------------
a complete image                                            `ok`      never requested again
HTTP 404 or 410, larger than the limits, no URL             `gone`    never requested again
HTTP 408, 429 or 5xx, no connection, a timeout, cut short,  `failed`  retried, and requested again
  a body that is no image                                               by the next run
everything else, such as HTTP 403                           `failed`  requested again by the next
                                                                        run
"""

from dataclasses import dataclass

from postergenres.download.images import NOT_AN_IMAGE, TOO_LARGE, check_image, shorten_error

import requests
import urllib3

PASSING = (  # errors that another attempt may not meet
    requests.ConnectionError,  # also of TLS and of a proxy
    requests.Timeout,
    urllib3.exceptions.HTTPError,  # while a body is read: cut short, too slow, reset
)


@dataclass(frozen=True)
class Answer:
    """What came of a request for an image.

    status: `ok`, `gone` or `failed`.
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


def read_answer(http_status: int, body: bytes, max_bytes: int, max_pixels: int) -> Answer:
    """Return what an HTTP status and a body mean."""
    if http_status == 200:
        return read_body(body, max_bytes, max_pixels)
    if http_status in (404, 410):
        return Answer("gone", f"HTTP {http_status}")
    may_change = http_status in (408, 429) or http_status >= 500
    return Answer("failed", f"HTTP {http_status}", may_change=may_change)


def read_body(body: bytes, max_bytes: int, max_pixels: int) -> Answer:
    """Return what a body means, or the content of an image file."""
    error = check_image(body, max_bytes, max_pixels)
    if not error:
        return Answer("ok", body=body)
    if error.startswith(TOO_LARGE):
        return Answer("gone", error)
    return Answer("failed", error, may_change=True, is_page=error.startswith(NOT_AN_IMAGE))


def read_error(error: Exception) -> Answer:
    """Return what an error means; those not `PASSING` are such as redirects without an end."""
    return Answer("failed", shorten_error(error), may_change=isinstance(error, PASSING))
