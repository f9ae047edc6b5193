"""posters.csv and its journal: what is written, and what a later run reads from them."""

import json
import os

from postergenres.download import manifest
from postergenres.download.manifest import PreviousRuns, open_manifest, poster_path

import pytest


def make_row(id, status="", error="", url=None):
    url = f"http://h/{id}.jpg" if url is None else url
    return {
        "id": id,
        "title": "x, y",
        "genres": "Drama",
        "url": url,
        "status": status,
        "error": error,
    }


def write_run(data, rows):
    """Write the manifest of a run that fetched these posters."""
    (data / "posters").mkdir(exist_ok=True)
    with open_manifest(data, PreviousRuns(data)) as writer:
        for number, row in enumerate(rows):
            writer.add(number, dict(row), is_new=True)
            if row["status"] == "ok":
                poster_path(data, row["id"]).write_bytes(b"image")
    return writer


def test_rows_are_written_in_the_order_of_the_movies(tmp_path):
    rows = [make_row("m0", "ok"), make_row("m1", "failed", "HTTP 503"), make_row("m2", "ok")]
    with open_manifest(tmp_path, PreviousRuns(tmp_path)) as writer:
        for number in (2, 0, 1):
            writer.add(number, rows[number], is_new=True)
    assert (tmp_path / "posters.csv").read_bytes() == (
        b"id,title,genres,url,status,error\n"
        b'm0,"x, y",Drama,http://h/m0.jpg,ok,\n'
        b'm1,"x, y",Drama,http://h/m1.jpg,failed,HTTP 503\n'
        b'm2,"x, y",Drama,http://h/m2.jpg,ok,\n'
    )
    read = manifest.read_manifest(tmp_path).to_dict("records")
    assert read == [row | {"train_only": ""} for row in rows]
    assert not manifest.journal_path(tmp_path).exists()


def test_train_only_movies_are_written_and_read_back(tmp_path):
    rows = [make_row("m0", "ok") | {"train_only": ""}, make_row("m1", "ok") | {"train_only": "yes"}]
    columns = [*manifest.COLUMNS, manifest.TRAIN_ONLY]
    with open_manifest(tmp_path, PreviousRuns(tmp_path), columns) as writer:
        for number, row in enumerate(rows):
            writer.add(number, row, is_new=True)
    assert (tmp_path / "posters.csv").read_bytes() == (
        b"id,title,genres,url,status,error,train_only\n"
        b'm0,"x, y",Drama,http://h/m0.jpg,ok,,\n'
        b'm1,"x, y",Drama,http://h/m1.jpg,ok,,yes\n'
    )
    assert manifest.read_manifest(tmp_path).to_dict("records") == rows


def test_counts_and_reasons_are_counted(tmp_path):
    rows = [make_row("m0", "ok"), make_row("m1", "gone", "cut short: OSError: x")]
    writer = write_run(tmp_path, [*rows, make_row("m2", "gone", "cut short: OSError: y")])
    assert writer.counts == {"ok": 1, "gone": 2, "failed": 0}
    assert writer.reasons == {"": 1, "cut short": 2}


def test_a_missing_manifest_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"posters.csv is missing. Run: python database.py$"):
        manifest.read_manifest(tmp_path)


def test_an_interrupted_run_leaves_a_journal_without_failed_posters(tmp_path):
    rows = [make_row("m0", "ok"), make_row("m1", "failed", "x"), make_row("m2", "gone", "HTTP 404")]
    with (
        pytest.raises(KeyboardInterrupt),
        open_manifest(tmp_path, PreviousRuns(tmp_path)) as writer,
    ):
        for number, row in enumerate(rows):
            writer.add(number, row, is_new=True)
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["posters.journal.jsonl"]
    lines = manifest.journal_path(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines if line] == [
        {"id": "m0", "url": "http://h/m0.jpg", "status": "ok", "error": ""},
        {"id": "m2", "url": "http://h/m2.jpg", "status": "gone", "error": "HTTP 404"},
    ]


def test_a_status_is_filled_in_for_the_same_url_only(tmp_path):
    write_run(tmp_path, [make_row("m0", "ok"), make_row("m1", "gone", "not an image")])
    previous = PreviousRuns(tmp_path)
    assert previous.fill_in_status(make_row("m0"))["status"] == "ok"
    gone = previous.fill_in_status(make_row("m1"))
    assert (gone["status"], gone["error"]) == ("gone", "not an image")
    for id in ("m0", "m1"):
        assert previous.fill_in_status(make_row(id, url="http://h/other.jpg"))["status"] == ""
    assert previous.fill_in_status(make_row("m2"))["status"] == ""
    poster_path(tmp_path, "m0").unlink()
    assert previous.fill_in_status(make_row("m0"))["status"] == ""


def test_a_status_is_kept(tmp_path):
    write_run(tmp_path, [make_row("m0", "ok")])
    row = make_row("m0", "gone", "no poster listed")
    assert PreviousRuns(tmp_path).fill_in_status(dict(row)) == row


def test_only_http_statuses_are_trusted_if_no_poster_was_ever_downloaded(tmp_path):
    rows = [make_row("m0", "gone", "HTTP 404"), make_row("m1", "gone", "not an image")]
    write_run(tmp_path, rows)
    filled = [PreviousRuns(tmp_path).fill_in_status(make_row(f"m{i}")) for i in range(2)]
    assert [row["status"] for row in filled] == ["gone", ""]
    write_run(tmp_path, [*rows, make_row("m2", "ok")])
    assert PreviousRuns(tmp_path).fill_in_status(make_row("m1"))["status"] == "gone"


def test_rows_that_a_run_leaves_out_stay_in_the_journal(tmp_path):
    write_run(tmp_path, [make_row("m0", "ok"), make_row("m1", "ok"), make_row("m2", "gone", "x")])
    write_run(tmp_path, [make_row("m0", "ok")])
    lines = manifest.journal_path(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["m1", "m2"]
    previous = PreviousRuns(tmp_path)
    statuses = [previous.fill_in_status(make_row(f"m{i}"))["status"] for i in range(3)]
    assert statuses == ["ok", "ok", "gone"]


def test_a_copy_is_up_to_date_until_its_original_changes(tmp_path):
    copy, original = tmp_path / "copy.jpg", tmp_path / "original.jpg"
    assert not manifest.is_up_to_date(copy, None)
    copy.write_bytes(b"image")
    assert manifest.is_up_to_date(copy, None)
    assert not manifest.is_up_to_date(copy, original)
    original.write_bytes(b"image")
    changed = copy.stat().st_mtime_ns
    os.utime(original, ns=(changed, changed))
    assert manifest.is_up_to_date(copy, original)
    for date in (changed + 10**9, changed - 10**9):  # as copied by an older version
        os.utime(original, ns=(date, date))
        assert manifest.is_up_to_date(copy, original)
        assert copy.stat().st_mtime_ns == date  # the next run need not read them
    original.write_bytes(b"other")
    for date in (changed + 10**9, changed - 2 * 10**9):
        os.utime(original, ns=(date, date))
        assert not manifest.is_up_to_date(copy, original)
    copy.write_bytes(b"")
    assert not manifest.is_up_to_date(copy, None)


def test_posters_that_an_older_version_lost_to_a_bad_proxy_are_requested_again(tmp_path):
    rows = [make_row("m0", "ok"), make_row("m1", "gone", "InvalidURL: 127.0.0.1:9")]
    write_run(tmp_path, rows)
    assert PreviousRuns(tmp_path).fill_in_status(make_row("m1"))["status"] == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (
            "id,title,genres,url,status,error\nm0,Amélie,,u,ok,\n".encode("cp1252"),
            "it is not UTF-8",
        ),
        ("id,title,genres,url,status,error\nm0,x,,u,ok,\n".encode("utf-16"), "it is not UTF-8"),
        (b"id;title;genres;url;status;error\nm0;x;Drama;u;ok;\n", "its columns are separated by ;"),
        (b"id\ttitle\tgenres\turl\tstatus\terror\n", "its columns are separated by tabs"),
        (b"id,title,genres,url,error\nm0,x,Drama,u,\n", "it has no column status"),
        (b"id,title\nm0,x\n", "it has no column genres"),
        (b"id,title,genres,url,status,error\nm0,x,Drama,u,ok,,,,\n", "it has an unknown status"),
        (b'id,title,genres,url,status,error\nm0,"x,Drama,u,ok,\n', "it is not a CSV"),
        (b"id,title,genres,url,status,error\nm0,x,Drama,u,okay,\n", "it has an unknown status"),
        *(
            (
                f"id,title,genres,url,status,error,train_only\nm0,x,,u,ok,,{value}\n".encode(),
                f"it has a train_only that is neither yes nor empty ('{value}')",
            )
            for value in ("no", "Yes", "ye", " ", "nan")
        ),
    ],
)
def test_an_unusable_manifest_is_one_line_with_the_next_command(tmp_path, content, reason):
    (tmp_path / "posters.csv").write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        manifest.read_manifest(tmp_path)
    line = f"{tmp_path / 'posters.csv'} cannot be used: {reason}"
    assert stop.value.code.startswith(line) and "\n" not in stop.value.code
    assert stop.value.code.endswith(". To write it again, run: python database.py")


def test_a_manifest_with_a_byte_order_mark_and_further_columns_is_read(tmp_path):
    content = "id,title,genres,url,status,error,note\nm0,x,Drama,u,ok,,hello\n"
    (tmp_path / "posters.csv").write_bytes(content.encode("utf-8-sig"))
    row = manifest.read_manifest(tmp_path).to_dict("records")[0]
    assert (row["id"], row["status"], row["train_only"]) == ("m0", "ok", "")


def test_a_row_of_a_manifest_that_ends_before_its_last_column_is_not_train_only(tmp_path):
    content = "id,title,genres,url,status,error,train_only\nm0,x,,u,ok,,yes\nm1,x,,u,ok,\n"
    (tmp_path / "posters.csv").write_text(content, encoding="utf-8")
    assert list(manifest.read_manifest(tmp_path)["train_only"]) == ["yes", ""]


@pytest.mark.parametrize("value", [None, 7, [], {}])
@pytest.mark.parametrize("key", manifest.JOURNAL_KEYS)
def test_a_journal_line_with_wrong_values_is_skipped(tmp_path, key, value):
    line = {"id": "m1", "url": "http://h/m1.jpg", "status": "gone", "error": "HTTP 404"}
    manifest.journal_path(tmp_path).write_text(json.dumps(line | {key: value}) + "\n")
    assert PreviousRuns(tmp_path).fill_in_status(make_row("m1"))["status"] == ""
