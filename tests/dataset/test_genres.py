from postergenres.dataset.genres import (
    Dropped,
    Wanted,
    clean_genres,
    clean_train_only,
    encode_genres,
    list_genres,
)

import pandas as pd


def test_excluded_rare_and_missing_genres_are_dropped():
    cells = ["War|Drama"] * 9 + ["Drama", "News|Drama", "News", "", "Drama|Foreign"]
    movies = pd.DataFrame({"id": range(len(cells)), "genres": cells})
    cleaned, dropped = clean_genres(movies, Wanted(("Foreign",), 9))
    assert cleaned["id"].tolist() == list(range(11)) == cleaned.index.tolist()
    assert cleaned["genres"].tolist() == ["Drama|War"] * 9 + ["Drama", "Drama"]
    assert list_genres(cleaned["genres"]) == ["Drama", "War"]
    assert dropped == Dropped(excluded=1, empty=1, rare=1, rare_genres={"News": 2})


def test_movies_with_an_excluded_genre_do_not_count_for_their_other_genres():
    movies = pd.DataFrame({"genres": ["Drama"] * 10 + ["War|Foreign"] * 5})
    assert list_genres(clean_genres(movies, Wanted(("Foreign",), 5))[0]["genres"]) == ["Drama"]


def test_train_only_movies_keep_the_genres_of_the_others_and_excluded_movies_are_dropped():
    cells = ["War|Drama", "Drama|News", "News", "", "Drama|Foreign", "Foreign"]
    movies = pd.DataFrame({"id": list("abcdef"), "genres": cells})
    cleaned = clean_train_only(movies, Wanted(("TV Movie", "Foreign"), 10), ["Drama", "War"])
    assert cleaned.to_dict("list") == {"id": ["a", "b"], "genres": ["Drama|War", "Drama"]}
    assert cleaned.index.tolist() == [0, 1]


def test_labels_have_a_row_per_movie_and_a_column_per_genre():
    labels = encode_genres(["Drama", "Action|Drama", "War"], ["Action", "Drama", "War"])
    assert labels.dtype == "uint8"
    assert labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
