import json
import socket

import pytest
from conftest import image_bytes

import database


def write_movies(tmp_path, posters):
    """A CSV in the IMDb format, one movie for each poster URL; their ids count from tt0000001."""
    rows = [f"{i},Movie {i},Drama,{url}" for i, url in enumerate(posters, start=1)]
    path = tmp_path / "movies.csv"
    path.write_text("imdbId,Title,Genre,Poster\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(tmp_path, posters, **settings):
    """Run step 1 into tmp_path/data; returns posters.csv and the exit status."""
    csv = write_movies(tmp_path, posters)
    settings = {"poster_base": None, "timeout": 1, "retries": 1, "workers": 4} | settings
    status = 0
    try:
        database.main(tmp_path / "data", csv, **settings)
    except SystemExit as exit:
        status = exit.code
    return database.read_posters(tmp_path / "data"), status


@pytest.mark.parametrize(
    ("path", "status", "error", "asked"),
    [
        ("/ok/a.jpg", "ok", "", 1),
        ("/503-once/a.jpg", "ok", "", 2),
        ("/429-once/a.jpg", "ok", "", 2),
        ("/short-once/a.jpg", "ok", "", 2),
        ("/page-once/a.jpg", "ok", "", 2),
        ("/reset-once/a.jpg", "ok", "", 2),
        ("/404/a.jpg", "gone", "HTTP 404", 1),
        ("/410/a.jpg", "gone", "HTTP 410", 1),
        ("/page/a.jpg", "gone", "not an image", 2),
        ("/truncated/a.jpg", "failed", "cut short", 2),
        ("/403/a.jpg", "failed", "HTTP 403", 1),
        ("/429/a.jpg", "failed", "HTTP 429", 2),
        ("/503/a.jpg", "failed", "HTTP 503", 2),
        ("/short/a.jpg", "failed", "", 2),
        ("/reset/a.jpg", "failed", "ConnectionError", 2),
        ("/slow/a.jpg", "failed", "Timeout", 2),
    ],
)
def test_each_answer_has_its_status(tmp_path, host, path, status, error, asked):
    posters, code = run(tmp_path, [host.url + path])
    assert posters["status"][0] == status
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    assert host.asked[path] == asked
    file = tmp_path / "data" / "posters" / "tt0000001.jpg"
    assert file.is_file() == (status == "ok")
    assert status != "ok" or file.read_bytes() == image_bytes()
    assert (code == 0) == (status == "ok")


def test_one_row_per_movie_and_a_second_run_asks_for_nothing_it_has(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(60)]
    urls += [f"{host.url}/404/x.jpg", "", f"{host.url}/503/x.jpg"]
    posters, code = run(tmp_path, urls, retries=0)
    assert code == 0  # 1 of 63 failed, which is below 2 %
    assert list(posters.columns) == ["id", "title", "genres", "url", "status", "error"]
    assert list(posters["id"]) == [f"tt{i:07d}" for i in range(1, 64)]
    assert list(posters["status"][60:]) == ["gone", "gone", "failed"]
    assert posters["error"][61] == "no poster listed"
    first = (tmp_path / "data" / "posters.csv").read_bytes()

    host.asked.clear()
    run(tmp_path, urls, retries=0)
    assert dict(host.asked) == {"/503/x.jpg": 1}
    assert (tmp_path / "data" / "posters.csv").read_bytes() == first


def test_a_killed_run_goes_on_where_it_was(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(3)] + [f"{host.url}/404/x.jpg"] * 2
    urls += [f"{host.url}/page/x.jpg"]
    whole, _ = run(tmp_path, urls)
    data = tmp_path / "data"
    (data / "posters.csv").unlink()
    settled = [
        {"id": "tt0000001", "url": urls[0], "status": "ok", "error": ""},
        {"id": "tt0000004", "url": urls[3], "status": "gone", "error": "HTTP 404"},
    ]
    torn = '{"id": "tt0000005", "url": "ht'
    lines = [json.dumps(row) for row in settled]
    database.journal_path(data).write_text("\n".join([*lines, torn]), encoding="utf-8")
    (data / "posters" / "tt0000002.jpg").unlink()
    (data / "posters" / "tt0000002.part.jpg").write_bytes(b"half")

    host.asked.clear()
    resumed, _ = run(tmp_path, urls)
    assert resumed.equals(whole)
    assert dict(host.asked) == {"/ok/1.jpg": 1, "/ok/2.jpg": 1, "/404/x.jpg": 1, "/page/x.jpg": 2}
    assert sorted(path.name for path in data.iterdir()) == ["posters", "posters.csv"]
    assert not list((data / "posters").glob("*.part.*"))


def test_another_source_is_asked_again(tmp_path, host):
    run(tmp_path, [f"{host.url}/ok/a.jpg"])
    posters, _ = run(tmp_path, [f"{host.url}/ok/b.jpg"])
    assert host.asked["/ok/b.jpg"] == 1 and posters["url"][0].endswith("b.jpg")


def test_limit_takes_the_first_movies(tmp_path, host):
    posters, _ = run(tmp_path, [f"{host.url}/ok/{i}.jpg" for i in range(5)], limit=2)
    assert len(posters) == 2 and len(host.asked) == 2


def test_url_prefix_is_joined_to_poster_paths(tmp_path, host):
    posters, _ = run(tmp_path, ["/a.jpg", "", f"{host.url}/ok/b.jpg"], poster_base=f"{host.url}/ok")
    assert list(posters["status"]) == ["ok", "gone", "ok"]
    assert posters["url"][0] == f"{host.url}/ok/a.jpg"


def test_folder_holds_posters_by_listed_name_or_by_id(tmp_path):
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


def test_an_image_that_is_replaced_in_its_folder_is_copied_again(tmp_path):
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


def test_a_folder_without_the_movies_gives_way_to_the_urls(tmp_path, host):
    (tmp_path / "images").mkdir()
    urls = [f"{host.url}/ok/a.jpg"]
    posters, _ = run(tmp_path, urls, poster_base=tmp_path / "images")
    assert posters["status"][0] == "ok" and host.asked["/ok/a.jpg"] == 1


def test_an_id_that_names_another_folder_is_a_row_with_a_reason(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(image_bytes())
    csv = tmp_path / "movies.csv"
    csv.write_text("Id,Genre\n../../evil,Drama\na,Drama\n", encoding="utf-8")
    database.main(tmp_path / "data", csv, folder)
    posters = database.read_posters(tmp_path / "data")
    assert list(posters["status"]) == ["gone", "ok"]
    assert posters["error"][0] == "the id cannot name a file"
    assert not list(tmp_path.glob("**/evil*"))


def test_more_than_two_percent_failed_is_an_error(tmp_path, host):
    urls = [f"{host.url}/ok/{i}.jpg" for i in range(30)] + [f"{host.url}/503/x.jpg"]
    posters, code = run(tmp_path, urls, retries=0)
    assert "1 of 31 posters failed" in code and "python database.py" in code
    assert (posters["status"] == "failed").sum() == 1


@pytest.mark.parametrize("url", ["http://a..b/x.jpg", "http://" + 70 * "a" + ".b/x.jpg", "http://"])
def test_a_malformed_url_is_a_row_with_a_reason(tmp_path, host, url):
    posters, _ = run(tmp_path, [url, f"{host.url}/ok/a.jpg"], retries=0)
    assert posters["status"][0] in ("gone", "failed") and posters["error"][0]
    assert posters["status"][1] == "ok"


def test_posters_are_asked_for_again_after_a_run_that_found_none(tmp_path, host):
    """A host that answers every request with a page to sign in says nothing of its posters."""
    urls = [f"{host.url}/page-once/{i}.jpg" for i in range(3)]
    posters, code = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"gone"} and "No poster was found" in code
    posters, code = run(tmp_path, urls, retries=0)
    assert set(posters["status"]) == {"ok"} and code == 0


def test_many_failed_posters_do_not_keep_others_from_being_asked(tmp_path, host):
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
    assert posters["error"].str.startswith("not asked").any()


@pytest.mark.parametrize("base", [None, "", "no/such/folder"])
def test_no_source_of_posters(tmp_path, base):
    csv = tmp_path / "movies.csv"
    csv.write_text("Id,Genre\na,Drama\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="POSTER_BASE.*python database.py"):
        database.main(tmp_path / "data", csv, base)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "setting", [{"limit": 0}, {"workers": 0}, {"timeout": 0}, {"retries": -1}], ids=str
)
def test_bad_settings(tmp_path, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}.*{next(iter(setting.values()))}"):
        database.main(tmp_path, tmp_path / "none.csv", **setting)
