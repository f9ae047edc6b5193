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
    for attempt in range(retries + 1):
        if stop.is_set():
            return "failed", "not asked: the run was stopped", None
        status, error, body, pause = ask(session, url, timeout)
        if pause is None or attempt == retries:
            return status, error, body
        # 0.5, 1, 2, 4 s, spread so that the threads do not all come back at once.
        stop.wait(max(pause, 0.5 * 2**attempt * random.uniform(0.8, 1.2)))


def ask(session, url, timeout):
    """Ask once for an image.

    Returns:
        (status, error, body, pause): `pause` is None where asking again is useless, else the least
        seconds to wait. What is not an image is asked for again, since a host under load answers
        with a page; it is `gone` if it stays so. An image that is cut short is `failed`.
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
    except (ValueError, requests.TooManyRedirects) as error:  # ValueError: not a usable URL or path
        return "gone", describe(error), None, None
    except (requests.RequestException, OSError) as error:
        return "failed", describe(error), None, 0
    fault = find_fault(body)
    if fault is None:
        return "ok", "", body, None
    if not is_url(url):
        return "gone", fault, None, None
    return "failed" if fault.startswith("cut short") else "gone", fault, None, 0


def retry_after(answer):
    """The Retry-After header in seconds, at most a minute; 0 where there is none."""
    value = answer.headers.get("Retry-After", "")
    return min(int(value), 60) if value.isdecimal() else 0


def find_fault(body):
    """Why these bytes are not a whole image, or None where Pillow decodes them to the last one."""
    try:
        # No other formats: Pillow would hand an EPS file to Ghostscript.
        with Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
            image.load()
    except Image.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # on broken files the decoders raise whatever they stumble over
        is_short = "truncated" in str(error).lower()
        return f"{'cut short' if is_short else 'not an image'}: {describe(error)}"
    return None


def describe(error):
    """An exception as one short line; its class says more than the text that urllib3 nests."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
