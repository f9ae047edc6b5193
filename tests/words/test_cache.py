import hashlib

from postergenres.dataset.store import open_store
from postergenres.words import cache
from postergenres.words.cache import read_stored_posters

import numpy as np
import pytest
from conftest import contents
from filelock import FileLock

ROWS = np.arange(4)  # the posters of `five_posters` without the broken one


@pytest.fixture
def few(monkeypatch, fake_reader, five_posters):
    """The data folder of `five_posters`, of which a file has two."""
    monkeypatch.setattr(cache, "CHUNK", 2)
    return five_posters


def read(data, rows=ROWS):
    return read_stored_posters(data, open_store(data), rows, workers=1)


def test_posters_are_read_once_and_come_in_the_order_of_the_rows(few, capsys):
    words = read(few)
    assert words[0] == [["explosion", 0.9]] * 2 and words[2] == [["tears", 0.9]] * 2
    assert "reading the words on 4 posters\n" in capsys.readouterr().out
    assert len(list((few / "words").rglob("*.json"))) == 2
    before = contents(few / "words")
    assert read(few, [3, 0, 0]) == [words[3], words[0], words[0]]
    assert contents(few / "words") == before and capsys.readouterr().out == ""


def test_only_new_posters_are_read(few, capsys):
    read(few, [1])
    read(few)
    out = capsys.readouterr().out
    assert "words on 1 posters\n" in out and "words on 3 posters\n" in out


def test_a_stopped_run_is_resumed(few, capsys):
    words = read(few)
    whole = contents(few / "words")
    next((few / "words").rglob("*.json")).unlink()  # not written yet
    (few / "words" / "x").mkdir()
    for folder in (few / "words").iterdir():
        (folder / "0123456789abcdef.99.part.json").write_text("{")
    capsys.readouterr()
    assert read(few) == words
    assert "reading the words on 2 posters\n" in capsys.readouterr().out
    (few / "words" / "x" / "0123456789abcdef.99.part.json").unlink()  # of another reader
    assert contents(few / "words") == whole


@pytest.mark.parametrize("damage", ["", "[]", "This is no such file.", None])
def test_a_damaged_file_is_made_again(few, capsys, damage):
    words = read(few)
    whole = contents(few / "words")
    path = next((few / "words").rglob("*.json"))
    text = path.read_text()
    path.write_text(text.replace("0.9", "0.8") if damage is None else damage)
    capsys.readouterr()
    assert read(few) == words
    out = capsys.readouterr().out
    assert f"note: {path} is damaged: its posters are read again\n" in out
    assert "reading the words on 2 posters\n" in out
    assert contents(few / "words") == whole


def test_another_reader_reads_again(few, capsys, monkeypatch):
    read(few)
    monkeypatch.setattr(cache, "describe_reader", lambda: "another")
    read(few)
    assert capsys.readouterr().out.count("reading the words on 4 posters\n") == 2


@pytest.mark.parametrize("change", ["delete", "edit"])
def test_a_poster_that_is_not_that_of_the_store_is_one_line(few, change):
    path = few / "posters" / "a.jpg"
    path.unlink() if change == "delete" else path.write_bytes(b"another")
    line = r"a\.jpg(: No such file or directory| has changed)\. Run: python database.py and python"
    with pytest.raises(SystemExit, match=line):
        read(few)


def test_a_second_run_at_the_same_time_is_refused(few):
    read(few, [0])
    (folder,) = (few / "words").iterdir()
    with (
        FileLock(folder / "reading.lock"),
        pytest.raises(SystemExit, match="Another run is reading words"),
    ):
        read(few)


def test_a_missing_package_is_reported_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "require_reader", lambda: exit("missing"))
    poster = tmp_path / "a.jpg"
    poster.write_bytes(b"x")
    with pytest.raises(SystemExit, match="missing"):
        cache.read_files([(hashlib.sha256(b"x").hexdigest(), poster)], tmp_path / "words")
    assert not (tmp_path / "words").exists()
