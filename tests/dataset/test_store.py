import hashlib
import json

from postergenres.dataset.store import FILES, open_store, seal_store
from postergenres.old_files import without_checksum

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLES, contents

import preprocessing


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
    about = json.loads((five_posters / "store" / "store.json").read_text())
    assert (about["H"], about["W"], about["N"]) == (15, 10, 4)
    errors = pd.read_csv(five_posters / "store" / "errors.csv")
    assert list(errors["id"]) == ["c"] and "cannot identify" in errors["error"][0]


def test_a_store_made_from_other_samples_is_refused(five_posters):
    samples = five_posters / "samples.csv"
    samples.write_text(samples.read_text().replace("Comedy", "Romance"))
    with pytest.raises(SystemExit, match="another .*Run: python preprocessing.py"):
        open_store(five_posters)


def test_an_unfinished_store_is_refused(five_posters):
    (five_posters / "store" / "store.json").unlink()
    with pytest.raises(SystemExit, match="is missing. Run: python preprocessing.py"):
        open_store(five_posters)


# --- files that belong together -------------------------------------------------------------------


def flip_bit(path, position):
    """Flip a bit of a file, counted from the end if `position` is negative."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def reverse_genres(path):
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"genres": about["genres"][::-1]}, indent=2))


def swap_splits(path):
    text = path.read_text()
    path.write_text(text.replace("train", "x").replace("test", "train").replace("x", "test"))


def remove_checksums(path):
    about = json.loads(path.read_text())
    path.write_text(json.dumps(without_checksum(about, "files"), indent=2) + "\n")


DAMAGE = {
    "genres in another order": ("store.json", reverse_genres),
    "a store of an older version": ("store.json", remove_checksums),
    "a bit of the labels": ("labels.npy", lambda path: flip_bit(path, -1)),
    "a bit of the pixels": ("images.npy", lambda path: flip_bit(path, 500)),
    "swapped splits": ("index.csv", swap_splits),
    "a bit of the checksums": ("checksums.csv", lambda path: flip_bit(path, 20)),
    "no checksums": ("checksums.csv", lambda path: path.unlink()),
    "cut images": ("images.npy", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    **{f"empty {name}": (name, lambda path: path.write_bytes(b"")) for name in FILES},
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_store_of_which_a_file_was_changed_is_refused_and_made_again(five_posters, capsys, name):
    whole = contents(five_posters / "store")
    file, damage = DAMAGE[name]
    damage(five_posters / "store" / file)
    message = "The files in .*store do not belong together. Run: python preprocessing.py"
    with pytest.raises(SystemExit, match=message):
        open_store(five_posters)
    capsys.readouterr()
    preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)
    out = capsys.readouterr().out
    assert "do not belong together, or an older version wrote them. They are made again" in out
    is_reusable = file in ("store.json", "labels.npy") and name != "genres in another order"
    if is_reusable and name != "empty labels.npy":
        assert "5 posters, 1 of them decoded" in out  # the broken one
    assert contents(five_posters / "store") == whole


def test_any_byte_that_is_changed_in_a_small_store_is_noticed(five_posters):
    store = five_posters / "store"
    for name in ("store.json", *FILES):
        content = (store / name).read_bytes()
        for position in range(0, len(content), max(1, len(content) // 60)):
            flip_bit(store / name, position)
            with pytest.raises(SystemExit, match="do not belong together|another version"):
                open_store(five_posters)
            (store / name).write_bytes(content)
    open_store(five_posters)


def test_all_pixels_of_a_large_store_are_checked_on_demand(five_posters):
    images = five_posters / "store" / "images.npy"
    preprocessing.main(five_posters, image_height=1000, image_width=800, workers=1)
    open_store(five_posters, verify="all")
    flip_bit(images, 100_000)  # between two blocks
    open_store(five_posters)
    with pytest.raises(SystemExit, match="do not belong together"):
        open_store(five_posters, verify="all")
    flip_bit(images, 100_000)
    flip_bit(images, 100)
    with pytest.raises(SystemExit, match="do not belong together"):
        open_store(five_posters)


def test_the_identity_of_a_store_does_not_depend_on_its_checksums(five_posters):
    store = five_posters / "store"
    about = without_checksum(json.loads((store / "store.json").read_text()), "files")
    earlier = [(json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()]
    earlier += [(store / name).read_bytes() for name in ("index.csv", "checksums.csv")]
    digests = "".join(hashlib.sha256(content).hexdigest() for content in earlier)
    assert open_store(five_posters).sha256 == hashlib.sha256(digests.encode()).hexdigest()


def test_a_changed_store_can_be_sealed_again(five_posters):
    store = five_posters / "store"
    swap_splits(store / "index.csv")
    seal_store(store, json.loads((store / "store.json").read_text()))
    assert open_store(five_posters, verify="all").rows("test").tolist() == [0, 1]
