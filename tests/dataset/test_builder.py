import hashlib
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

from postergenres.dataset import builder
from postergenres.dataset.store import open_store, read_checksums
from postergenres.download.manifest import poster_path
from postergenres.old_files import write_csv

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SAMPLES, contents, count_decoded, image_bytes, leave_unfinished

import preprocessing


def test_a_finished_store_is_kept_until_a_poster_or_the_size_changes(five_posters, capsys):
    images = five_posters / "store" / "images.npy"
    before = images.stat().st_mtime_ns
    preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)
    assert "is up to date" in capsys.readouterr().out and images.stat().st_mtime_ns == before
    poster_path(five_posters, "c").write_bytes(image_bytes())
    preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)
    assert open_store(five_posters).images.shape == (5, 15, 10, 3)
    preprocessing.main(five_posters, image_height=30, image_width=20, workers=1)
    assert open_store(five_posters).images.shape == (5, 30, 20, 3)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "index.csv"])
def test_a_damaged_store_is_rebuilt(five_posters, name):
    (five_posters / "store" / name).unlink()
    preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)
    assert len(open_store(five_posters).images) == 4


def test_a_build_without_posters_leaves_no_finished_store(five_posters):
    for movie, *_ in SAMPLES:
        poster_path(five_posters, movie).unlink()
    with pytest.raises(SystemExit, match="Too few posters.* run: python database.py"):
        preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)
    with pytest.raises(SystemExit, match="unfinished"):
        open_store(five_posters)


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_killed_run_is_resumed(hundred, capsys, chunks):
    whole = contents(hundred / "store")
    leave_unfinished(hundred, chunks)
    with pytest.raises(SystemExit, match="unfinished.*Run: python preprocessing.py"):
        open_store(hundred)
    preprocessing.main(hundred, 15, 10, workers=1)
    assert count_decoded(capsys) == 100 - 32 * chunks
    assert contents(hundred / "store") == whole


def test_a_run_killed_between_the_last_renames_decodes_nothing_again(hundred, capsys):
    poster_path(hundred, 40).write_bytes(image_bytes())
    preprocessing.main(hundred, 15, 10, workers=1)
    whole = contents(hundred / "store")
    leave_unfinished(hundred, 0)
    store = hundred / "store"
    checksums = read_checksums(store).tolist()
    with open(store / "unfinished.jsonl", "a") as journal:
        for first in range(0, 100, builder.CHUNK):
            part = checksums[first : first + builder.CHUNK]
            chunk = {"first": first, "checksums": part, "errors": [""] * len(part)}
            journal.write("\n" + json.dumps(chunk) + "\n")
    (store / "unfinished.npy").unlink()
    capsys.readouterr()
    preprocessing.main(hundred, 15, 10, workers=1)
    assert count_decoded(capsys) == 0 and contents(store) == whole


@pytest.mark.parametrize(
    "is_broken",
    [
        pytest.param(False, id="renamed array"),
        pytest.param(True, id="copied array", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("renames", range(7))
def test_a_kill_between_the_last_renames_loses_nothing(hundred, capsys, is_broken, renames):
    """The process ends after some of the renames; the next run finishes without decoding."""
    body = b"no image" if is_broken else image_bytes()
    poster_path(hundred, 40).write_bytes(body)
    poster_path(hundred, 5).write_bytes(image_bytes((1, 2, 3)))
    copy = hundred.parent / "copy"
    shutil.copytree(hundred, copy)
    preprocessing.main(copy, 15, 10, workers=1)
    code = (
        "import os\nfrom postergenres.dataset import builder, store\nimport preprocessing\n"
        f"rename, left = os.replace, [{renames}]\n"
        "def replace(*paths):\n"
        "    os._exit(9) if not left[0] else rename(*paths)\n"
        "    left[0] -= 1\n"
        "os.replace = replace\n"
        f"preprocessing.main({str(hundred)!r}, 15, 10, workers=1)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert ended.returncode == (9 if renames < 6 else 0), ended.stderr
    capsys.readouterr()
    preprocessing.main(hundred, 15, 10, workers=1)
    out = capsys.readouterr().out
    assert "up to date" in out if renames == 6 else ", 0 of them decoded" in out
    assert contents(hundred / "store") == contents(copy / "store")


def test_leftovers_of_killed_runs_are_deleted(hundred, capsys):
    store = hundred / "store"
    whole = contents(store)
    for name in ("unfinished.npy", "images.part.npy"):
        (store / name).write_bytes(b"half")
    preprocessing.main(hundred, 15, 10, workers=1)
    assert "is up to date" in capsys.readouterr().out and contents(store) == whole


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that is unreadable")
def test_an_unreadable_poster_is_left_out_in_every_run(hundred, capsys):
    poster_path(hundred, 7).unlink()
    poster_path(hundred, 7).symlink_to("/proc/self/mem")
    for _ in range(2):
        preprocessing.main(hundred, 15, 10, workers=1)
    assert "is up to date" in capsys.readouterr().out
    errors = pd.read_csv(hundred / "store" / "errors.csv", dtype=str)
    assert errors["id"].tolist() == ["7", "40"] and errors["error"][0].startswith("OSError")


def test_the_number_of_processes_does_not_change_the_store(hundred):
    one = contents(hundred / "store")
    shutil.rmtree(hundred / "store")
    preprocessing.main(hundred, 15, 10, workers=3)
    assert contents(hundred / "store") == one


@pytest.mark.parametrize("content", ["[]", "null", "{}", "{"])
def test_a_store_with_a_damaged_store_json_is_rebuilt(hundred, content):
    whole = contents(hundred / "store")
    (hundred / "store" / "store.json").write_text(content)
    with pytest.raises(SystemExit, match="do not belong together"):
        open_store(hundred)
    preprocessing.main(hundred, 15, 10, workers=1)
    assert contents(hundred / "store") == whole


def test_a_resumed_run_decodes_changed_posters_again(hundred, capsys):
    leave_unfinished(hundred, 3)
    poster_path(hundred, 5).write_bytes(image_bytes((1, 2, 3)))
    poster_path(hundred, 40).write_bytes(image_bytes((4, 5, 6)))
    preprocessing.main(hundred, 15, 10, workers=1)
    assert count_decoded(capsys) == 100 - 32  # the chunks of 5 and 40, and the last four
    images = open_store(hundred).images
    assert abs(images[5].astype(int) - (1, 2, 3)).max() <= 4
    assert abs(images[40].astype(int) - (4, 5, 6)).max() <= 4 and len(images) == 100


def test_an_unfinished_store_of_another_size_is_discarded(hundred, capsys):
    leave_unfinished(hundred, 3)
    preprocessing.main(hundred, 30, 20, workers=1)
    assert count_decoded(capsys) == 100
    assert open_store(hundred).images.shape == (99, 30, 20, 3)


def test_only_new_posters_are_decoded_after_a_change_of_the_samples(hundred, capsys):
    before = np.load(hundred / "store" / "images.npy")
    samples = pd.read_csv(hundred / "samples.csv", dtype=str)
    samples["split"] = samples["split"].to_numpy()[::-1]
    samples.loc[0, ["genres", "copies"]] = "Comedy", "1"
    write_csv(samples.drop(index=[7, 8]), hundred / "samples.csv")
    preprocessing.main(hundred, 15, 10, workers=2)
    assert count_decoded(capsys) == 1  # the broken one is tried again
    store = open_store(hundred)
    np.testing.assert_array_equal(store.images, np.delete(before, [7, 8], axis=0))
    assert store.genres == ["Comedy", "Drama"] and store.labels[0].tolist() == [1, 0]

    fresh = hundred.parent / "fresh"
    shutil.copytree(hundred, fresh, ignore=shutil.ignore_patterns("store"))
    preprocessing.main(fresh, 15, 10, workers=2)
    assert contents(fresh / "store") == contents(hundred / "store")

    write_csv(samples, hundred / "samples.csv")
    poster_path(hundred, 9).write_bytes(image_bytes((1, 2, 3)))
    capsys.readouterr()
    preprocessing.main(hundred, 15, 10, workers=2)
    assert count_decoded(capsys) == 4  # 7, 8, 9, and the broken one


# --- the journal ----------------------------------------------------------------------------------


SOURCE = {"H": 3, "W": 2, "decoder": "Pillow"}


def open_journal(folder, ids=("a", "b", "c"), **changes):
    return builder.Journal(folder, pd.Series(ids), SOURCE | changes)


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """Return a journal with two of three rows, written as two chunks."""
    monkeypatch.setattr(builder, "CHUNK", 1)
    journal = open_journal(tmp_path)
    journal.start()
    with journal.appending():
        journal.append(0, ["1" * 64], [""])
        journal.append(1, [""], ["FileNotFoundError: No such file or directory"])
    return journal


def test_a_journal_is_read_back(tmp_path, journal):
    assert open_journal(tmp_path).read() == journal.chunks
    assert journal.count_posters() == 2
    assert journal.list_results() == [
        ["1" * 64, ""],
        ["", "FileNotFoundError: No such file or directory"],
    ]


def test_half_a_line_at_the_end_of_a_journal_is_ignored(tmp_path, journal):
    with open(journal.path, "a", encoding="utf-8") as lines:
        lines.write('{"first": 2, "check')
    again = open_journal(tmp_path)
    assert again.read() == journal.chunks
    with again.appending():
        again.append(2, ["3" * 64], [""])
    assert list(open_journal(tmp_path).read()) == [0, 1, 2]


def test_chunks_are_not_recorded_before_the_flush(tmp_path, journal):
    with pytest.raises(KeyboardInterrupt), journal.appending():
        journal.append(2, ["3" * 64], [""])
        raise KeyboardInterrupt
    assert list(open_journal(tmp_path).read()) == [0, 1]


WRONG_LINES = {
    "a list": [1, 2],
    "no checksums": {"first": 1, "errors": [""]},
    "a text as the first row": {"first": "1", "checksums": ["1"], "errors": [""]},
    "a row below 0": {"first": -1, "checksums": ["1"], "errors": [""]},
    "a row beyond the end": {"first": 3, "checksums": ["1"], "errors": [""]},
    "numbers": {"first": 1, "checksums": [1], "errors": [2]},
    "too many rows": {"first": 1, "checksums": ["1", "2"], "errors": ["", ""]},
    "columns of different lengths": {"first": 1, "checksums": ["1"], "errors": []},
    "no rows": {"first": 1, "checksums": [], "errors": []},
}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_line_of_a_journal_with_wrong_content_is_not_used(tmp_path, journal, capsys, name):
    with open(journal.path, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(WRONG_LINES[name]) + "\n")
    assert open_journal(tmp_path).read() == journal.chunks
    line = f"{journal.path} has 1 damaged lines. Their posters are decoded again\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("content", [b"", b"half", "cut"], ids=str)
def test_a_damaged_array_of_a_killed_run_is_made_again(hundred, capsys, content):
    whole = contents(hundred / "store")
    leave_unfinished(hundred, 3)
    array = hundred / "store" / "unfinished.npy"
    array.write_bytes(array.read_bytes()[:-100] if content == "cut" else content)
    (hundred / "store" / "images.npy").unlink()
    preprocessing.main(hundred, 15, 10, workers=1)
    out = capsys.readouterr().out
    assert f"{array} is damaged. Its posters are decoded again" in out.replace("\r", "\n")
    assert "100 of them decoded" in out and contents(hundred / "store") == whole


def test_damaged_lines_of_a_killed_run_are_decoded_again(hundred, capsys):
    whole = contents(hundred / "store")
    leave_unfinished(hundred, 3)
    journal = hundred / "store" / "unfinished.jsonl"
    lines = journal.read_text().split("\n")
    lines[1] = json.dumps(json.loads(lines[1]) | {"checksums": None})
    lines[2] = "[]"
    journal.write_text("\n".join(lines))
    preprocessing.main(hundred, 15, 10, workers=1)
    assert count_decoded(capsys) == 68 and contents(hundred / "store") == whole


def test_a_store_without_room_on_the_disk_is_not_begun(five_posters, monkeypatch):
    """An old store stays as it is; the message says how much room a new one needs."""
    whole = contents(five_posters / "store")
    free = SimpleNamespace(free=14_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    message = (
        "Stopped: .*No space left on device, 15 MB are needed, 14 MB are free.*store'. "
        "Free some space, then run: python preprocessing.py"
    )
    with pytest.raises(SystemExit, match=message):
        preprocessing.main(five_posters, 1000, 1000, workers=1)
    assert contents(five_posters / "store") == whole
    assert len(open_store(five_posters).images) == 4


def test_the_old_store_stays_whole_if_the_room_runs_out_at_the_end(five_posters, monkeypatch):
    """The rows of the broken poster are left out, for which the array is copied."""
    store = five_posters / "store"
    whole = contents(store)
    rooms = iter([10**9, 0])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(rooms)))
    with pytest.raises(SystemExit, match="No space left on device.*Free some space"):
        preprocessing.main(five_posters, 30, 20, workers=1)
    after = contents(store)
    assert {name: after[name] for name in whole} == whole
    assert set(after) - set(whole) == {"unfinished.npy", "unfinished.jsonl"}


def test_a_resumed_run_needs_room_only_for_what_is_not_written(hundred, monkeypatch):
    leave_unfinished(hundred, 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=45_000))
    preprocessing.main(hundred, 15, 10, workers=1)
    assert len(open_store(hundred).images) == 99


@pytest.mark.parametrize(
    "changes", [{"H": 4}, {"decoder": "other"}, {"ids": ("a", "b", "d")}], ids=str
)
def test_the_journal_of_another_source_is_not_used(tmp_path, journal, changes):
    assert open_journal(tmp_path, **changes).read() == {}


def test_a_journal_without_its_array_is_not_used(tmp_path, journal):
    journal.array.unlink()
    assert open_journal(tmp_path).read() == {}


def test_changed_posters_are_found_by_position(tmp_path):
    (tmp_path / "posters").mkdir()
    poster_path(tmp_path, "a").write_bytes(b"a")
    poster_path(tmp_path, "b").write_bytes(b"b")
    checksum = hashlib.sha256(b"a").hexdigest()
    ids, checksums = ["a", "b", "c", "d"], [checksum, checksum, "", checksum]
    assert builder.find_changed(ids, checksums, tmp_path) == [1, 3]
