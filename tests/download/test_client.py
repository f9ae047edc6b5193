"""The client of step 1: pauses, the rate limit, retries, and images from URLs and files."""

import asyncio
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from conftest import image_bytes, progressive

from postergenres.download import client
from postergenres.download.faults import Fault

LIMITS = client.Limits(
    timeout=1, retries=1, time_limit=10, rate_limit=None, max_bytes=10**6, max_pixels=10**7
)


def get(location, method="fetch", limits=LIMITS):
    """Fetch or copy one image; return its status, its error and the bodies that were saved."""

    async def run():
        async with client.Downloader(2, limits) as downloader:
            return await getattr(downloader, method)(str(location), bodies.append)

    bodies = []
    return *asyncio.run(run()), bodies


@pytest.mark.parametrize(
    ("value", "seconds"), [("", 0), ("7", 7), ("-7", 0), ("7.5", 0), ("soon", 0), ("٧", 7)]
)
def test_retry_after_is_a_number_of_seconds(value, seconds):
    assert client.parse_retry_after(value) == seconds


def test_retry_after_can_be_a_date():
    now = datetime.now(timezone.utc)
    assert 28 < client.parse_retry_after(format_datetime(now + timedelta(seconds=30), True)) <= 30
    assert 28 < client.parse_retry_after(format_datetime(now + timedelta(seconds=30))) <= 30
    assert client.parse_retry_after(format_datetime(now - timedelta(days=1))) == 0


def test_the_rate_limit_applies_to_remote_hosts_only():
    async def time_turns(host, turns=5):
        start = time.monotonic()
        await asyncio.gather(*(downloader.wait_for_turn(host) for _ in range(turns)))
        return time.monotonic() - start

    downloader = client.Downloader(1, client.Limits(1, 1, 1, 20, 1, 1))
    assert asyncio.run(time_turns("192.168.0.1")) >= 4 / 20
    assert asyncio.run(time_turns("localhost")) < 0.1


@pytest.mark.parametrize(
    ("name", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("image.tmdb.org", False),
        ("192.168.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_addresses_are_recognized(name, is_local):
    assert client.is_loopback(name) == is_local


def test_an_image_is_fetched_once_and_saved_as_served(host):
    assert get(f"{host.url}/ok/a.jpg") == ("ok", "", [image_bytes()])
    assert host.asked["/ok/a.jpg"] == 1


def test_a_large_image_is_checked_in_a_thread_and_saved_as_served(host):
    host.bodies["large"] = progressive(700, 0)  # 490,000 pixels
    assert client.SMALL_IMAGE < 700 * 700
    assert get(f"{host.url}/large/a.jpg") == ("ok", "", [host.bodies["large"]])


def test_nothing_is_saved_of_an_image_with_a_fault(host):
    host.bodies["large"] = progressive(700, 0)
    limits = client.Limits(1, 1, 10, None, 10**6, 400_000)
    error = "too large: 700 x 700 pixels, over 400,000"
    assert get(f"{host.url}/large/a.jpg", limits=limits) == ("gone", error, [])
    assert host.asked["/large/a.jpg"] == 1  # a retry would not help
    assert get(f"{host.url}/page/a.jpg") == ("gone", "not an image", [])
    assert host.asked["/page/a.jpg"] == 2  # the page may come from a host under load


def test_an_exception_of_save_is_raised(host):
    def save(body):
        raise OSError("disk full")

    async def run():
        async with client.Downloader(2, LIMITS) as downloader:
            await downloader.fetch(f"{host.url}/ok/a.jpg", save)

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(run())


def test_a_file_is_copied_or_gone_or_failed(tmp_path):
    content = image_bytes()
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "short.jpg").write_bytes(content[:-99])
    assert get(tmp_path / "a.jpg", "copy") == ("ok", "", [content])
    status, error, bodies = get(tmp_path / "short.jpg", "copy")
    assert status == "gone" and Fault.CUT_SHORT.is_stated_in(error) and not bodies
    status, error, bodies = get(tmp_path / "none.jpg", "copy")
    assert status == "failed" and error.startswith("FileNotFoundError: ") and not bodies
    limits = client.Limits(1, 1, 10, None, 100, 10**6)
    error = "too large: over 100 bytes"
    assert get(tmp_path / "a.jpg", "copy", limits) == ("gone", error, [])


@pytest.mark.parametrize(
    ("fault", "status", "may_change"),
    [
        (None, "ok", False),
        (Fault.CUT_SHORT, "failed", True),
        (Fault.NOT_AN_IMAGE, "gone", True),
        (Fault.BROKEN_IMAGE, "gone", True),
        (Fault.TOO_MANY_PIXELS, "gone", False),
    ],
)
def test_the_fault_of_a_body_determines_the_status_and_the_retry(fault, status, may_change):
    attempt = client.attempt_of(fault, "")
    assert (attempt.status, attempt.may_change) == (status, may_change)


def test_pauses_double_up_to_eight_seconds_unless_the_host_asks_for_more():
    failed = client.Attempt("failed", may_change=True)
    for retries, seconds in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        pause = client.choose_pause(retries, failed)
        assert 0.8 * seconds <= pause <= 1.2 * seconds
    assert client.choose_pause(0, client.Attempt("failed", retry_after=30)) == 30
    assert client.choose_pause(4, client.Attempt("failed", retry_after=1)) >= 0.8 * 8


def test_an_error_of_the_proxy_is_never_final(monkeypatch, host):
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    status, error, bodies = get(f"{host.url}/ok/a.jpg")
    assert status == "failed" and "InvalidURL" in error and not bodies
