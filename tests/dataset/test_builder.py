import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLES, contents, count_decoded, image_bytes, leave_unfinished

import preprocessing
from postergenres.dataset import builder
from postergenres.dataset.store import open_store, read_checksums
from postergenres.download.manifest import poster_path
from postergenres.files import write_csv


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
