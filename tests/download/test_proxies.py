"""The proxies of the environment: an unusable one is one line before any request."""

from postergenres.download import proxies
from postergenres.download.metadata import Movies
from postergenres.download.sources import find_source

import pytest
from conftest import image_bytes


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize(
    "proxy",
    ["127.0.0.1:9", "localhost:3128", "proxy", "http://", "http://:80", "http://h:99999"]
    + ["http://h:port", "http://[::1", "socks5://h:1080"],
)
@pytest.mark.parametrize("name", ["http_proxy", "https_proxy"])
def test_an_unusable_proxy_is_one_line(monkeypatch, name, proxy):
    monkeypatch.setenv(name, proxy)
    with pytest.raises(SystemExit) as stop:
        proxies.exit_if_a_proxy_is_unusable()
    assert stop.value.code == (
        f"{name} is {proxy!r}, which is not a proxy like http://host:8080. "
        "Correct or unset it, then run: python database.py"
    )


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "http://user:word@h:8080", "HTTP://h", "https://h:1"]
)
def test_a_usable_proxy_is_accepted(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    proxies.exit_if_a_proxy_is_unusable()


@pytest.mark.parametrize("proxy", ["socks5://user:word@h:1", "user:word@h:1", "http://u:w/o@h:x"])
def test_a_password_is_not_printed(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(SystemExit) as stop:
        proxies.exit_if_a_proxy_is_unusable()
    assert ":w" not in stop.value.code and "***@h:" in stop.value.code


def test_proxies_are_checked_only_if_posters_are_at_urls(monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    (tmp_path / "m1.jpg").write_bytes(image_bytes())
    (tmp_path / "movies.csv").write_text("Id,Genre,Poster\nm1,Drama,/a.jpg\n", encoding="utf-8")
    assert find_source(Movies(tmp_path / "movies.csv"), tmp_path).movies == 1
    with pytest.raises(SystemExit, match="http_proxy is"):
        find_source(Movies(tmp_path / "movies.csv"), "http://h")
