"""Movies that are only trained on; tests/test_sampling.py tries them in step 2 as a whole."""

from postergenres.dataset.train_only import add_train_only, clean_train_only

import numpy as np
import pandas as pd
import pytest


def test_genres_outside_the_vocabulary_and_excluded_movies_are_dropped(capsys):
    cells = ["War|Drama", "Drama|News", "News", "", "Drama|Foreign", "Foreign"]
    movies = pd.DataFrame({"id": list("abcdef"), "genres": cells})
    cleaned = clean_train_only(movies, ("TV Movie", "Foreign"), ["Drama", "War"])
    assert cleaned.to_dict("list") == {"id": ["a", "b"], "genres": ["Drama|War", "Drama"]}
    assert cleaned.index.tolist() == [0, 1]
    assert capsys.readouterr().out == (
        "dropped 2 train-only movies marked TV Movie or Foreign, and 2 without any of the 2 genres "
        "of the other movies\n"
    )


MOVIES = pd.DataFrame({"id": ["b", "d", "f"], "split": ["train", "val", "test"]})


def test_movies_with_the_poster_of_a_validation_or_test_movie_are_left_out(capsys):
    train_only = pd.DataFrame({"id": ["a", "c", "e", "g"]})
    joined = add_train_only(MOVIES, train_only, np.array([0, 1, 2, 1, 0, 2, 5]))
    assert joined.to_dict("list") == {
        "id": ["b", "c", "d", "f", "g"],
        "split": ["train", "train", "val", "test", "train"],
        "train_only": [False, True, False, False, True],
    }
    assert capsys.readouterr().out == (
        "left out 2 train-only movies with the poster of a validation or test movie, or nearly; "
        "2 are left\n"
    )


@pytest.mark.parametrize("ids", [[], ["a", "c"]])
def test_no_train_only_movie_may_be_left(ids):
    """The second time, both are left out."""
    train_only = pd.DataFrame({"id": ids}, dtype=object)
    joined = add_train_only(MOVIES, train_only, np.array([0, 1, 2, 1, 2][: 3 + len(ids)]))
    assert joined[["id", "split"]].equals(MOVIES)
    assert joined["train_only"].dtype == bool and not joined["train_only"].any()


def test_nothing_is_printed_without_train_only_movies(capsys):
    none = pd.DataFrame({"id": [], "genres": []}, dtype=object)
    assert clean_train_only(none, ("Foreign",), ["Drama"]).empty
    add_train_only(MOVIES, none, np.array([0, 1, 2]))
    assert capsys.readouterr().out == ""
