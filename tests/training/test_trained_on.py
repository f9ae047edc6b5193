from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.training.trained_on import (
    are_listed,
    join_lists,
    leave_out,
    list_movies,
    read_behind_weights,
    read_lists,
    save_lists,
)

import numpy as np
import pytest
from conftest import draw_poster, encode_poster

POSTERS = [draw_poster(number) for number in range(6)]


def hash_movies(ids, height, width, quality=90, posters=POSTERS):
    """Return the list of movies whose posters are saved as JPEG and decoded to a size."""
    pixels = [decode_poster(encode_poster(x, quality), height, width) for x in posters]
    return list_movies(ids, np.stack(pixels), np.arange(len(ids)))


def test_a_movie_is_found_by_its_id_or_its_poster_in_another_size_and_quality():
    listed = join_lists(hash_movies(["a", "b", "c", "d"], 150, 101))
    movies = hash_movies(["a", "x", "y", "z", "v", "w"], 320, 216, quality=40)
    assert are_listed(movies, listed).tolist() == [True] * 4 + [False] * 2
    swapped = hash_movies(["v", "b"], 320, 216, posters=POSTERS[4:])
    assert are_listed(swapped, listed).tolist() == [False, True]


def test_posters_of_one_color_are_not_alike():
    flat = np.full((2, 60, 40, 3), 9, np.uint8)
    listed, movies = (list_movies([name], flat, np.array([0])) for name in "ab")
    assert not are_listed(movies, listed).any() and are_listed(listed, listed).all()


def test_listed_movies_leave_the_validation_and_test_splits_but_not_the_training(hundred):
    store = open_store(hundred)
    names = store.index["id"]
    rows = np.flatnonzero(names.isin(["3", "70", "71", "95"]))
    listed = list_movies(names.iloc[rows], store.images, rows)
    less, counts = leave_out(store, listed)
    assert counts == {"val": 2, "test": 1} and set(names[less.rows("train")]) >= {"3"}
    for split, ids in (("val", {"70", "71"}), ("test", {"95"})):
        kept = set(names[store.rows(split)]) - ids
        assert set(names[less.rows(split)]) == kept
    rows = store.rows("test")
    with pytest.raises(SystemExit, match="trained on all 20 movies of the test split"):
        leave_out(store, list_movies(names.iloc[rows], store.images, rows))


def test_a_model_hands_on_the_movies_behind_its_weights(five_posters, tmp_path):
    store = open_store(five_posters)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    save_lists(store, None, first)
    assert len(read_behind_weights(first)) == 0 and len(read_lists(first)) == 2
    others = hash_movies(["x", "y"], 60, 40, posters=POSTERS[:2])
    save_lists(store, join_lists(others, read_lists(first)), second)
    assert len(read_behind_weights(second)) == 4 and len(read_lists(second)) == 4
    assert are_listed(others, read_lists(second)).all()
