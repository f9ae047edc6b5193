import hashlib
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import contents, image_bytes
from filelock import FileLock

import preprocessing
from postergenres.dataset import builder
from postergenres.dataset.store import open_store, read_checksums
from postergenres.download.manifest import poster_path
from postergenres.files import write_csv

SAMPLES = [
    ("a", "Drama", "train", 3, (250, 10, 10)),
    ("b", "Comedy|Drama", "train", 1, (10, 250, 10)),
    ("c", "Comedy", "val", 1, None),
    ("d", "War", "test", 1, (10, 10, 250)),
    ("NA", "War", "val", 1, (90, 90, 90)),
]


def write_samples(data_dir):
    """samples.csv and the posters of SAMPLES; the one without a colour is no image."""
    (data_dir / "posters").mkdir()
    for movie, _, _, _, colour in SAMPLES:
        body = image_bytes(colour) if colour else b"no image"
        poster_path(data_dir, movie).write_bytes(body)
    columns = ["id", "genres", "split", "copies"]
    rows = pd.DataFrame([row[:4] for row in SAMPLES], columns=columns).assign(title="x")
    write_csv(rows, data_dir / "samples.csv")


@pytest.fixture
def data(tmp_path):
    write_samples(tmp_path)
    preprocessing.main(tmp_path, image_height=15, image_width=10, workers=2)
    return tmp_path


def test_store_holds_each_poster_once_and_leaves_out_what_does_not_decode(data):
    store = open_store(data)
    assert store.images.shape == (4, 15, 10, 3) and store.images.dtype == np.uint8
    assert isinstance(store.images, np.memmap) and not store.images.flags.writeable
    assert store.genres == ["Comedy", "Drama", "War"]
    assert store.labels.dtype == np.uint8
    assert store.labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert store.index.reset_index().to_dict("list") == {
        "row": [0, 1, 2, 3],
        "id": ["a", "b", "d", "NA"],
        "split": ["train", "train", "test", "val"],
        "copies": [3, 1, 1, 1],
    }
    for pixels, row in zip(store.images, (0, 1, 3, 4), strict=True):
        assert abs(pixels.astype(int) - SAMPLES[row][4]).max() <= 6
    assert store.rows("train").tolist() == [0, 1] and store.rows("val").tolist() == [3]
    about = json.loads((data / "store" / "store.json").read_text())
    assert (about["H"], about["W"], about["N"]) == (15, 10, 4)
    errors = pd.read_csv(data / "store" / "errors.csv")
    assert list(errors["id"]) == ["c"] and "cannot identify" in errors["error"][0]


def test_a_finished_store_is_kept_and_a_changed_poster_or_size_rebuilds_it(data, capsys):
    images = data / "store" / "images.npy"
    before = images.stat().st_mtime_ns
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert "is up to date" in capsys.readouterr().out and images.stat().st_mtime_ns == before
    poster_path(data, "c").write_bytes(image_bytes())
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert open_store(data).images.shape == (5, 15, 10, 3)
    preprocessing.main(data, image_height=30, image_width=20, workers=1)
    assert open_store(data).images.shape == (5, 30, 20, 3)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "index.csv"])
def test_a_damaged_store_is_built_anew(data, name):
    (data / "store" / name).unlink()
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert len(open_store(data).images) == 4


def test_without_posters_no_store_looks_finished(data):
    for movie, *_ in SAMPLES:
        poster_path(data, movie).unlink()
    with pytest.raises(SystemExit, match="Too few posters.* run: python database.py"):
        preprocessing.main(data, image_height=15, image_width=10, workers=1)
    with pytest.raises(SystemExit, match="unfinished"):
        open_store(data)


# --- resuming -------------------------------------------------------------------------------------


BROKEN = "UnidentifiedImageError: cannot identify image file"


@pytest.fixture
def hundred(tmp_path):
    """100 posters, one of them broken, and their store."""
    data = tmp_path / "hundred"
    (data / "posters").mkdir(parents=True)
    for i in range(100):
        poster_path(data, i).write_bytes(image_bytes((2 * i, 255 - 2 * i, 50)))
    poster_path(data, 40).write_bytes(b"no image")
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    rows = pd.DataFrame({"id": range(100), "title": "x", "genres": "Drama", "split": splits})
    write_csv(rows.assign(copies=1), data / "samples.csv")
    preprocessing.main(data, 15, 10, workers=1)
    return data


def decoded(capsys):
    """How many posters the last run decoded."""
    return int(re.findall(r"([0-9]+) of them decoded", capsys.readouterr().out)[-1])


def interrupt(data, chunks):
    """Leave the folder as a run does that was killed in the midst of writing its journal."""
    store = data / "store"
    ids = [str(i) for i in range(100)]
    about = json.loads((store / "store.json").read_text())
    checksums = read_checksums(store)
    images = np.insert(np.load(store / "images.npy"), 40, 0, axis=0)  # the broken one
    images[chunks * builder.CHUNK :] = 99
    np.save(store / "unfinished.npy", images)
    key = {name: about[name] for name in ("H", "W", "decoder")}
    key["ids_sha256"] = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    lines = [key]
    for first in range(0, chunks * builder.CHUNK, builder.CHUNK):
        chunk = ids[first : first + builder.CHUNK]
        errors = ["" if movie != "40" else BROKEN for movie in chunk]
        lines.append({"first": first, "checksums": checksums[chunk].tolist(), "errors": errors})
    journal = "\n".join(map(json.dumps, lines)) + '\n{"first": 64, "checks'
    (store / "unfinished.jsonl").write_text(journal)
    (store / "store.json").unlink()


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_killed_run_is_continued(hundred, capsys, chunks):
    whole = contents(hundred / "store")
    interrupt(hundred, chunks)
    with pytest.raises(SystemExit, match="unfinished.*Run: python preprocessing.py"):
        open_store(hundred)
    preprocessing.main(hundred, 15, 10, workers=1)
    assert decoded(capsys) == 100 - 32 * chunks
    assert contents(hundred / "store") == whole


def test_killed_between_the_last_renames_nothing_is_done_again(hundred, capsys):
    poster_path(hundred, 40).write_bytes(image_bytes())
    preprocessing.main(hundred, 15, 10, workers=1)
    whole = contents(hundred / "store")
    interrupt(hundred, 0)
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
    assert decoded(capsys) == 0 and contents(store) == whole


def test_leftovers_of_killed_runs_are_deleted(hundred, capsys):
    store = hundred / "store"
    whole = contents(store)
    for name in ("unfinished.npy", "images.part.npy"):
        (store / name).write_bytes(b"half")
    preprocessing.main(hundred, 15, 10, workers=1)
    assert "is up to date" in capsys.readouterr().out and contents(store) == whole


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that is unreadable")
def test_a_poster_that_cannot_be_read_is_left_out_each_time(hundred, capsys):
    poster_path(hundred, 7).unlink()
    poster_path(hundred, 7).symlink_to("/proc/self/mem")
    for _ in range(2):
        preprocessing.main(hundred, 15, 10, workers=1)
    assert "is up to date" in capsys.readouterr().out
    errors = pd.read_csv(hundred / "store" / "errors.csv", dtype=str)
    assert errors["id"].tolist() == ["7", "40"] and errors["error"][0].startswith("OSError")


def test_the_number_of_processes_changes_nothing(hundred):
    one = contents(hundred / "store")
    shutil.rmtree(hundred / "store")
    preprocessing.main(hundred, 15, 10, workers=3)
    assert contents(hundred / "store") == one


@pytest.mark.parametrize("content", ["[]", "null", "{}", "{"])
def test_a_store_that_tells_nothing_is_built_anew(hundred, content):
    whole = contents(hundred / "store")
    (hundred / "store" / "store.json").write_text(content)
    with pytest.raises(SystemExit, match="do not belong together"):
        open_store(hundred)
    preprocessing.main(hundred, 15, 10, workers=1)
    assert contents(hundred / "store") == whole


def test_a_continued_run_takes_posters_as_they_are_now(hundred, capsys):
    interrupt(hundred, 3)
    poster_path(hundred, 5).write_bytes(image_bytes((1, 2, 3)))
    poster_path(hundred, 40).write_bytes(image_bytes((4, 5, 6)))
    preprocessing.main(hundred, 15, 10, workers=1)
    assert decoded(capsys) == 100 - 32  # the chunks of 5 and 40, and the last four
    images = open_store(hundred).images
    assert abs(images[5].astype(int) - (1, 2, 3)).max() <= 4
    assert abs(images[40].astype(int) - (4, 5, 6)).max() <= 4 and len(images) == 100


def test_what_a_killed_run_made_in_another_size_is_dropped(hundred, capsys):
    interrupt(hundred, 3)
    preprocessing.main(hundred, 30, 20, workers=1)
    assert decoded(capsys) == 100
    assert open_store(hundred).images.shape == (99, 30, 20, 3)


def test_changed_samples_cost_only_what_is_new(hundred, capsys):
    before = np.load(hundred / "store" / "images.npy")
    samples = pd.read_csv(hundred / "samples.csv", dtype=str)
    samples["split"] = samples["split"].to_numpy()[::-1]
    samples.loc[0, ["genres", "copies"]] = "Comedy", "1"
    write_csv(samples.drop(index=[7, 8]), hundred / "samples.csv")
    preprocessing.main(hundred, 15, 10, workers=2)
    assert decoded(capsys) == 1  # the broken one is tried again
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
    assert decoded(capsys) == 4  # 7, 8, 9, and the broken one


def test_a_second_run_keeps_out(data):
    with (
        FileLock(data / "store.lock"),
        pytest.raises(SystemExit, match="Another run is writing .*store"),
    ):
        preprocessing.main(data, image_height=15, image_width=10, workers=1)


def test_a_store_that_does_not_match_the_samples_is_refused(data):
    samples = data / "samples.csv"
    samples.write_text(samples.read_text().replace("Comedy", "Romance"))
    with pytest.raises(SystemExit, match="another .*Run: python preprocessing.py"):
        open_store(data)


def test_an_unfinished_store_is_refused(data):
    (data / "store" / "store.json").unlink()
    with pytest.raises(SystemExit, match="is missing. Run: python preprocessing.py"):
        open_store(data)


def test_missing_samples_name_the_command(tmp_path):
    with pytest.raises(SystemExit, match="samples.csv is missing. Run: python sampling.py"):
        preprocessing.main(tmp_path)


@pytest.mark.parametrize("setting", [{"image_height": 0}, {"image_width": -1}, {"workers": 0}])
def test_bad_settings(tmp_path, setting):
    with pytest.raises(ValueError, match=str(next(iter(setting.values())))):
        preprocessing.main(tmp_path, **setting)
