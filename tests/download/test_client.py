"""The client of step 1: pauses, the rate limit, retries, and images from URLs and files."""

import asyncio
import itertools
import os
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

from postergenres.download import client
from postergenres.download.faults import Fault

import pytest
from conftest import image_bytes, progressive

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
    now = datetime.now(UTC)
    assert 28 < client.parse_retry_after(format_datetime(now + timedelta(seconds=30), True)) <= 30
    assert 28 < client.parse_retry_after(format_datetime(now + timedelta(seconds=30))) <= 30
    assert client.parse_retry_after(format_datetime(now - timedelta(days=1))) == 0


async def time_requests(downloader, host, requests, seconds=0.0):
    """Hold a slot for some requests to a host at once; return when each began, from the start."""

    async def hold():
        async with downloader.download_slot(host):
            begins.append(time.monotonic() - start)
            await asyncio.sleep(seconds)

    start, begins = time.monotonic(), []
    await asyncio.gather(*(hold() for _ in range(requests)))
    return begins


def test_the_rate_limit_applies_to_remote_hosts_only():
    async def run(host):
        return await time_requests(client.Downloader(1, limits), host, 5)

    limits = client.Limits(1, 1, 1, 20, 1, 1)
    assert asyncio.run(run("192.168.0.1"))[-1] >= 4 / 20
    assert asyncio.run(run("localhost"))[-1] < 0.1


def test_a_host_that_waits_for_its_rate_limit_keeps_no_slot_from_another():
    async def run():
        downloader = client.Downloader(2, client.Limits(1, 1, 1, 5, 1, 1))
        return await asyncio.gather(
            time_requests(downloader, "192.168.0.1", 6),
            time_requests(downloader, "192.168.0.2", 1),
            time_requests(downloader, "localhost", 50),
        )

    slow, other, local = asyncio.run(run())
    assert slow[-1] >= 5 / 5 and other[0] < 0.1 and local[-1] < 0.1


def test_the_rate_limit_is_kept_if_slots_are_scarce():
    """While all slots are held, no turns pile up that would become a burst."""

    async def run():
        downloader = client.Downloader(1, client.Limits(1, 1, 1, 20, 1, 1))
        _, begins = await asyncio.gather(
            time_requests(downloader, "localhost", 1, 0.5),
            time_requests(downloader, "192.168.0.1", 6),
        )
        return begins

    begins = asyncio.run(run())
    assert begins[0] >= 0.49
    assert min(b - a for a, b in itertools.pairwise(begins)) >= 0.8 / 20


def test_the_rate_limit_is_used_up_if_slots_are_free():
    async def run():
        return await time_requests(
            client.Downloader(4, client.Limits(1, 1, 1, 100, 1, 1)), "h.example", 101
        )

    begins = asyncio.run(run())
    assert 0.99 <= begins[-1] < 1.2  # delays of single requests do not add up


@pytest.mark.skipif(os.name != "posix", reason="Windows does not connect to 0.0.0.0")
def test_a_redirect_that_waits_for_its_rate_limit_keeps_no_slot_from_another(host):
    """0.0.0.0 is this machine, but it has a rate limit."""

    async def run():
        start = time.monotonic()
        async with client.Downloader(1, client.Limits(1, 0, 10, 2, 10**6, 10**6)) as downloader:

            async def fetch(url):
                status, _ = await downloader.fetch(url, lambda body: None)
                return status, time.monotonic() - start

            return await asyncio.gather(*map(fetch, [*redirects, *direct]))

    target = quote(f"{host.url.replace('127.0.0.1', '0.0.0.0')}/ok/a.jpg", safe="")
    redirects = [f"{host.url}/to={target}/{i}" for i in range(4)]
    direct = [f"{host.url}/ok/{i}.jpg" for i in range(4)]
    results = asyncio.run(run())
    assert [status for status, _ in results] == ["ok"] * 8
    assert max(seconds for _, seconds in results[:4]) >= 3 / 2
    assert max(seconds for _, seconds in results[4:]) < 0.5


def test_a_connection_that_the_host_closes_is_one_attempt(host):
    """aiohttp by itself sends a request again if a connection that it kept is closed."""

    async def run():
        async with client.Downloader(1, client.Limits(1, 0, 10, None, 10**6, 10**6)) as downloader:
            for path in ("ok/a.jpg", "hang_up/a.jpg", "reset/a.jpg"):
                results.append(await downloader.fetch(f"{host.url}/ok/b.jpg", lambda body: None))
                results.append(await downloader.fetch(f"{host.url}/{path}", lambda body: None))

    results = []
    asyncio.run(run())
    assert [status for status, _ in results] == ["ok", "ok", "ok", "failed", "ok", "failed"]
    assert results[3][1] == "ServerDisconnectedError: Server disconnected"
    assert results[5][1].startswith("ClientOSError: ") and "reset" in results[5][1]
    assert host.asked["/hang_up/a.jpg"] == host.asked["/reset/a.jpg"] == 1
    assert len(host.connections) == 2  # that is, both were closed while they were reused


def test_no_private_attribute_of_aiohttp_is_used():
    source = Path(client.__file__).read_text(encoding="utf-8")
    assert not re.search(r"(session|connector|response|aiohttp)\._", source)


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
    error = "a page, and its host has sent no image"
    assert get(f"{host.url}/page/a.jpg") == ("failed", error, [])
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
    assert attempt.is_page == (fault is Fault.NOT_AN_IMAGE)


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
