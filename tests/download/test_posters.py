"""The download of all posters, without the script: progress, leftovers, and the summary."""

from collections import Counter

from postergenres.download import posters
from postergenres.download.client import Limits
from postergenres.download.manifest import read_manifest
from postergenres.download.metadata import Movies
from postergenres.download.sources import Source

import pytest
from conftest import image_bytes

LIMITS = Limits(
    timeout=1, retries=0, time_limit=10, rate_limit=None, max_bytes=10**6, max_pixels=10**7
)


def test_posters_are_downloaded_and_leftovers_deleted(tmp_path, host):
    urls = [f"{host.url}/ok/a.jpg", f"{host.url}/404/b.jpg", f"{host.url}/503/c.jpg"]
    rows = [f"m{i},Drama,{url}" for i, url in enumerate(urls)]
    (tmp_path / "movies.csv").write_text("Id,Genre,Poster\n" + "\n".join(rows), encoding="utf-8")
    data = tmp_path / "data"
    (data / "posters").mkdir(parents=True)
    (data / "posters" / "m1.part.jpg").write_bytes(b"half")
    movies = Movies(tmp_path / "movies.csv")
    counts, reasons = posters.download_posters([(movies, Source(3))], data, 2, LIMITS)
    assert counts == {"ok": 1, "gone": 1, "failed": 1}
    assert reasons == {"": 1, "HTTP 404": 1, "HTTP 503": 1}
    assert list(read_manifest(data)["status"]) == ["ok", "gone", "failed"]
    assert [path.name for path in (data / "posters").iterdir()] == ["m0.jpg"]
    assert (data / "posters" / "m0.jpg").read_bytes() == image_bytes()


def test_the_summary_has_the_counts_the_reasons_and_the_files(tmp_path, capsys):
    counts = Counter(ok=1200, gone=3, failed=0)
    posters.print_download_summary(counts, Counter({"": 1200, "HTTP 404": 3}), tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "ok 1,200   gone 3   failed 0",
        "  3 x HTTP 404",
        f"wrote {tmp_path / 'posters.csv'} (1,203 rows) and {tmp_path / 'posters'}",
    ]


ONE = [(None, Source(100))]
TWO = [*ONE, (None, Source(9, setting="TRAIN_ONLY_POSTERS"))]


@pytest.mark.parametrize(
    ("listings", "named"), [(ONE, "POSTER_BASE"), (TWO, "POSTER_BASE and TRAIN_ONLY_POSTERS")]
)
def test_two_percent_may_fail(listings, named):
    posters.exit_if_too_few_posters(Counter(ok=98, gone=0, failed=2), listings)
    message = f"^3 of 100 posters failed. .* and {named}; to retry .*run: python database.py$"
    with pytest.raises(SystemExit, match=message):
        posters.exit_if_too_few_posters(Counter(ok=97, gone=0, failed=3), listings)


@pytest.mark.parametrize(
    ("listings", "named"), [(ONE, "POSTER_BASE"), (TWO, "POSTER_BASE and TRAIN_ONLY_POSTERS")]
)
def test_a_run_without_posters_is_an_error(listings, named):
    message = f"^No poster was found. Check {named}, then run: python database.py$"
    with pytest.raises(SystemExit, match=message):
        posters.exit_if_too_few_posters(Counter(ok=0, gone=9, failed=0), listings)
