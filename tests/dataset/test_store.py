import json

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLES

from postergenres.dataset.store import open_store


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
