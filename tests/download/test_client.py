"""The client of step 1: turns at a host, limits, redirects, and what it counts."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from postergenres.download.answers import Answer, read_answer
from postergenres.download.client import Client, Limits
from postergenres.download.hosts import is_loopback

import pytest
from conftest import image_bytes

LIMITS = Limits(
    timeout=1, retries=1, time_limit=10, rate_limit=None, max_bytes=10**6, max_pixels=10**7
)
IMAGE = image_bytes()


@pytest.mark.parametrize(
    ("status", "body", "expected", "may_change"),
    [
        (200, IMAGE, "ok", False),
        (200, b"<html>", "failed", True),
        (200, IMAGE[:-99], "failed", True),
        (200, IMAGE + bytes(10**6), "gone", False),
        (404, IMAGE, "gone", False),
        (410, b"", "gone", False),
        (408, b"", "failed", True),
        (429, b"", "failed", True),
        (500, b"", "failed", True),
        (503, b"", "failed", True),
        (204, b"", "failed", False),
        (302, b"", "failed", False),
        (401, b"", "failed", False),
        (403, b"", "failed", False),
        (451, b"", "failed", False),
    ],
)
def test_what_an_answer_means(status, body, expected, may_change):
    answer = read_answer(status, body, LIMITS.max_bytes, LIMITS.max_pixels)
    assert (answer.status, answer.may_change) == (expected, may_change)
    assert answer.body == (body if expected == "ok" else None)


def test_an_image_is_fetched_as_served(host):
    assert Client(LIMITS).fetch(f"{host.url}/ok/a.jpg") == Answer("ok", body=IMAGE)
    assert Client(LIMITS).fetch(f"{host.url}/gzipped/a.jpg") == Answer("ok", body=IMAGE)


@pytest.mark.parametrize("url", ["ftp://h/a.jpg", "http://", "http://[::1/a.jpg", "a.jpg"])
def test_what_is_no_url_is_gone(url):
    assert Client(LIMITS).fetch(url).status == "gone"


def test_a_large_or_endless_body_is_not_read_to_its_end(host):
    client = Client(replace(LIMITS, max_bytes=100_000))
    answer = client.fetch(f"{host.url}/endless/a.jpg")
    assert (answer.status, answer.error) == ("gone", "too large: over 100,000 bytes")


def test_all_attempts_have_one_deadline(host):
    """Each byte comes in time, the whole does not."""
    start = time.monotonic()
    answer = Client(replace(LIMITS, time_limit=1.5, retries=9)).fetch(f"{host.url}/drip/a.jpg")
    assert answer.status == "failed" and "not complete after 1.5 s" in answer.error
    assert time.monotonic() - start < 3
    answer = Client(replace(LIMITS, time_limit=1, retries=9)).fetch(f"{host.url}/503/a.jpg")
    assert answer.error == "HTTP 503" and host.asked["/503/a.jpg"] == 2


def test_there_are_at_most_ten_redirects(host):
    answer = Client(LIMITS).fetch(f"{host.url}/to=%3Fx/a.jpg")
    assert answer.status == "failed" and answer.error.startswith("TooManyRedirects")
    assert host.asked.total() == 11


def test_a_connection_is_used_again_also_after_an_error_page(host):
    client = Client(LIMITS)
    for path in ("ok/a.jpg", "no-such-page/a.jpg", "404/b.jpg", "page-once/c.jpg", "ok/d.jpg"):
        client.fetch(f"{host.url}/{path}")
    assert len(host.connections) == 1


def time_turns(client, url, requests):
    """Return when requests from as many threads to the host of a URL may be sent, from now."""

    def wait(_):
        client.find_host(url).wait_for_turn()
        return time.monotonic() - start

    start = time.monotonic()
    with ThreadPoolExecutor(requests) as pool:
        return sorted(pool.map(wait, range(requests)))


def test_the_rate_limit_is_kept_and_used_up_and_each_host_has_its_own():
    client = Client(replace(LIMITS, rate_limit=50))
    other = threading.Thread(target=time_turns, args=(client, "http://192.168.0.2/", 20))
    other.start()
    turns = time_turns(client, "http://192.168.0.1/", 26)
    other.join()
    assert 25 / 50 <= turns[-1] < 1
    assert min(b - a for a, b in zip(turns, turns[1:], strict=False)) >= 0.8 / 50
    assert time_turns(client, "http://localhost:80/", 20)[-1] < 0.2  # this machine has no limit


def test_a_wait_for_the_rate_limit_does_not_count_as_time_of_a_poster(host):
    url = host.url.replace("127.0.0.1", "0.0.0.0")  # not recognized as this machine
    client = Client(replace(LIMITS, rate_limit=2, time_limit=0.6))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(client.fetch, [f"{url}/ok/{i}.jpg" for i in range(4)]))
    assert {answer.status for answer in answers} == {"ok"}


@pytest.mark.parametrize(
    ("name", "is_local"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("image.tmdb.org", False),
        ("192.168.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_addresses_are_recognized(name, is_local):
    assert is_loopback(name) == is_local
