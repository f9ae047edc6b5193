import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from postergenres.dataset.builder import build_store, describe_source, is_up_to_date
from postergenres.dataset.decoding import decode_poster, fill_rows
from postergenres.dataset.samples import read_samples
from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SAMPLES, contents, image_bytes

import preprocessing


def test_a_row_has_the_pixels_of_its_poster_and_a_broken_poster_has_none(hundred):
    """The number of processes does not change the store."""
    store = open_store(hundred)
    assert store.index["id"].tolist() == [str(i) for i in range(100) if i != 40]
    for pixels, movie in zip(store.images, store.index["id"], strict=True):
        assert (pixels == decode_poster(poster_path(hundred, movie), 15, 10)).all()
    np.save(hundred / "same.npy", store.images)
    assert (hundred / "same.npy").read_bytes() == (hundred / "store/images.npy").read_bytes()
    errors = (hundred / "store" / "errors.csv").read_text()
    assert errors == "id,error\n40,UnidentifiedImageError: cannot identify image file\n"
    one = contents(hundred / "store")
    shutil.rmtree(hundred / "store")
    preprocessing.main(hundred, 15, 10, workers=3)
    assert contents(hundred / "store") == one


def test_a_store_is_kept_until_a_poster_the_samples_or_the_size_change(five_posters, capsys):
    images = five_posters / "store" / "images.npy"
    before = images.stat().st_ino
    preprocessing.main(five_posters, 15, 10, workers=1)
    assert "is up to date\nnext: python train.py" in capsys.readouterr().out
    assert images.stat().st_ino == before
    poster_path(five_posters, "c").write_bytes(image_bytes())
    preprocessing.main(five_posters, 15, 10, workers=1)
    assert open_store(five_posters).images.shape == (5, 15, 10, 3)
    preprocessing.main(five_posters, 30, 20, workers=1)
    assert open_store(five_posters).images.shape == (5, 30, 20, 3)
    samples = five_posters / "samples.csv"
    samples.write_text(samples.read_text().replace("Comedy|Drama", "Drama"))
    preprocessing.main(five_posters, 30, 20, workers=1)
    assert open_store(five_posters).labels[1].tolist() == [0, 1, 0]
    poster_path(five_posters, "a").unlink()
    preprocessing.main(five_posters, 30, 20, workers=1)
    assert open_store(five_posters).images.shape == (4, 30, 20, 3)


def test_a_store_of_another_decoder_is_made_again(five_posters):
    samples = read_samples(five_posters)
    source = describe_source(samples, five_posters, 15, 10)
    assert is_up_to_date(samples, source, five_posters)
    assert not is_up_to_date(samples, source | {"decoder": "Pillow 1"}, five_posters)


@pytest.mark.parametrize("name", ["images.npy", "checksums.csv", "store.json"])
@pytest.mark.parametrize("what", ["was changed or damaged", "is missing"])
def test_a_damaged_store_is_made_again(five_posters, capsys, name, what):
    """tests/dataset/test_store.py changes bytes of all files."""
    whole = contents(five_posters / "store")
    path = five_posters / "store" / name
    path.write_bytes(path.read_bytes() + b" ") if "changed" in what else path.unlink()
    preprocessing.main(five_posters, 15, 10, workers=1)
    assert f"{path} {what}. The store is made again\n" in capsys.readouterr().out
    assert contents(five_posters / "store") == whole


def test_a_build_without_posters_leaves_the_old_store(five_posters):
    whole = contents(five_posters / "store")
    for movie, *_ in SAMPLES:
        poster_path(five_posters, movie).unlink()
    with pytest.raises(SystemExit, match="Too few posters.* 5 of 5 .* run: python database.py"):
        preprocessing.main(five_posters, 15, 10, workers=1)
    assert contents(five_posters / "store") == whole
    assert not list(five_posters.glob("store.*"))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that is unreadable")
def test_an_unreadable_poster_is_left_out_in_every_run(five_posters, capsys):
    poster_path(five_posters, "b").unlink()
    poster_path(five_posters, "b").symlink_to("/proc/self/mem")
    for _ in range(2):
        preprocessing.main(five_posters, 15, 10, workers=1)
    assert "is up to date" in capsys.readouterr().out
    errors = pd.read_csv(five_posters / "store" / "errors.csv", dtype=str)
    assert errors["id"].tolist() == ["b", "c"] and errors["error"][0].startswith("OSError")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="sends SIGKILL")
def test_a_killed_run_leaves_the_old_store_and_the_next_one_ends_as_if_undisturbed(hundred):
    old = contents(hundred / "store")
    for i in range(100):
        poster_path(hundred, i).write_bytes(image_bytes((i, i, i), (500, 750), form="PNG"))
    copy = hundred.with_name("copy")
    shutil.copytree(hundred, copy)
    preprocessing.main(copy, 15, 10, workers=2)
    code = f"import preprocessing; preprocessing.main({str(hundred)!r}, 15, 10, workers=2)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while not (hundred / "store.part" / "images.npy").is_file():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert contents(hundred / "store") == old
    preprocessing.main(hundred, 15, 10, workers=2)
    assert contents(hundred / "store") == contents(copy / "store")
    assert not list(hundred.glob("store.*"))


def lose_rows(array, first, *rest):
    """Do the task of a worker whose rows never reach the shared folder."""
    result = fill_rows(array, first, *rest)
    if first:
        np.load(array, mmap_mode="r+")[first:] = 0
    return result


class LosingExecutor(ThreadPoolExecutor):
    def submit(self, function, /, *task):
        return super().submit(lose_rows, *task)


def test_rows_that_a_worker_wrote_elsewhere_are_noticed(hundred):
    samples, whole = read_samples(hundred), contents(hundred / "store")
    source = describe_source(samples, hundred, 15, 10)
    with LosingExecutor(1) as executor, pytest.raises(OSError, match="lacks rows that a worker"):
        build_store(samples, source, hundred, executor)
    assert contents(hundred / "store") == whole
