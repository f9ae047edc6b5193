"""Files and folders are written completely or not at all; every changed byte is noticed."""

import errno
import os
import random
import shutil

from postergenres import files

import numpy as np
import pandas as pd
import pytest


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with files.replacing(path) as part:
        part.write_text("new")
        assert part.suffix == ".json" and path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_if_the_block_raises(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def write_array(path):
    np.save(path, np.zeros(10))


def write_array_like_numpy_on_a_full_disk(path):
    raise OSError("131072 requested and 4096 written")  # without a number, as on any real disk


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_text("new"), write_array, write_array_like_numpy_on_a_full_disk],
)
def test_a_full_disk_names_the_file_or_the_folder(tmp_path, write):
    with (
        pytest.raises(OSError, match="No space left") as file,
        files.replacing(tmp_path / "a.npy") as part,
    ):
        part.symlink_to("/dev/full")
        write(part)
    assert (file.value.errno, file.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))
    with (
        pytest.raises(OSError, match="No space left") as folder,
        files.writing_folder(tmp_path / "store") as part,
    ):
        (part / "a.npy").symlink_to("/dev/full")
        write(part / "a.npy")
    assert (folder.value.errno, folder.value.filename) == (errno.ENOSPC, str(tmp_path / "store"))


def test_an_error_that_says_more_keeps_its_words(tmp_path):
    with pytest.raises(OSError, match="^a worker has no disk$"), files.replacing(tmp_path / "a"):
        raise OSError("a worker has no disk")


def test_csv_files_are_utf8_with_plain_newlines(tmp_path):
    table = pd.DataFrame({"id": ["a"], "title": ["é, x"]})
    files.write_csv(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == 'id,title\na,"é, x"\n'.encode()


def write_folder(folder, content="new"):
    with files.writing_folder(folder) as part:
        (part / "a.txt").write_text(content)
        (part / "b.bin").write_bytes(bytes(range(256)) * 20)


def test_a_folder_is_replaced_when_the_block_ends(tmp_path):
    folder = tmp_path / "store"
    write_folder(folder, "old")
    with files.writing_folder(folder) as part:
        (part / "a.txt").write_text("new")
        assert (folder / "a.txt").read_text() == "old"
    assert files.find_damage(folder) is None and list(tmp_path.iterdir()) == [folder]
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "checksums.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_stays_as_it_was_if_the_block_raises(tmp_path, error):
    folder = tmp_path / "store"
    write_folder(folder, "old")
    with pytest.raises(error), files.writing_folder(folder) as part:
        (part / "a.txt").write_text("half")
        raise error
    assert files.find_damage(folder) is None and (folder / "a.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one(tmp_path):
    """The states between the system calls of writing_folder, made by hand."""
    folder, old, part = (tmp_path / name for name in ("store", "store.old", "store.part"))
    write_folder(folder, "old")
    part.mkdir()
    (part / "a.txt").write_text("ha")
    assert files.find_damage(folder) is None and (folder / "a.txt").read_text() == "old"
    folder.rename(old)  # between the two renames
    assert files.find_damage(folder) is None and (folder / "a.txt").read_text() == "old"
    write_folder(folder, "new")
    shutil.copytree(folder, old)  # before the old folder is deleted
    assert files.find_damage(folder) is None and (folder / "a.txt").read_text() == "new"
    write_folder(folder, "newer")
    assert list(tmp_path.iterdir()) == [folder]


def test_every_changed_byte_is_noticed(tmp_path):
    folder, rng = tmp_path / "store", random.Random(0)
    write_folder(folder)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in {rng.randrange(len(whole)) for _ in range(40)}:
            changed = bytearray(whole)
            changed[place] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            assert files.find_damage(folder), (path.name, place)
        path.write_bytes(whole[:-1])
        assert str(path) in (files.find_damage(folder) or "") or path.name == "checksums.json"
        path.write_bytes(whole)
    assert files.find_damage(folder) is None


def test_damage_names_the_file(tmp_path):
    folder = tmp_path / "store"
    assert files.find_damage(folder) == f"{folder} is missing"
    write_folder(folder)
    (folder / "b.bin").unlink()
    assert files.find_damage(folder) == f"{folder / 'b.bin'} is missing"
    assert files.find_damage(folder, ["a.txt"]) is None
    (folder / "a.txt").write_text("neW")
    assert files.find_damage(folder, ["a.txt"]) == f"{folder / 'a.txt'} was changed or damaged"
    text = (folder / "checksums.json").read_text()
    (folder / "checksums.json").write_text(text.replace('"format": 1', '"format": 2'))
    assert "another version" in files.find_damage(folder)


def test_files_are_added_to_a_folder_one_by_one(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
        files.record_checksums(tmp_path, [name])
    assert files.find_damage(tmp_path) is None
    (tmp_path / "b").write_text("c")
    assert files.find_damage(tmp_path, ["a", "c"]) is None
    assert files.find_damage(tmp_path) == f"{tmp_path / 'b'} was changed or damaged"


def test_the_identity_changes_with_the_content(tmp_path):
    write_folder(tmp_path / "a", "x")
    write_folder(tmp_path / "b", "x")
    write_folder(tmp_path / "c", "y")
    a, b, c = (files.identify_folder(tmp_path / name) for name in "abc")
    assert a == b != c


def test_a_disk_without_room_is_an_error(tmp_path):
    files.check_room(tmp_path / "not" / "there", 1)
    with pytest.raises(OSError, match="No space left on device, .* MB are needed"):
        files.check_room(tmp_path, shutil.disk_usage(tmp_path).total + 1)
    assert os.listdir(tmp_path) == []
