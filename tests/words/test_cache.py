from postergenres.dataset.store import open_store
from postergenres.words import cache
from postergenres.words.cache import CHUNK, WordsCache, read_stored_posters

import pytest
from conftest import contents, image_bytes


def read(data, rows=None):
    return read_stored_posters(data, open_store(data), rows, workers=1)


def test_posters_are_read_once_and_come_in_the_order_of_the_rows(fake_reader, five_posters, capsys):
    words = read(five_posters)
    assert words[0] == [["explosion", 0.9]] * 2 and words[2] == [["tears", 0.9]] * 2
    assert "reading the words on 4 posters\n" in capsys.readouterr().out
    before = contents(five_posters / "words")
    assert read(five_posters, [3, 0, 0]) == [words[3], words[0], words[0]]
    assert contents(five_posters / "words") == before and capsys.readouterr().out == ""


def test_only_new_posters_are_read(fake_reader, five_posters, capsys):
    read(five_posters, [1])
    read(five_posters)
    out = capsys.readouterr().out
    assert "words on 1 posters\n" in out and "words on 3 posters\n" in out


def test_what_a_stopped_run_has_read_is_kept(fake_reader, hundred, capsys):
    """98 posters that differ are read in chunks of 16; the last two are in flight."""
    last = hundred / "posters" / "99.jpg"
    body = last.read_bytes()
    last.unlink()
    with pytest.raises(SystemExit, match="99.jpg: No such file or directory. Run: python database"):
        read(hundred)
    last.write_bytes(body + b"x")
    with pytest.raises(SystemExit, match="99.jpg has changed. Run: python database.py and python"):
        read(hundred)
    last.write_bytes(body)
    capsys.readouterr()
    assert len(read(hundred)) == 99
    assert "reading the words on 2 posters\n" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["edit", "delete"])
def test_the_posters_of_a_damaged_file_are_read_again(fake_reader, five_posters, capsys, damage):
    words = read(five_posters, [1]) and read(five_posters)
    whole = contents(five_posters / "words")
    path = next(x for x in (five_posters / "words").rglob("*.json") if "tears" in x.read_text())
    if damage == "delete":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("0.9", "0.8"))
    capsys.readouterr()
    assert read(five_posters) == words
    out = capsys.readouterr().out
    assert (f"note: {path} is damaged: its posters are read again\n" in out) == (damage == "edit")
    assert "reading the words on 3 posters\n" in out
    assert contents(five_posters / "words") == whole


def test_another_reader_reads_again(fake_reader, five_posters, capsys, monkeypatch):
    read(five_posters)
    monkeypatch.setattr(cache, "describe_reader", lambda: "another")
    read(five_posters)
    assert capsys.readouterr().out.count("reading the words on 4 posters\n") == 2


# --- posters that a user names --------------------------------------------------------------------


def test_named_posters_and_those_of_a_store_are_read_once(fake_reader, five_posters, capsys):
    path = five_posters / "posters" / "a.jpg"
    with WordsCache(five_posters) as cache:
        words = cache.read_words(path)
    assert words == [("explosion", 0.9)] * 2
    before = contents(five_posters / "words")
    with WordsCache(five_posters) as cache:
        assert cache.read_words(path.read_bytes()) == [["explosion", 0.9]] * 2
    assert contents(five_posters / "words") == before and len(before) == 2
    read(five_posters)
    assert "reading the words on 3 posters\n" in capsys.readouterr().out


def test_a_killed_run_on_named_posters_keeps_whole_chunks(fake_reader, tmp_path):
    cache = WordsCache(tmp_path)
    for number in range(CHUNK + 1):
        cache.read_words(image_bytes((220, 40, 40)) + bytes([number]))
    written = [path.read_text() for path in (tmp_path / "words").rglob("*.json")]
    assert sum(text.count("explosion") for text in written) == 2 * CHUNK
