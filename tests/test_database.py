"""Step 1 through main(), against a local host: statuses, retries, repeated and stopped runs."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import quote

from postergenres.download import manifest
from postergenres.settings import MOST_PIXELS, SettingError

import pytest
from conftest import ROOT, contents, image_bytes, progressive
from filelock import FileLock
from hostile_inputs import INPUTS

import database

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal or limit")


def write_movies(tmp_path, posters):
    """Write a CSV in the IMDb form with a movie for each poster URL; the first id is tt0000001."""
    rows = [f"{i},Movie {i},Drama,{url}" for i, url in enumerate(posters, start=1)]
    path = tmp_path / "movies.csv"
    path.write_text("imdbId,Title,Genre,Poster\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(tmp_path, posters, **settings):
    """Run step 1 into tmp_path/data; return posters.csv and the exit status."""
    csv = write_movies(tmp_path, posters)
    settings = {"poster_base": None, "timeout": 1, "retries": 1, "workers": 4} | settings
    status = 0
    try:
        database.main(tmp_path / "data", csv, **settings)
    except SystemExit as exit:
        status = exit.code
    return manifest.read_manifest(tmp_path / "data"), status


def downloaded(tmp_path):
    """Return posters.csv and the posters, which must not depend on how a run went: {path: bytes}"""
    files = contents(tmp_path / "data")
    return {
        path: body for path, body in files.items() if path.startswith("posters/") or "csv" in path
    }


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "error", "asked"),
    [
        ("/own/a.jpg", "ok", "", 1),
        ("/503-once/a.jpg", "ok", "", 2),
        ("/408-once/a.jpg", "ok", "", 2),
        ("/429-once/a.jpg", "ok", "", 2),
        ("/short-once/a.jpg", "ok", "", 2),
        ("/page-once/a.jpg", "ok", "", 2),
        ("/truncated-once/a.jpg", "ok", "", 2),
        ("/reset-once/a.jpg", "ok", "", 2),
        ("/hang_up-once/a.jpg", "ok", "", 2),
        ("/chunked_short-once/a.jpg", "ok", "", 2),
        ("/404/a.jpg", "gone", "HTTP 404", 1),
        ("/410/a.jpg", "gone", "HTTP 410", 1),
        ("/page/a.jpg", "failed", "not an image", 2),
        ("/truncated/a.jpg", "failed", "cut short", 2),
        ("/403/a.jpg", "failed", "HTTP 403", 1),
        ("/nowhere/a.jpg", "failed", "HTTP 302", 1),
        ("/429/a.jpg", "failed", "HTTP 429", 2),
        ("/503/a.jpg", "failed", "HTTP 503", 2),
        ("/short/a.jpg", "failed", "IncompleteRead", 2),
        ("/reset/a.jpg", "failed", "reset", 2),
        ("/slow/a.jpg", "failed", "timed out", 2),
    ],
)
def test_each_answer_has_its_status(tmp_path, host, path, status, error, asked):
    posters, code = run(tmp_path, [host.url + path])
    assert posters["status"][0] == status
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    assert host.asked[path] == asked
    assert (tmp_path / "data" / "posters" / "tt0000001.jpg").is_file() == (status == "ok")
    assert (code == 0) == (status == "ok")


@pytest.mark.parametrize(("case", "expected"), INPUTS.values(), ids=INPUTS)
def test_hostile_input_is_a_row_with_its_error_or_one_line(tmp_path, host, case, expected):
    outside, folder = tmp_path / "outside.jpg", tmp_path / "folder"
    outside.write_bytes(image_bytes((1, 2, 3)))
    (folder / "folder.jpg").mkdir(parents=True)
    good = image_bytes()
    for name, content in {"good": good, "empty": b"", "text": b"text", "short": good[:-99]}.items():
        (folder / f"{name}.jpg").write_bytes(content)
    settings = {"timeout": 1, "retries": 0, "workers": 2, "poster_base": None} | case
    host.bodies["body"] = settings.pop("body", b"")
    names = {"HOST": host.url, "TLS": host.url.replace("http", "https")}
    names |= {"FOLDER": str(folder), "OUTSIDE": str(outside)}
    for setting in ("csv", "train_only", "poster_base"):
        for name, value in names.items():
            if settings.get(setting):
                settings[setting] = settings[setting].replace(name, value)
    encoding = settings.pop("encoding", "utf-8")
    for setting, key in (("csv", "metadata_csv"), ("train_only", "train_only_csv")):
        if setting in settings:
            settings[key] = tmp_path / f"{setting}.csv"
            settings[key].write_text(settings.pop(setting), encoding=encoding, newline="")
    before, data = set(tmp_path.rglob("*")), tmp_path / "data"
    try:
        database.main(data, **settings)
        line = ""
    except SystemExit as end:
        line = str(end.code)
        assert "python database.py" in line and "\n" not in line
    if isinstance(expected, str):
        assert re.search(expected, line)
        assert {path.name for path in data.iterdir()} <= {".database.lock"}
        return
    status, error = expected
    assert (line == "") == (status == "ok")
    posters = manifest.read_manifest(data)
    assert list(posters["status"]) == [status]
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    kept = {data / "posters" / f"{posters['id'][0]}.jpg"} if status == "ok" else set()
    own = {data / name for name in ("posters", "posters.csv", "posters.journal.jsonl")}
    assert set(tmp_path.rglob("*")) - before - {data, data / ".database.lock"} == own | kept
    if status == "ok" and host.bodies["body"]:
        assert kept.pop().read_bytes() == host.bodies["body"]


def test_placeholders_are_counted(tmp_path, host, capsys):
    """The host answers `/ok/` with the same bytes, as if it had no image."""
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(10)] + [f"{host.url}/own/{i}.jpg" for i in "ab"]
    posters, code = run(tmp_path, urls)
    assert code == 0 and set(posters["status"]) == {"ok"}
    line = "10 movies share their poster, byte for byte, with nine others or more"
    assert line in capsys.readouterr().out
    run(tmp_path, urls)
    assert line in capsys.readouterr().out
    run(tmp_path, urls[1:])
    assert line not in capsys.readouterr().out


def test_it_is_an_error_if_more_than_two_percent_failed(tmp_path, host):
    urls = [f"{host.url}/own/{i}.jpg" for i in range(30)] + [f"{host.url}/503/x.jpg"]
    _, code = run(tmp_path, urls, retries=0)
    assert code.startswith("1 of 31 posters failed.")
    assert code.endswith(f"python database.py --data-dir {tmp_path / 'data'}")
    urls += [f"{host.url}/own/{i}.jpg" for i in range(30, 50)]
    assert run(tmp_path, urls, retries=0)[1] == 0


@pytest.mark.parametrize("base", [None, "no/such/folder"])
def test_a_missing_source_of_posters_is_one_line(tmp_path, base):
    csv = tmp_path / "movies.csv"
    csv.write_text("Id,Genre\na,Drama\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="POSTER_BASE.*python database.py"):
        database.main(tmp_path / "data", csv, base)


@pytest.mark.parametrize(
    "setting",
    [
        {"metadata_csv": ""},
        {"poster_base": ""},
        {"limit": 0},
        {"workers": 1001},
        {"rate_limit": 0},
        {"timeout": 0},
        {"retries": -1},
        {"time_limit": 0},
        {"max_bytes": 0},
        {"max_pixels": MOST_PIXELS + 1},  # step 3 would refuse what step 1 accepts
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_with_its_name_and_value(tmp_path, setting):
    ((name, value),) = setting.items()
    with pytest.raises(SettingError, match=f"^{name} .*{re.escape(repr(value))}"):
        database.main(tmp_path / "data", **setting)
    assert not (tmp_path / "data").exists()


# --- repeated runs --------------------------------------------------------------------------------


def test_there_is_one_row_per_movie_and_a_second_run_requests_only_failed_posters(tmp_path, host):
    urls = [f"{host.url}/own/{i}.jpg" for i in range(60)]
    urls += [f"{host.url}/404/x.jpg", "", f"{host.url}/503/x.jpg"]
    posters, code = run(tmp_path, urls, retries=0)
    assert code == 0  # 1 of 63 failed, less than 2 %
    assert list(posters["id"]) == [f"tt{i:07d}" for i in range(1, 64)]
    assert list(posters["status"][60:]) == ["gone", "gone", "failed"]
    assert posters["error"][61] == "no poster listed"
    first = downloaded(tmp_path)
    assert first["posters.csv"].startswith(b"id,title,genres,url,status,error\ntt0000001,Movie 1,")
    host.asked.clear()
    run(tmp_path, urls, retries=0)
    assert dict(host.asked) == {"/503/x.jpg": 1}
    assert downloaded(tmp_path) == first


def test_rows_are_in_the_order_of_the_csv(tmp_path, host):
    urls = [f"{host.url}/503-once/x.jpg"] + [f"{host.url}/own/{i}.jpg" for i in range(7)]
    posters, _ = run(tmp_path, urls)
    assert list(posters["url"]) == urls
    dates = {path.stat().st_mtime_ns: path for path in (tmp_path / "data" / "posters").iterdir()}
    assert dates[max(dates)].stem == "tt0000001"  # the first one came last


def test_train_only_movies_are_downloaded_in_the_same_run(tmp_path, host, capsys):
    more = tmp_path / "more.csv"
    rows = [f"{i},More {i},War,{host.url}/own/more{i}.jpg" for i in (2, 3, 7, 8)]
    rows.append(f"9,More 9,War,{host.url}/404/more.jpg")
    more.write_text("imdbId,Title,Genre,Poster\n" + "\n".join(rows) + "\n", encoding="utf-8")
    urls = [f"{host.url}/own/{i}.jpg" for i in range(3)]
    posters, code = run(tmp_path, urls, train_only_csv=more)
    assert code == 0 and "dropped: 2 that METADATA_CSV lists, too" in capsys.readouterr().out
    assert list(posters["id"]) == [f"tt000000{i}" for i in (1, 2, 3, 7, 8, 9)]
    assert list(posters["status"]) == ["ok"] * 5 + ["gone"]
    assert list(posters["train_only"]) == [""] * 3 + ["yes"] * 3
    few, _ = run(tmp_path, urls, train_only_csv=more, limit=1)
    assert list(few["id"]) == ["tt0000001", "tt0000002"]  # the first one of each CSV
    assert list(few["train_only"]) == ["", "yes"]
    run(tmp_path, urls)
    assert downloaded(tmp_path)["posters.csv"].startswith(b"id,title,genres,url,status,error\n")


def test_a_killed_run_resumes(tmp_path, host):
    urls = [f"{host.url}/own/{i}.jpg" for i in range(3)] + [f"{host.url}/404/{i}.jpg" for i in "ab"]
    run(tmp_path, urls)
    whole, data = downloaded(tmp_path), tmp_path / "data"
    (data / "posters.csv").unlink()
    lines = (data / "posters.journal.jsonl").read_text().splitlines()
    completed = [line for line in lines if "tt0000001" in line or "tt0000004" in line]
    half_line = '["tt0000005", "ht'
    (data / "posters.journal.jsonl").write_text("\n".join([*completed, "5", "{}", half_line]))
    (data / "posters" / "tt0000002.jpg").unlink()
    (data / "posters" / "tt0000002.part.jpg").write_bytes(b"half")
    host.asked.clear()
    run(tmp_path, urls)
    assert downloaded(tmp_path) == whole
    assert dict(host.asked) == {"/own/1.jpg": 1, "/own/2.jpg": 1, "/404/b.jpg": 1}
    host.asked.clear()
    run(tmp_path, urls)  # the line after half a line was read
    assert not host.asked


def test_a_poster_from_another_url_or_a_damaged_one_is_requested_again(tmp_path, host):
    """The URLs are A, then B, then A again."""
    host.bodies |= {"a": image_bytes((255, 0, 0)), "b": image_bytes((0, 0, 255)) + b"longer"}
    poster = tmp_path / "data" / "posters" / "tt0000001.jpg"
    for name in "aba":
        run(tmp_path, [f"{host.url}/{name}/x.jpg"])
        assert poster.read_bytes() == host.bodies[name]
    for content in (b"", host.bodies["a"][:50]):  # as a power failure may leave it
        poster.write_bytes(content)
        run(tmp_path, [f"{host.url}/a/x.jpg"])
        assert poster.read_bytes() == host.bodies["a"]


def test_a_smaller_limit_or_a_wrong_source_loses_nothing(tmp_path, host):
    urls = [f"{host.url}/own/{i}.jpg" for i in range(8)] + [f"{host.url}/404/{i}.jpg" for i in "ab"]
    run(tmp_path, urls)
    whole = downloaded(tmp_path)
    host.asked.clear()
    few, _ = run(tmp_path, urls, limit=2)
    assert len(few) == 2 and not host.asked
    wrong, _ = run(tmp_path, [f"{host.url}/404/wrong.jpg"] * 10)
    assert set(wrong["status"]) == {"gone"}
    host.asked.clear()
    run(tmp_path, urls)
    assert downloaded(tmp_path) == whole and not host.asked


def test_posters_in_a_folder_are_found_by_listed_name_or_by_id(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "tt0000002.png", "5.jpg"):
        (folder / name).write_bytes(image_bytes())
    (folder / "tt0000004.jpg").write_bytes(b"text")
    listed = ["/a.jpg", "", "/../../a.jpg", "", ""]  # the fifth id is 5 in the CSV
    posters, _ = run(tmp_path, listed, poster_base=folder)
    assert list(posters["status"]) == ["ok", "ok", "gone", "failed", "ok"]
    assert posters["error"][2] == f"no image in {folder}"


def test_an_image_that_changes_in_its_folder_is_copied_again(tmp_path):
    folder, content = tmp_path / "images", image_bytes()
    folder.mkdir()
    (folder / "a.jpg").write_bytes(content)
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    copy = tmp_path / "data" / "posters" / "tt0000001.jpg"
    before = copy.stat().st_ino
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    assert copy.stat().st_ino == before
    other = content.replace(b"JFIF\0\1\1", b"JFIF\0\1\2")  # of the same size
    (folder / "a.jpg").write_bytes(other)
    os.utime(folder / "a.jpg", (10**9, 10**9))
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    assert copy.read_bytes() == other


# --- a hostile network ----------------------------------------------------------------------------


def test_many_failed_posters_do_not_stop_the_requests_for_others(tmp_path, host):
    urls = [f"{host.url}/403/{i}.jpg" for i in range(30)] + [
        f"{host.url}/own/{i}.jpg" for i in "ab"
    ]
    posters, _ = run(tmp_path, urls, retries=0, workers=1)
    assert list(posters["status"][30:]) == ["ok", "ok"]


def test_a_host_without_a_connection_is_left_alone_and_others_are_not(tmp_path, host, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        urls = [f"http://127.0.0.1:{port}/{i}.jpg" for i in range(60)]
        posters, code = run(tmp_path, [*urls, f"{host.url}/own/a.jpg"], retries=0)
    assert list(posters["status"]) == ["failed"] * 60 + ["ok"] and "60 of 61 posters failed" in code
    assert posters["error"].str.startswith("not requested: its host failed for 20").sum() > 30
    assert f"127.0.0.1:{port} failed for 20 posters in a row (" in capsys.readouterr().out


def test_retry_after_holds_up_the_whole_host(tmp_path, host):
    urls = [f"{host.url}/wait=2/x.jpg"] + [f"{host.url}/own/{i}.jpg" for i in range(80)]
    start = time.monotonic()
    run(tmp_path, urls, workers=4)
    assert time.monotonic() - start >= 3.5  # two attempts
    dates = sorted(p.stat().st_mtime for p in (tmp_path / "data" / "posters").iterdir())
    assert len(dates) == 80
    assert max(b - a for a, b in zip(dates, dates[1:], strict=False)) >= 1.5  # all wait


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_host_that_asks_for_a_long_pause_is_left_alone(tmp_path, host, capsys, wait):
    urls = [f"{host.url}/wait={quote(wait, safe='')}/{i}.jpg" for i in range(50)]
    posters, code = run(tmp_path, urls)
    assert "50 of 50 posters failed" in code and host.asked.total() <= 4  # one per worker
    assert re.search(r" asks to wait until 20\d\d-\d\d-\d\d \d\d:\d\d\. ", capsys.readouterr().out)
    assert posters["error"].str.startswith("not requested: its host asks to wait until").sum() > 40


@posix_only
def test_the_rate_limit_is_kept_by_all_requests_and_redirects(tmp_path, host):
    """0.0.0.0 is this machine, but it is not recognized as a loopback address."""
    url = host.url.replace("127.0.0.1", "0.0.0.0")
    target = quote(f"{url}/ok/a.jpg", safe="")
    start = time.monotonic()
    posters, _ = run(tmp_path, [f"{url}/to={target}/{i}" for i in range(5)], rate_limit=20)
    assert set(posters["status"]) == {"ok"}
    assert time.monotonic() - start >= 9 / 20


def test_a_captive_portal_midway_stops_the_requests_and_loses_no_poster(tmp_path, host, capsys):
    urls = [f"{host.url}/portal/{i}.jpg" for i in range(200)]
    for images in (10, 0, 1000):  # of this run, after which come pages: midway, at the start, never
        host.images["left"] = images
        host.asked.clear()
        posters, _ = run(tmp_path, urls, retries=0)
        statuses = Counter(posters["status"])
        if images < 1000:
            assert statuses == {"ok": 10, "failed": 190} and host.asked.total() < 40
            assert "sends pages in place of images, perhaps because" in capsys.readouterr().out
    assert statuses == {"ok": 200}


def test_a_bad_proxy_makes_posters_fail_but_not_gone(tmp_path, host, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for proxy in ("http://127.0.0.1:9", "http://:bad"):
        monkeypatch.setenv("http_proxy", proxy)
        posters, _ = run(tmp_path, [f"{host.url}/own/a.jpg"], retries=0)
        assert list(posters["status"]) == ["failed"]
    assert not host.asked


# --- stopped runs ---------------------------------------------------------------------------------


def test_a_second_run_on_the_same_folder_stops(tmp_path, host):
    data = tmp_path / "data"
    data.mkdir()
    csv = write_movies(tmp_path, [f"{host.url}/own/a.jpg"])
    with (
        FileLock(data / ".database.lock"),
        pytest.raises(SystemExit, match="Another database.py is at work"),
    ):
        database.main(data, csv, None)
    assert not host.asked and not (data / "posters.csv").exists()


def start(tmp_path, posters, before="pass", **settings):
    """Start a copy of the script in a process of its own, after the line of Python in `before`.

    SIGINT is reset, because the children of a background process of a shell ignore it.
    """
    csv = write_movies(tmp_path, posters)
    script = (ROOT / "database.py").read_text(encoding="utf-8")
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = {"data_dir": "data", "metadata_csv": str(csv), "poster_base": None} | settings
    call = f"{reset}\n    {before}\n    main(**{arguments})"
    script = script.replace("run_from_shell(main)", call)
    (tmp_path / "database.py").write_text(script, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "database.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@posix_only
@pytest.mark.parametrize("is_large", [False, True])
def test_ctrl_c_stops_within_two_seconds_and_says_how_to_resume(tmp_path, host, is_large):
    """While 64 threads wait for a slow host, or large images are decoded for four seconds each."""
    host.bodies["large"] = progressive(6900, 80)
    urls = [f"{host.url}/own/{i}.jpg" for i in range(5)]
    slow = [f"{host.url}/{'large' if is_large else 'slow'}/{i}.jpg" for i in range(64)]
    process = start(tmp_path, urls + slow, workers=64)
    wait_for(lambda: host.asked.total() == 69)
    wait_for(lambda: len(list((tmp_path / "data" / "posters").glob("tt*[0-9].jpg"))) >= 5)
    process.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - pressed < 2
    assert process.returncode == 130
    assert error.strip() == "Stopped. To go on, run: python database.py"
    host.asked.clear()
    posters, _ = run(tmp_path, urls)
    assert set(posters["status"]) == {"ok"} and not host.asked


@posix_only
def test_a_full_disk_is_one_line_and_the_next_run_resumes(tmp_path, host):
    urls = [f"{host.url}/own/{i}.jpg" for i in range(20)]
    host.bodies["large"] = image_bytes(size=(1500, 1500), form="PNG") + bytes(50_000)
    urls.insert(10, f"{host.url}/large/x.jpg")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))"
    process = start(tmp_path, urls, limit)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.fullmatch(r"Stopped: \[Errno 27\].* Fix this, then run: python database.py\n", error)
    data = tmp_path / "data"
    assert not list(data.glob("**/*.part*")) and not (data / "posters.csv").exists()
    host.asked.clear()
    posters, _ = run(tmp_path, urls)
    assert set(posters["status"]) == {"ok"} and len(host.asked) < len(urls)


@pytest.mark.slow
@posix_only
def test_twenty_kills_end_as_an_undisturbed_run(tmp_path, host):
    """Of 2,000 posters half fail at first; after each kill a second run ends normally."""
    faults = ["503-once", "429-once", "reset-once", "short-once", "page-once"] + ["own"] * 5
    urls = [f"{host.url}/{faults[i % len(faults)]}/{i}.jpg" for i in range(1990)]
    urls += [f"{host.url}/404/{i}.jpg" for i in range(10)]
    (tmp_path / "undisturbed").mkdir()
    begin = time.monotonic()
    assert start(tmp_path / "undisturbed", urls, workers=64).wait() == 0
    whole, seconds = downloaded(tmp_path / "undisturbed"), time.monotonic() - begin
    assert len(whole) == 1991
    rng = random.Random(0)
    for i in range(20):
        killed = tmp_path / f"killed{i}"
        killed.mkdir()
        host.asked.clear()
        process = start(killed, urls, workers=64)
        time.sleep(rng.uniform(1, seconds))
        process.kill()
        process.wait()
        assert start(killed, urls, workers=64).wait() == 0
        assert downloaded(killed) == whole
        twice = sum(max(0, host.asked[path] - 1 - path.count("-once")) for path in host.asked)
        assert twice <= 64  # requests in progress at the kill
        shutil.rmtree(killed)
