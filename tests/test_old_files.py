"""Files are written completely or not at all; locks and checksums."""

import hashlib

from postergenres import old_files as files

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with files.replacing(path) as part:
        part.write_text("new")
        assert part.suffix == ".json" and part.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_if_the_block_raises(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_processes_write_beside_each_other(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    with files.replacing(path) as part, monkeypatch.context() as other:
        other.setattr(files.os, "getpid", lambda: 1)
        part.write_text("whole")
        with files.replacing(path) as part_of_other:
            part_of_other.write_text("of the other")
        assert part.read_text() == "whole" and path.read_text() == "of the other"
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_leftovers_of_killed_runs_are_deleted_and_nothing_else(tmp_path):
    kept = ["a.json", "ab.12.part.json", "a.12.part.csv", "a.part", "[b].part.json"]
    for name in [*kept, "a.part.json", "a.12.part.json", "[b].1.part.csv"]:
        (tmp_path / name).write_text("x")
    files.discard_leftovers([tmp_path / "a.json", tmp_path / "[b].csv", tmp_path / "none.json"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "a.json"):
        pass


def test_csv_files_are_utf8_with_plain_newlines(tmp_path):
    table = pd.DataFrame({"id": ["a"], "title": ["é, x"]})
    files.write_csv(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == 'id,title\na,"é, x"\n'.encode()
    assert files.csv_bytes(table) == (tmp_path / "a.csv").read_bytes()


def test_json_keeps_text_and_the_values_of_numpy_scalars(tmp_path):
    path = tmp_path / "a.json"
    files.write_json({"title": "é", "count": np.int64(3), "share": np.float64(0.5)}, path)
    assert path.read_bytes() == '{\n  "title": "é",\n  "count": 3,\n  "share": 0.5\n}\n'.encode()
    assert files.read_json(path) == {"title": "é", "count": 3, "share": 0.5}


def test_json_of_an_unsupported_object_leaves_no_file(tmp_path):
    with pytest.raises(AttributeError):
        files.write_json({"x": object()}, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_the_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert files.file_sha256(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_a_lock_excludes_a_second_run_and_leaves_no_file(tmp_path):
    path = tmp_path / "a.lock"
    with files.lock_file(path, "locked"):
        assert path.exists()
        with pytest.raises(SystemExit, match="^locked$"), files.lock_file(path, "locked"):
            pass
    assert not path.exists()
    with FileLock(path), pytest.raises(SystemExit, match="^locked$"):  # by another process
        files.lock_file(path, "locked").__enter__()


def test_a_lock_is_released_if_the_block_raises(tmp_path):
    with pytest.raises(ValueError), files.lock_file(tmp_path / "a.lock", "locked"):
        raise ValueError
    with files.lock_file(tmp_path / "a.lock", "locked"):
        pass
