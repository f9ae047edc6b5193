"""Step 1 through main(), against a local host: statuses, retries, repeated and stopped runs."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from urllib.parse import quote

from postergenres.download import manifest

import pytest
from conftest import ROOT, Server, contents, image_bytes, progressive
from filelock import FileLock

import database


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


@pytest.mark.parametrize(
    ("path", "status", "error", "asked"),
    [
        ("/ok/a.jpg", "ok", "", 1),
        ("/503-once/a.jpg", "ok", "", 2),
        ("/408-once/a.jpg", "ok", "", 2),
        ("/429-once/a.jpg", "ok", "", 2),
        ("/short-once/a.jpg", "ok", "", 2),
        ("/page-once/a.jpg", "ok", "", 2),
        ("/reset-once/a.jpg", "ok", "", 2),
        ("/hang_up-once/a.jpg", "ok", "", 2),
        ("/chunked_short-once/a.jpg", "ok", "", 2),
        ("/404/a.jpg", "gone", "HTTP 404", 1),
        ("/410/a.jpg", "gone", "HTTP 410", 1),
        ("/page/a.jpg", "failed", "a page, and its host has sent no image", 2),
        ("/truncated/a.jpg", "failed", "cut short", 2),
        ("/403/a.jpg", "failed", "HTTP 403", 1),
        ("/nowhere/a.jpg", "failed", "HTTP 302", 1),
        ("/429/a.jpg", "failed", "HTTP 429", 2),
        ("/503/a.jpg", "failed", "HTTP 503", 2),
        ("/short/a.jpg", "failed", "", 2),
        ("/reset/a.jpg", "failed", "reset", 2),
        ("/slow/a.jpg", "failed", "Timeout", 2),
    ],
)
def test_each_response_has_its_status(tmp_path, host, path, status, error, asked):
    posters, code = run(tmp_path, [host.url + path])
    assert posters["status"][0] == status
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    assert host.asked[path] == asked
    file = tmp_path / "data" / "posters" / "tt0000001.jpg"
    assert file.is_file() == (status == "ok")
    assert status != "ok" or file.read_bytes() == image_bytes()
    assert (code == 0) == (status == "ok")


def test_there_is_one_row_per_movie_and_a_second_run_requests_only_failed_posters(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(60)]
    urls += [f"{host.url}/404/x.jpg", "", f"{host.url}/503/x.jpg"]
    posters, code = run(tmp_path, urls, retries=0)
    assert code == 0  # 1 of 63 failed, less than 2 %
    assert list(posters["id"]) == [f"tt{i:07d}" for i in range(1, 64)]
    assert list(posters["status"][60:]) == ["gone", "gone", "failed"]
    assert posters["error"][61] == "no poster listed"
    first = (tmp_path / "data" / "posters.csv").read_bytes()
    assert first.startswith(b"id,title,genres,url,status,error\n")

    host.asked.clear()
    run(tmp_path, urls, retries=0)
    assert dict(host.asked) == {"/503/x.jpg": 1}
    assert (tmp_path / "data" / "posters.csv").read_bytes() == first


def test_train_only_movies_are_downloaded_in_the_same_run(tmp_path, host, capsys):
    """The second CSV lists a movie of the first, and a run is stopped and resumed."""
    more = tmp_path / "more.csv"
    rows = [f"{i},More {i},War,{host.url}/ok/more{i}.jpg" for i in (2, 3, 7, 8)]
    rows.append(f"9,More 9,War,{host.url}/404/more.jpg")
    more.write_text("imdbId,Title,Genre,Poster\n" + "\n".join(rows) + "\n", encoding="utf-8")
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(3)]
    posters, code = run(tmp_path, urls, train_only_csv=more)
    assert code == 0 and "dropped: 2 that METADATA_CSV lists, too" in capsys.readouterr().out
    assert list(posters["id"]) == [f"tt000000{i}" for i in (1, 2, 3, 7, 8, 9)]
    assert list(posters["url"][:3]) == urls
    assert list(posters["status"]) == ["ok"] * 5 + ["gone"]
    assert list(posters["train_only"]) == [""] * 3 + ["yes"] * 3

    data = tmp_path / "data"
    whole = contents(data)
    completed = [
        row for row in posters.to_dict("records") if row["id"] in ("tt0000001", "tt0000009")
    ]
    lines = "".join(map(manifest.journal_line, completed))
    manifest.journal_path(data).write_text(lines, encoding="utf-8")
    (data / "posters.csv").unlink()
    host.asked.clear()
    resumed, _ = run(tmp_path, urls, train_only_csv=more)
    assert contents(data) == whole
    assert sorted(host.asked) == ["/ok/1.jpg", "/ok/2.jpg", "/ok/more7.jpg", "/ok/more8.jpg"]

    host.asked.clear()
    few, _ = run(tmp_path, urls, train_only_csv=more, limit=1)
    assert list(few["id"]) == ["tt0000001", "tt0000002"]  # the first one of each CSV
    assert list(few["train_only"]) == ["", "yes"]
    without, _ = run(tmp_path, urls)
    assert list(without["id"]) == [f"tt000000{i}" for i in (1, 2, 3)]
    assert (data / "posters.csv").read_text(encoding="utf-8").splitlines()[0].endswith("error")


def test_posters_of_train_only_movies_that_fail_count(tmp_path, host):
    more = tmp_path / "more.csv"
    more.write_text(f"Id,Genre,Poster\na,War,{host.url}/403/a.jpg\n", encoding="utf-8")
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(3)]
    _, code = run(tmp_path, urls, train_only_csv=more)
    assert code.startswith(
        "1 of 4 posters failed. Check the network and POSTER_BASE and TRAIN_ONLY"
    )


def test_a_killed_run_resumes(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(3)] + [f"{host.url}/404/x.jpg"] * 2
    urls += [f"{host.url}/page/x.jpg"]
    whole, _ = run(tmp_path, urls)
    data = tmp_path / "data"
    (data / "posters.csv").unlink()
    completed = [
        {"id": "tt0000001", "url": urls[0], "status": "ok", "error": ""},
        {"id": "tt0000004", "url": urls[3], "status": "gone", "error": "HTTP 404"},
    ]
    half_line = '{"id": "tt0000005", "url": "ht'
    lines = [json.dumps(row) for row in completed]
    manifest.journal_path(data).write_text("\n".join([*lines, half_line]), encoding="utf-8")
    (data / "posters" / "tt0000002.jpg").unlink()
    (data / "posters" / "tt0000002.part.jpg").write_bytes(b"half")

    host.asked.clear()
    resumed, _ = run(tmp_path, urls)
    assert resumed.equals(whole)
    needed = Counter({"/ok/1.jpg": 1, "/ok/2.jpg": 1, "/404/x.jpg": 1, "/page/x.jpg": 2})
    assert not needed - host.asked
    confirming = host.asked - needed  # one poster again, because of the page
    assert confirming.total() == 1 and "/ok/" in min(confirming)
    assert sorted(path.name for path in data.iterdir()) == ["posters", "posters.csv"]
    assert not list((data / "posters").glob("*.part.*"))


def test_a_changed_url_is_requested(tmp_path, host):
    run(tmp_path, [f"{host.url}/ok/a.jpg"])
    posters, _ = run(tmp_path, [f"{host.url}/ok/b.jpg"])
    assert host.asked["/ok/b.jpg"] == 1 and posters["url"][0].endswith("b.jpg")


def test_a_file_from_another_url_is_downloaded_again(tmp_path, host):
    """The URLs are A, then B in a run that is killed, then A again."""
    host.bodies |= {"a": image_bytes((255, 0, 0)), "b": image_bytes((0, 0, 255))}
    run(tmp_path, [f"{host.url}/a/x.jpg"])
    data = tmp_path / "data"
    poster = {"id": "tt0000001", "url": f"{host.url}/b/x.jpg", "status": "ok", "error": ""}
    manifest.journal_path(data).write_text(json.dumps(poster) + "\n", encoding="utf-8")
    (data / "posters" / "tt0000001.jpg").write_bytes(host.bodies["b"])
    run(tmp_path, [f"{host.url}/a/x.jpg"])
    assert (data / "posters" / "tt0000001.jpg").read_bytes() == host.bodies["a"]


def test_a_smaller_limit_or_a_wrong_source_loses_no_status(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(8)] + [f"{host.url}/404/{i}.jpg" for i in "ab"]
    whole, _ = run(tmp_path, urls)
    before = contents(tmp_path / "data")
    host.asked.clear()
    few, _ = run(tmp_path, urls, limit=2)
    assert len(few) == 2 and not host.asked
    wrong, _ = run(tmp_path, [f"{host.url}/404/wrong.jpg"] * 10)
    assert set(wrong["status"]) == {"gone"}
    host.asked.clear()
    again, _ = run(tmp_path, urls)
    assert again.equals(whole) and not host.asked
    left = contents(tmp_path / "data")
    assert len(left.pop("posters.journal.jsonl").splitlines()) == 10  # the wrong URLs, gone
    assert left == before


def test_posters_are_not_requested_again_if_all_are_gone(tmp_path, host):
    urls = [f"{host.url}/404/a.jpg", f"{host.url}/410/a.jpg"]
    run(tmp_path, urls)
    run(tmp_path, urls)
    assert set(host.asked.values()) == {1}


@pytest.mark.parametrize(
    "damage",
    [
        lambda table, journal: table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes()),
        lambda table, journal: table.write_bytes(table.read_bytes() + bytes(100)),
        lambda table, journal: table.write_bytes(table.read_bytes() + b"caf\xe9,\n"),
        lambda table, journal: journal.write_bytes(b"5\nnull\n{}\n\xff\xfe\n[]\n"),
    ],
    ids=["BOM", "zeros at the end", "another encoding", "journal"],
)
def test_a_damaged_manifest_or_journal_changes_nothing(tmp_path, host, damage):
    urls = [f"{host.url}/ok/{i}.jpg" for i in "ab"]
    run(tmp_path, urls)
    data = tmp_path / "data"
    before = contents(data)
    damage(data / "posters.csv", manifest.journal_path(data))
    host.asked.clear()
    run(tmp_path, urls)
    assert contents(data) == before and not host.asked


def test_an_empty_file_is_downloaded_again(tmp_path, host):
    """A power failure may leave an empty file."""
    run(tmp_path, [f"{host.url}/ok/a.jpg"])
    (tmp_path / "data" / "posters" / "tt0000001.jpg").write_bytes(b"")
    run(tmp_path, [f"{host.url}/ok/a.jpg"])
    assert host.asked["/ok/a.jpg"] == 2


def test_limit_keeps_the_first_movies(tmp_path, host):
    posters, _ = run(tmp_path, [f"{host.url}/ok/{i}.jpg" for i in range(5)], limit=2)
    assert len(posters) == 2 and len(host.asked) == 2


def test_the_url_prefix_is_joined_to_poster_paths(tmp_path, host):
    posters, _ = run(tmp_path, ["/a.jpg", "", f"{host.url}/ok/b.jpg"], poster_base=f"{host.url}/ok")
    assert list(posters["status"]) == ["ok", "gone", "ok"]
    assert posters["url"][0] == f"{host.url}/ok/a.jpg"


def test_posters_in_a_folder_are_found_by_listed_name_or_by_id(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "tt0000002.png", "5.jpg"):
        (folder / name).write_bytes(image_bytes())
    (folder / "tt0000004.jpg").write_bytes(b"text")
    listed = ["/a.jpg", "", "/../../a.jpg", "", ""]  # the fifth id is 5 in the CSV
    posters, _ = run(tmp_path, listed, poster_base=folder)
    assert list(posters["status"]) == ["ok", "ok", "gone", "gone", "ok"]
    assert posters["error"][2] == f"no image in {folder}"
    assert posters["error"][3] == "not an image"


def test_an_image_that_changes_in_its_folder_is_copied_again(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(image_bytes())
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    copy = tmp_path / "data" / "posters" / "tt0000001.jpg"
    before = copy.stat().st_mtime_ns
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    assert copy.stat().st_mtime_ns == before
    (folder / "a.jpg").write_bytes(image_bytes((0, 0, 255)))
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    assert copy.read_bytes() == image_bytes((0, 0, 255))


def test_an_image_with_the_same_size_and_an_older_date_is_copied_again(tmp_path):
    folder, content = tmp_path / "images", image_bytes()
    folder.mkdir()
    (folder / "a.jpg").write_bytes(content)
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    other = content.replace(b"JFIF\0\1\1", b"JFIF\0\1\2")  # another version number
    assert other != content
    (folder / "a.jpg").write_bytes(other)
    os.utime(folder / "a.jpg", (10**9, 10**9))
    run(tmp_path, ["/a.jpg"], poster_base=folder)
    assert (tmp_path / "data" / "posters" / "tt0000001.jpg").read_bytes() == other


def test_urls_are_used_if_the_folder_holds_none_of_the_movies(tmp_path, host):
    (tmp_path / "images").mkdir()
    urls = [f"{host.url}/ok/a.jpg"]
    posters, _ = run(tmp_path, urls, poster_base=tmp_path / "images")
    assert posters["status"][0] == "ok" and host.asked["/ok/a.jpg"] == 1


def test_it_is_an_error_if_more_than_two_percent_failed(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(30)] + [f"{host.url}/503/x.jpg"]
    posters, code = run(tmp_path, urls, retries=0)
    assert "1 of 31 posters failed" in code and "python database.py" in code
    assert (posters["status"] == "failed").sum() == 1


def test_posters_are_requested_again_after_a_run_that_found_none(tmp_path, host):
    """A host that responds to every request with a sign-in page tells nothing about its posters."""
    urls = [f"{host.url}/page-once/{i}.jpg" for i in range(3)]
    posters, code = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"failed"} and "3 of 3 posters failed" in code
    posters, code = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"ok"} and code == 0


def test_many_failed_posters_do_not_stop_the_requests_for_others(tmp_path, host):
    urls = [f"{host.url}/403/{i}.jpg" for i in range(30)] + [f"{host.url}/ok/{i}.jpg" for i in "ab"]
    posters, _ = run(tmp_path, urls, retries=0, workers=1)
    assert list(posters["status"][30:]) == ["ok", "ok"]


def test_an_unreachable_host_ends_soon(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        posters, code = run(tmp_path, [f"{url}/{i}.jpg" for i in range(300)], retries=0)
    assert "300 of 300 posters failed" in code and "python database.py" in code
    assert set(posters["status"]) == {"failed"}
    assert posters["error"].str.startswith("not requested").any()


@pytest.mark.parametrize("base", [None, "", "no/such/folder"])
def test_a_missing_source_of_posters_is_one_line(tmp_path, base):
    csv = tmp_path / "movies.csv"
    csv.write_text("Id,Genre\na,Drama\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="POSTER_BASE.*python database.py"):
        database.main(tmp_path / "data", csv, base)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"limit": 0},
        {"limit": 2.5},
        {"limit": "500"},
        {"workers": 0},
        {"workers": 1.5},
        {"workers": "16"},
        {"rate_limit": 0},
        {"timeout": 0},
        {"retries": -1},
        {"time_limit": 0},
        {"max_bytes": 0},
        {"max_pixels": 0},
        {"max_pixels": 89_478_486},  # step 3 would refuse what step 1 accepts
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_with_its_name_and_value(tmp_path, setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"^{name} .*{re.escape(repr(value))}"):
        database.main(tmp_path / "data", tmp_path / "none.csv", **setting)
    assert not (tmp_path / "data").exists()


# --- a hostile network ----------------------------------------------------------------------------


def test_a_poster_that_waits_for_its_next_attempt_delays_no_other(tmp_path, host):
    urls = [f"{host.url}/503-once/x.jpg"] + [f"{host.url}/ok/{i}.jpg" for i in range(7)]
    posters, _ = run(tmp_path, urls, workers=1)
    assert list(posters["status"]) == ["ok"] * 8  # in the order of the CSV
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "posters").iterdir()}
    assert max(files, key=files.get).stem == "tt0000001"


def test_retry_after_is_honoured(tmp_path, host):
    start = time.monotonic()
    run(tmp_path, [f"{host.url}/429-once/x.jpg"])  # the host asks for 1 s
    assert time.monotonic() - start >= 1


@pytest.mark.skipif(os.name != "posix", reason="Windows does not connect to 0.0.0.0")
def test_the_rate_limit_also_applies_to_redirects(tmp_path, host):
    """0.0.0.0 is this machine, but it is not recognized as a loopback address."""
    url = host.url.replace("127.0.0.1", "0.0.0.0")
    target = quote(f"{url}/ok/a.jpg", safe="")
    start = time.monotonic()
    posters, _ = run(tmp_path, [f"{url}/to={target}/{i}" for i in range(5)], rate_limit=20)
    assert set(posters["status"]) == {"ok"}
    assert time.monotonic() - start >= 9 / 20


def test_host_names_are_resolved(tmp_path, host):
    url = host.url.replace("127.0.0.1", "localhost")
    posters, _ = run(tmp_path, [f"{url}/ok/a.jpg", "http://no-such-host.invalid/a.jpg"], retries=0)
    assert list(posters["status"]) == ["ok", "failed"]
    assert "ClientConnector" in posters["error"][1]


def test_an_unreachable_host_does_not_stop_the_requests_to_others(tmp_path, host):
    urls = [f"http://127.0.0.1:9/{i}.jpg" for i in range(30)] + [f"{host.url}/ok/a.jpg"]
    urls = [url.replace("127.0.0.1:9", "localhost:9") for url in urls]
    posters, _ = run(tmp_path, urls, retries=0, workers=1)
    assert list(posters["status"]) == ["failed"] * 30 + ["ok"]
    assert posters["error"][29].startswith("not requested")


def test_another_port_of_a_host_that_responded_is_not_waited_for(tmp_path, host):
    start = time.monotonic()
    posters, _ = run(tmp_path, [f"{host.url}/ok/a.jpg", "http://127.0.0.1:9/a.jpg"])
    assert list(posters["status"]) == ["ok", "failed"]
    assert time.monotonic() - start < 5


def test_the_connection_is_reused_after_an_error_page(tmp_path, host):
    urls = [f"{host.url}/no-such-page/{i}.jpg" for i in range(5)] + [f"{host.url}/ok/a.jpg"]
    run(tmp_path, urls, workers=1)
    assert len(host.connections) == 1


def test_a_host_that_has_responded_is_waited_for(tmp_path):
    """The network is down for a second, longer than the pause before the only retry."""
    server = Server(("127.0.0.1", 0))
    address = server.server_address

    def answer_once_then_come_back():
        server.handle_request()
        server.server_close()
        time.sleep(1)
        with Server(address) as again:
            threading.Thread(target=again.serve_forever, args=(0.01,), daemon=True).start()
            finished.wait(30)
            again.shutdown()

    finished = threading.Event()
    thread = threading.Thread(target=answer_once_then_come_back)
    thread.start()
    urls = [f"http://127.0.0.1:{address[1]}/ok/{i}.jpg" for i in range(40)]
    try:
        posters, _ = run(tmp_path, urls, workers=1)
    finally:
        finished.set()
        thread.join()
    assert set(posters["status"]) == {"ok"}


# --- stopped and repeated runs --------------------------------------------------------------------


def test_a_second_run_on_the_same_folder_stops(tmp_path, host):
    data = tmp_path / "data"
    data.mkdir()
    csv = write_movies(tmp_path, [f"{host.url}/ok/a.jpg"])
    with (
        FileLock(data / "posters.lock"),
        pytest.raises(SystemExit, match="Another run is downloading"),
    ):
        database.main(data, csv, None)
    assert not host.asked and not (data / "posters.csv").exists()
    database.main(data, csv, None)
    assert sorted(path.name for path in data.iterdir()) == ["posters", "posters.csv"]


def start(tmp_path, posters, before="", **settings):
    """Start step 1 in a process of its own, after the line of Python in `before`.

    SIGINT is reset, because the children of a background process of a shell ignore it.
    """
    before += "\nimport signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    csv = write_movies(tmp_path, posters)
    code = f"{before}\nimport database\ndatabase.main('data', {str(csv)!r}, None, **{settings})"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for another process")
def test_ctrl_c_does_not_wait_for_the_check_of_a_large_image(tmp_path, host):
    host.bodies["large"] = progressive(6900, 80)  # decoded in some four seconds
    process = start(tmp_path, [f"{host.url}/large/{i}.jpg" for i in range(16)])
    wait_for(lambda: len(host.asked) == 16)
    process.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - pressed < 2 and process.returncode == 130


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for another process")
def test_ctrl_c_stops_within_two_seconds_and_says_how_to_resume(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(5)] + [f"{host.url}/slow/{i}.jpg" for i in "ab"]
    process = start(tmp_path, urls)
    wait_for(lambda: len(list((tmp_path / "data" / "posters").glob("tt*.jpg"))) == 5)
    wait_for(lambda: host.asked["/slow/b.jpg"])
    process.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - pressed < 2
    assert process.returncode == 130
    assert error.strip() == "Stopped. To resume, run: python database.py"
    left = {path.name for path in (tmp_path / "data").iterdir()}
    assert left == {"posters", "posters.journal.jsonl"}

    host.asked.clear()
    posters, _ = run(tmp_path, urls, timeout=10)
    assert set(posters["status"]) == {"ok"}
    assert set(host.asked) == {"/slow/a.jpg", "/slow/b.jpg"}


@pytest.mark.skipif(os.name != "posix", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_one_line_and_the_next_run_resumes(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(20)]
    host.bodies["large"] = image_bytes(size=(1500, 1500), form="PNG") + bytes(50_000)
    urls.insert(10, f"{host.url}/large/x.jpg")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))"
    process = start(tmp_path, urls, limit)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert error.startswith("Stopped: [Errno 27]")
    assert error.endswith("Fix this, then run: python database.py\n")
    assert len(error.splitlines()) == 1
    data = tmp_path / "data"
    assert not list(data.glob("**/*.part*")) and not (data / "posters.csv").exists()

    host.asked.clear()
    posters, _ = run(tmp_path, urls)
    assert set(posters["status"]) == {"ok"}
    assert len(host.asked) < len(urls)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_thirty_kills_end_as_an_undisturbed_run(tmp_path, host):
    """Of 2,000 posters a third fail at first; after each kill a second run ends normally."""
    faults = ["503-once", "429-once", "reset-once", "short-once", "page-once"] + ["ok"] * 10
    urls = [f"{host.url}/{faults[i % len(faults)]}/{i}.jpg" for i in range(1990)]
    urls += [f"{host.url}/404/{i}.jpg" for i in range(10)]
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    begin = time.monotonic()
    assert start(undisturbed, urls).wait() == 0
    whole, seconds = contents(undisturbed / "data"), time.monotonic() - begin
    assert len(whole) == 1991
    rng = random.Random(0)
    for i in range(30):
        killed = tmp_path / f"killed{i}"
        killed.mkdir()
        host.asked.clear()
        process = start(killed, urls)
        time.sleep(rng.uniform(0.3, seconds))
        process.kill()
        process.wait()
        assert start(killed, urls).wait() == 0
        assert contents(killed / "data") == whole
        twice = sum(max(0, host.asked[path] - 1 - path.count("-once")) for path in host.asked)
        assert twice <= 8 * database.WORKERS  # requests in progress at the kill
        shutil.rmtree(killed)


PORTAL = "now sends pages in place of images, .*, then run: python database.py$"


def test_a_captive_portal_midway_stops_the_step_and_loses_no_poster(tmp_path, host):
    urls = [f"{host.url}/portal/{i}.jpg" for i in range(200)]
    host.images["left"] = 10
    posters, status = run(tmp_path, urls, retries=0)
    assert (posters["status"] == "ok").sum() >= 9 and re.search(PORTAL, status)
    assert set(posters["status"]) == {"ok", "failed"}
    assert host.asked.total() < 100  # the host is left alone
    posters, status = run(tmp_path, urls, retries=0)  # from the start
    assert set(posters["status"]) == {"ok", "failed"} and re.search(PORTAL, status)
    host.images["left"] = 1000
    posters, status = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"ok"} and status == 0


def test_pages_are_final_if_other_posters_of_the_host_come_through(tmp_path, host):
    urls = [f"{host.url}/{'page' if i % 60 >= 20 else 'ok'}/{i}.jpg" for i in range(80)]
    posters, status = run(tmp_path, urls, retries=0)
    assert list(posters["status"]) == ["gone" if "/page/" in url else "ok" for url in urls]
    assert status == 0
    host.asked.clear()
    run(tmp_path, urls, retries=0)
    assert not host.asked
    posters, _ = run(tmp_path, [*urls[:20], f"{host.url}/page/new.jpg"], retries=0)
    assert posters["status"][20] == "gone"


def test_a_captive_portal_from_the_start_stops_the_step_and_loses_no_poster(tmp_path, host):
    urls = [f"{host.url}/portal/{i}.jpg" for i in range(300)]
    posters, status = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"failed"} and re.search(PORTAL, status)
    assert set(posters["error"]) == {
        "a page, and its host has sent no image",
        "not requested: pages instead of images, 10 times in a row",
    }
    assert host.asked.total() < 60  # the host is left alone
    host.images["left"] = 1000
    posters, status = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"ok"} and status == 0


def test_posters_whose_pages_came_before_a_sign_in_are_requested_again(tmp_path, host):
    urls = [f"{host.url}/page-once/{i}.jpg" for i in range(5)] + [f"{host.url}/ok/a.jpg"]
    posters, status = run(tmp_path, urls, retries=0, workers=1)
    assert set(posters["status"]) == {"ok"} and status == 0
    assert [host.asked[f"/page-once/{i}.jpg"] for i in range(5)] == [2] * 5


def test_pages_are_final_if_an_image_of_their_host_comes_after_them(tmp_path, host):
    """The pages are requested once more after the first image, and never by a later run."""
    urls = [f"{host.url}/page/{i}.jpg" for i in range(5)]
    urls += [f"{host.url}/404/{i}.jpg" for i in range(100)] + [f"{host.url}/ok/a.jpg"]
    posters, status = run(tmp_path, urls, retries=0, workers=1)
    assert list(posters["status"]) == ["gone"] * 105 + ["ok"] and status == 0
    assert set(posters["error"][:5]) == {"not an image"}
    assert [host.asked[f"/page/{i}.jpg"] for i in range(5)] == [2] * 5
    host.asked.clear()
    run(tmp_path, urls, retries=0, workers=1)
    assert not host.asked


def test_a_host_whose_first_posters_are_all_pages_is_not_given_up_forever(tmp_path, host):
    urls = [f"{host.url}/page/{i}.jpg" for i in range(40)]
    urls += [f"{host.url}/ok/{i}.jpg" for i in range(40)]
    for _ in range(2):
        posters, status = run(tmp_path, urls, retries=0, workers=1)
    assert list(posters["status"]) == ["gone"] * 40 + ["ok"] * 40 and status == 0


def test_pages_of_a_host_without_images_that_an_older_version_took_for_final(tmp_path, host):
    other = host.url.replace("127.0.0.1", "localhost")
    urls = [f"{host.url}/ok/a.jpg", f"{other}/ok/b.jpg", f"{host.url}/ok/c.jpg"]
    data = tmp_path / "data"
    (data / "posters").mkdir(parents=True)
    (data / "posters" / "tt0000001.jpg").write_bytes(image_bytes())
    (data / "posters.csv").write_text(
        "id,title,genres,url,status,error\n"
        f"tt0000001,Movie 1,Drama,{urls[0]},ok,\n"
        f"tt0000002,Movie 2,Drama,{urls[1]},gone,not an image\n"
        f"tt0000003,Movie 3,Drama,{urls[2]},gone,not an image\n"
    )
    posters, _ = run(tmp_path, urls)
    assert list(posters["status"]) == ["ok", "ok", "gone"]
    assert dict(host.asked) == {"/ok/b.jpg": 1}


def test_a_captive_portal_of_one_host_does_not_stop_the_requests_to_others(tmp_path, host):
    host.images["left"], other = 5, host.url.replace("127.0.0.1", "localhost")
    urls = [f"{host.url}/portal/{i}.jpg" for i in range(40)]
    urls += [f"{other}/ok/{i}.jpg" for i in range(40)]
    posters, status = run(tmp_path, urls, retries=0)
    assert set(posters["status"][40:]) == {"ok"} and "gone" not in set(posters["status"])
    assert re.search(PORTAL, status)
