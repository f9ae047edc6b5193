"""Fetch one image from a URL or a file, with retries; database.py does so in threads."""

import io
import random
from pathlib import Path

import requests
from PIL import Image


def is_url(text):
    return text.lower().startswith(("http://", "https://"))


def open_session():
    """A `requests.Session` that says what asks. One per thread: it keeps its connection open."""
    session = requests.Session()
    session.headers["User-Agent"] = f"movie-poster-genres {requests.utils.default_user_agent()}"
    return session


def fetch_image(session, url, timeout, retries, stop):
    """Fetch an image, with `retries` further attempts where that may help.

    Args:
        session: a `requests.Session`, not to be shared between threads.
        url: a URL, or the path of a file.
        timeout: seconds to connect, and seconds without a further byte.
        stop: a `threading.Event` that ends the waiting between attempts.

    Returns:
        (status, error, body): status `ok` with the bytes; `gone` where asking again is useless;
        `failed` otherwise.
    """
    status, error, body = "failed", "not asked", None
    for attempt in range(retries + 1):
        if stop.is_set():
            break
        status, error, body, pause = ask(session, url, timeout)
        if pause is None or attempt == retries:
            break
        # 0.5, 1, 2, 4 s, spread so that the threads do not all come back at once.
        stop.wait(max(pause, 0.5 * 2**attempt * random.uniform(0.8, 1.2)))
    return status, error, body


def ask(session, url, timeout):
    """Ask once for an image.

    Returns:
        (status, error, body, pause): `pause` is None where asking again is useless, else the least
        seconds to wait. What is not an image is asked for again, since a host under load answers
        with a page; it is `gone` if it stays so.
    """
    try:
        if not is_url(url):
            body = Path(url).read_bytes()
        else:
            answer = session.get(url, timeout=timeout)
            body = answer.content
            if answer.status_code in (404, 410):
                return "gone", f"HTTP {answer.status_code}", None, None
            if answer.status_code != 200:
                again = answer.status_code in (408, 429) or answer.status_code >= 500
                pause = retry_after(answer) if again else None
                return "failed", f"HTTP {answer.status_code}", None, pause
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.TooManyRedirects,
    ) as error:
        return "gone", describe(error), None, None
    except (requests.RequestException, OSError) as error:
        return "failed", describe(error), None, 0
    try:
        check_image(body)
    except ValueError as error:
        return "gone", str(error), None, 0 if is_url(url) else None
    return "ok", "", body, None


def retry_after(answer):
    """The Retry-After header in seconds, at most a minute; 0 where there is none."""
    value = answer.headers.get("Retry-After", "")
    return min(int(value), 60) if value.isdecimal() else 0


def check_image(body):
    """Raise ValueError unless Pillow can decode these bytes to the last one."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not an image: {describe(error)}") from error


def describe(error):
    """An exception as one short line; its class says more than the text that urllib3 nests."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
