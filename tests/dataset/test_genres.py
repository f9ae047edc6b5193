from postergenres.dataset.genres import clean_genres, encode_genres

import pandas as pd
import pytest


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


TOO_FEW = {
    "excluded": (
        ["Foreign"] * 30 + ["News", "", ""],
        "Only 0 movies are left, too few: 30 of 33 have a genre of EXCLUDED_GENRES. "
        "Edit EXCLUDED_GENRES in sampling.py, then run: python sampling.py",
    ),
    "empty": (
        [""] * 30 + ["Drama"] * 9 + ["Foreign"],
        "Only 9 movies are left, too few: 30 of 40 have no genre. "
        "Set METADATA_CSV in database.py to a CSV with genres, then run: python database.py",
    ),
    "rare": (
        ["Drama", "War"] * 2 + ["News"] * 8 + ["Foreign"],
        "Only 8 movies are left, too few: 4 of 13 have only genres of fewer than "
        "MIN_GENRE_MOVIES movies. "
        "Lower MIN_GENRE_MOVIES in sampling.py, then run: python sampling.py",
    ),
    "few": (
        ["Drama"] * 9,
        "Only 9 movies have a poster, too few. Set LIMIT to None or METADATA_CSV to a larger CSV "
        "in database.py, then run: python database.py",
    ),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_few_movies_stop_the_step_with_the_reason_and_the_setting(case):
    cells, message = TOO_FEW[case]
    with pytest.raises(SystemExit) as end:
        clean_genres(pd.DataFrame({"genres": cells}), ("Foreign",), 3)
    assert end.value.code == message


def test_labels_have_a_row_per_movie_and_a_column_per_genre():
    labels = encode_genres(["Drama", "Action|Drama", "War"], ["Action", "Drama", "War"])
    assert labels.dtype == "uint8"
    assert labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
