import pandas as pd
import pytest

from postergenres.dataset.genres import clean_genres, encode_genres


def test_excluded_rare_and_missing_genres_are_dropped(capsys):
    cells = ["War|Drama"] * 9 + ["Drama", "News|Drama", "News", "", "Drama|Foreign"]
    movies = pd.DataFrame({"id": range(len(cells)), "genres": cells})
    cleaned, genres = clean_genres(movies, ("Foreign",), 3)
    assert genres == ["Drama", "War"]
    assert cleaned["id"].tolist() == list(range(11)) == cleaned.index.tolist()
    assert cleaned["genres"].tolist() == ["Drama|War"] * 9 + ["Drama", "Drama"]
    assert capsys.readouterr().out.splitlines() == [
        "dropped 1 movies marked Foreign",
        "dropped 1 movies without a genre",
        "genres with fewer than 3 movies, left out: News (2)",
        "dropped 1 movies that have only left-out genres",
    ]


def test_movies_with_an_excluded_genre_do_not_count_for_their_other_genres():
    movies = pd.DataFrame({"genres": ["Drama"] * 10 + ["War|Foreign"] * 5})
    assert clean_genres(movies, ("Foreign",), 5)[1] == ["Drama"]


def test_too_few_remaining_movies_stop_the_step():
    movies = pd.DataFrame({"genres": ["Drama"] * 9})
    message = "Only 9 movies are left, too few. Lower MIN_GENRE_MOVIES and run: python sampling.py"
    with pytest.raises(SystemExit, match=message):
        clean_genres(movies, (), 1)


def test_labels_have_a_row_per_movie_and_a_column_per_genre():
    labels = encode_genres(["Drama", "Action|Drama", "War"], ["Action", "Drama", "War"])
    assert labels.dtype == "uint8"
    assert labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
