"""The check of addresses, and the client that fetches from public addresses only."""

import asyncio
import socket
from urllib.parse import quote

from postergenres.download import addresses, client
from postergenres.download.faults import Fault

import pytest

LIMITS = client.Limits(
    timeout=1, retries=1, time_limit=10, rate_limit=None, max_bytes=10**6, max_pixels=10**7
)
LOCAL = """
127.0.0.1 127.8.8.8 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.1
224.0.0.1 239.1.1.1 255.255.255.255 240.0.0.1 :: ::1 fe80::1 fe80::1%1 fc00::1 fd12::1 fec0::1
ff02::1 2001:db8::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1
64:ff9b:1::a00:1 ::ffff:0:7f00:1 2002:7f00:1:: 2002:c0a8:101::1 2001:0:53aa:64c:0:0:80ff:fffe
""".split()
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NO_ADDRESSES = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "example.org", ""]


@pytest.mark.parametrize("text", LOCAL + NO_ADDRESSES)
def test_an_address_of_a_local_network_or_in_another_form_is_not_public(text):
    assert not addresses.is_public(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public(text):
    assert addresses.is_public(text)


def test_an_address_of_this_machine_is_near():
    assert addresses.is_near("127.0.0.1", socket.AF_INET)
    assert not addresses.is_near("8.8.8.8", socket.AF_INET)


def test_no_socket_is_opened_for_an_address_that_is_not_public():
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80))
    with pytest.raises(addresses.NotPublic, match=r"10\.0\.0\.1 is not a public address"):
        addresses.open_public_socket(info)
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))
    with addresses.open_public_socket(info) as opened:
        assert opened.family == socket.AF_INET


def fetch(url, **options):
    async def run():
        async with client.Downloader(2, LIMITS, **options) as downloader:
            return await downloader.fetch(url, bodies.append)

    bodies = []
    return *asyncio.run(run()), bodies


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_a_public_client_sends_nothing_to_this_machine(host, name):
    url = host.url.replace("127.0.0.1", name) + "/ok/a.jpg"
    assert fetch(url, public_only=True) == ("gone", Fault.NOT_PUBLIC.format(), [])
    assert not host.connections


@pytest.mark.parametrize("name", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
def test_a_public_client_refuses_other_forms_of_a_local_address(host, name):
    url = host.url.replace("127.0.0.1", name) + "/ok/a.jpg"
    status, error, bodies = fetch(url, public_only=True)
    assert status == "gone" and error and not bodies
    assert not host.connections


def test_a_public_client_uses_no_proxy(host, monkeypatch):
    monkeypatch.setenv("http_proxy", host.url)
    monkeypatch.setenv("no_proxy", "")
    fetch("http://10.0.0.1/ok/a.jpg", public_only=True)
    assert not host.connections


def test_a_public_client_checks_each_redirect(host, monkeypatch):
    """The host counts as public here, and what it redirects to does not."""
    port = host.url.rpartition(":")[2]
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(addresses, "is_near", lambda address, family: False)
    assert fetch(f"{host.url}/ok/a.jpg", public_only=True)[0] == "ok"
    for target in (f"http://127.0.0.2:{port}/ok/b.jpg", f"http://[::1]:{port}/ok/b.jpg"):
        url = f"{host.url}/to={quote(target, safe='')}/a.jpg"
        assert fetch(url, public_only=True) == ("gone", Fault.NOT_PUBLIC.format(), [])
        assert host.asked["/ok/b.jpg"] == 0
    assert fetch(f"{host.url}/to={quote('file:///etc/passwd', safe='')}/a.jpg")[0] == "gone"
