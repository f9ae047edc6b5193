"""Movies that are only trained on; tests/test_sampling.py tries them in step 2 as a whole."""

from postergenres.dataset.duplicates import PosterHash
from postergenres.dataset.genres import Wanted
from postergenres.dataset.train_only import add_train_only, clean_train_only

import pandas as pd
import pytest


def test_genres_outside_the_vocabulary_and_excluded_movies_are_dropped():
    cells = ["War|Drama", "Drama|News", "News", "", "Drama|Foreign", "Foreign"]
    movies = pd.DataFrame({"id": list("abcdef"), "genres": cells})
    wanted = Wanted(("TV Movie", "Foreign"), 10)
    cleaned = clean_train_only(movies, wanted, ["Drama", "War"])
    assert cleaned.to_dict("list") == {"id": ["a", "b"], "genres": ["Drama|War", "Drama"]}
    assert cleaned.index.tolist() == [0, 1]


def with_posters(movies, posters):
    """Add posters; those with the same letter are the same."""
    return movies.assign(poster=[PosterHash(letter.encode()) for letter in posters])


MOVIES = pd.DataFrame({"id": ["b", "d", "f"], "split": ["train", "val", "test"]})


def test_movies_with_the_poster_of_a_validation_or_test_movie_are_left_out():
    train_only = with_posters(pd.DataFrame({"id": ["a", "c", "e", "g"]}), "yxzu")
    joined = add_train_only(with_posters(MOVIES, "xyz"), train_only, near_duplicate=68)
    assert joined[["id", "split", "train_only"]].to_dict("list") == {
        "id": ["b", "c", "d", "f", "g"],
        "split": ["train", "train", "val", "test", "train"],
        "train_only": [False, True, False, False, True],
    }


@pytest.mark.parametrize("posters", ["", "yz"])
def test_no_train_only_movie_may_be_left(posters):
    """The second time, both are left out."""
    train_only = with_posters(pd.DataFrame({"id": list(posters)}, dtype=object), posters)
    joined = add_train_only(with_posters(MOVIES, "xyz"), train_only, near_duplicate=68)
    assert joined[["id", "split"]].equals(MOVIES)
    assert joined["train_only"].dtype == bool and not joined["train_only"].any()
