"""posters.csv and its journal: what is written, and what a later run reads from them."""

import json
import os

from postergenres.download import manifest
from postergenres.download.manifest import Journal, Poster, describe_body, poster_path

import numpy as np
import pytest


def make_poster(id, status="", error="", **more):
    return Poster(id, "x, y", "Drama", f"http://h/{id}.jpg", status, error, **more)


def test_the_manifest_is_written_with_its_counts_and_read_back(tmp_path):
    posters = [make_poster(f"m{i}", "ok", fingerprint=7) for i in range(10)]
    posters += [
        make_poster("m10", "gone", "cut short: x"),
        make_poster("m11", "failed", "HTTP 503"),
    ]
    summary = manifest.write_manifest(posters, tmp_path, has_train_only=False)
    lines = (tmp_path / "posters.csv").read_text(encoding="utf-8").split("\n")
    assert lines[:2] == [
        "id,title,genres,url,status,error",
        'm0,"x, y",Drama,http://h/m0.jpg,ok,',
    ]
    assert lines[11:] == [
        'm10,"x, y",Drama,http://h/m10.jpg,gone,cut short: x',
        'm11,"x, y",Drama,http://h/m11.jpg,failed,HTTP 503',
        "",
    ]
    assert summary.counts == {"ok": 10, "gone": 1, "failed": 1} and summary.shared == 10
    assert summary.reasons == {"cut short": 1, "HTTP 503": 1}
    assert set(manifest.read_manifest(tmp_path)["train_only"]) == {""}


def test_train_only_movies_are_written_and_read_back(tmp_path):
    posters = [make_poster("m0", "ok"), make_poster("m1", "ok", train_only="yes")]
    manifest.write_manifest(posters, tmp_path, has_train_only=True)
    assert list(manifest.read_manifest(tmp_path)["train_only"]) == ["", "yes"]


def test_an_interrupted_run_keeps_the_old_manifest(tmp_path):
    manifest.write_manifest([make_poster("m0", "ok")], tmp_path, has_train_only=False)
    before = (tmp_path / "posters.csv").read_bytes()

    def stop():
        yield make_poster("m1", "ok")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        manifest.write_manifest(stop(), tmp_path, has_train_only=False)
    assert [path.name for path in tmp_path.iterdir()] == ["posters.csv"]
    assert (tmp_path / "posters.csv").read_bytes() == before


@pytest.mark.parametrize("kind", ["S32", np.uint64])
def test_the_same_bytes_for_ten_movies_are_a_placeholder(kind):
    checksums = np.array([3] * 9 + [5] * 10 + [7, 8]).astype(kind)
    assert manifest.find_placeholders(checksums).tolist() == [False] * 9 + [True] * 10 + [False] * 2
    assert manifest.find_placeholders(checksums[:0]).tolist() == []


def test_a_missing_manifest_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"posters.csv is missing. Run: python database.py$"):
        manifest.read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not a CSV (No columns to parse from file)"),
        (b"\n\n", "it is not a CSV (No columns to parse from file)"),
        (
            "id,title,genres,url,status,error\nm0,Amélie,,u,ok,\n".encode("cp1252"),
            "it is not UTF-8",
        ),
        ("id,title,genres,url,status,error\nm0,x,,u,ok,\n".encode("utf-16"), "it is not UTF-8"),
        (b"id;title;genres;url;status;error\nm0;x;Drama;u;ok;\n", "its columns are separated by ;"),
        (b"id\ttitle\tgenres\turl\tstatus\terror\n", "its columns are separated by tabs"),
        (b"id,title,genres,url,error\nm0,x,Drama,u,\n", "it has no column status"),
        (b'id,title,genres,url,status,error\nm0,"x,Drama,u,ok,\n', "it is not a CSV"),
        (b"id,title,genres,url,status,error\nm0,x,Drama,u,okay,\n", "it has an unknown status"),
        (
            b"id,title,genres,url,status,error\nm0,x,,u,ok,\nm0,x,,u,ok,\n",
            "it has an id for the second time ('m0')",
        ),
        *(
            (
                f"id,title,genres,url,status,error,train_only\nm0,x,,u,ok,,{value}\n".encode(),
                f"it has a train_only that is neither yes nor empty ('{value}')",
            )
            for value in ("no", " ")
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


def test_a_row_of_a_manifest_that_ends_before_its_last_column_is_not_train_only(tmp_path):
    content = "id,title,genres,url,status,error,train_only\nm0,x,,u,ok,,yes\nm1,x,,u,ok,\n"
    (tmp_path / "posters.csv").write_text(content, encoding="utf-8")
    assert list(manifest.read_manifest(tmp_path)["train_only"]) == ["yes", ""]


def test_a_manifest_with_a_byte_order_mark_and_further_columns_is_read(tmp_path):
    content = "id,title,genres,url,status,error,note\nm0,x,Drama,u,ok,,hello\n"
    (tmp_path / "posters.csv").write_bytes(content.encode("utf-8-sig"))
    row = manifest.read_manifest(tmp_path).to_dict("records")[0]
    assert (row["id"], row["status"], row["train_only"]) == ("m0", "ok", "")


# --- the journal ----------------------------------------------------------------------------------


def record(data, *posters):
    """Journal posters; those that are ok get a file."""
    (data / "posters").mkdir(exist_ok=True)
    journal = Journal(data)
    for poster in posters:
        if poster.status == "ok":
            poster_path(data, poster.id).write_bytes(poster.id.encode())
            poster.fingerprint = describe_body(poster.id.encode())
        journal.record(poster)


def recall(data, *ids):
    """Return the status and the error that the journal knows for each movie."""
    journal, posters = Journal(data), [make_poster(id) for id in ids]
    for poster in posters:
        assert journal.recall(poster) == (poster.status != "")
    return [(poster.status, poster.error) for poster in posters]


def test_the_journal_knows_what_is_ok_or_gone(tmp_path):
    ok, gone = make_poster("m0", "ok"), make_poster("m1", "gone", "HTTP 404")
    record(tmp_path, ok, gone, make_poster("m2", "failed", "HTTP 503"))
    assert recall(tmp_path, "m0", "m1", "m2", "m3") == [
        ("ok", ""),
        ("gone", "HTTP 404"),
        ("", ""),
        ("", ""),
    ]
    other = Poster("m0", "x", "Drama", "http://h/other.jpg")
    assert not Journal(tmp_path).recall(other)
    journal, poster = Journal(tmp_path), make_poster("m0")
    journal.recall(poster)
    assert poster.fingerprint == describe_body(b"m0")
    poster_path(tmp_path, "m0").unlink()
    assert recall(tmp_path, "m0") == [("", "")]


@pytest.mark.parametrize("line", ["5", "null", "{}", "[]", '["m0", 7]', '["m1", "ht', "\xff"])
def test_a_damaged_line_costs_nothing_else(tmp_path, line):
    path = tmp_path / "posters.journal.jsonl"
    path.write_text(f"{line}\n" + json.dumps(["m1", "http://h/m1.jpg", "HTTP 404"]) + "\n" + line)
    record(tmp_path, make_poster("m2", "gone", "HTTP 410"))
    assert recall(tmp_path, "m1", "m2") == [("gone", "HTTP 404"), ("gone", "HTTP 410")]


def test_a_copy_is_up_to_date_until_its_original_changes(tmp_path):
    copy, original = tmp_path / "copy.jpg", tmp_path / "original.jpg"
    fingerprint = describe_body(b"image")
    assert not manifest.is_up_to_date(copy, "http://h/a.jpg", fingerprint)
    copy.write_bytes(b"image")
    assert manifest.is_up_to_date(copy, "http://h/a.jpg", fingerprint)
    assert not manifest.is_up_to_date(copy, "http://h/a.jpg", describe_body(b"larger image"))
    assert not manifest.is_up_to_date(copy, str(original), fingerprint)
    original.write_bytes(b"image")
    for seconds, is_same in ((0, True), (1, False), (-1, False)):
        date = copy.stat().st_mtime_ns + seconds * 10**9
        os.utime(original, ns=(date, date))
        assert manifest.is_up_to_date(copy, str(original), fingerprint) == is_same
