import hashlib
import json

from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path
from postergenres.files import record_checksums

import numpy as np
import pytest
from conftest import SAMPLES

NAMES = ["images.npy", "labels.npy", "index.csv", "checksums.csv", "errors.csv", "store.json"]


def test_the_store_holds_each_poster_once_and_leaves_out_broken_ones(five_posters):
    store = open_store(five_posters)
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
    bodies = [poster_path(five_posters, movie).read_bytes() for movie in store.index["id"]]
    assert store.poster_sha256 == [hashlib.sha256(body).hexdigest() for body in bodies]
    samples = (five_posters / "samples.csv").read_bytes()
    assert store.samples_sha256 == hashlib.sha256(samples).hexdigest()
    about = json.loads((five_posters / "store" / "store.json").read_text())
    assert (about["H"], about["W"], about["N"]) == (15, 10, 4)


def test_the_counts_of_a_sample_are_those_before_it_was_drawn(five_posters):
    """Those of samples that a person wrote are of its training rows."""
    store = open_store(five_posters)
    assert store.train_movies == 2 and store.train_counts.tolist() == [1, 2, 0]
    about = five_posters / "store" / "store.json"
    content = json.loads(about.read_text())
    content["train"] = {"movies": 9, "genres": {"War": 3, "Drama": 5, "Comedy": 4}}
    about.write_text(json.dumps(content))
    record_checksums(five_posters / "store", ["store.json"])
    store = open_store(five_posters)
    assert store.train_movies == 9 and store.train_counts.tolist() == [4, 5, 3]


def test_a_missing_store_or_one_made_from_other_samples_is_refused(five_posters):
    with pytest.raises(SystemExit, match="store is missing. Run: python preprocessing.py"):
        open_store(five_posters / "none")
    samples = five_posters / "samples.csv"
    samples.write_text(samples.read_text().replace("Comedy", "Romance"))
    with pytest.raises(SystemExit, match="another .*Run: python preprocessing.py"):
        open_store(five_posters)


@pytest.mark.parametrize("name", NAMES)
def test_any_byte_that_is_changed_is_noticed(five_posters, name):
    path = five_posters / "store" / name
    content = path.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 20)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(SystemExit, match=f"{name} was changed or damaged. Run: python prepro"):
            open_store(five_posters)
    path.write_bytes(content)
    open_store(five_posters)


def test_the_identity_of_a_store_changes_with_its_pixels(five_posters):
    before = open_store(five_posters).sha256
    assert open_store(five_posters).sha256 == before
    np.load(five_posters / "store" / "images.npy", mmap_mode="r+")[0, 0, 0, 0] ^= 1
    record_checksums(five_posters / "store", ["images.npy"])
    assert open_store(five_posters).sha256 != before
