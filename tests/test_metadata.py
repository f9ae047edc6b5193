import pytest

import metadata


@pytest.mark.parametrize(
    ("cell", "genres"),
    [
        ("[{'id': 18, 'name': 'Drama'}, {'id': 35, 'name': 'Comedy'}]", ["Drama", "Comedy"]),
        ('[{"id": 18, "name": "Drama"}]', ["Drama"]),
        ('[{"id": null, "name": "Drama"}]', ["Drama"]),
        ("['Drama', 'Sci-Fi']", ["Drama", "Sci-Fi"]),
        ("Drama|Sci-Fi", ["Drama", "Sci-Fi"]),
        ("Drama, Science  Fiction ,", ["Drama", "Science Fiction"]),
        ("Drama|Drama", ["Drama"]),
        ("N/A", []),
        ("", []),
        ("[]", []),
        ("[1, None, {}]", []),
        ("[{'id': 18, 'name'", []),
        ("[__import__('os').abort()]", []),
        ("[" * 5000, []),
    ],
)
def test_parse_genres(cell, genres):
    assert metadata.parse_genres(cell) == genres


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "movies.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_tmdb(tmp_path, capsys):
    path = write(
        tmp_path,
        "adult,genres,id,imdb_id,overview,poster_path,title\n"
        "False,\"[{'id': 18, 'name': 'Drama'}]\",862,tt0114709,\"two\nlines\",/a.jpg,One\n"
        "False,[],863,,x,,Two\n"
        "False,[],862,tt0114709,x,/b.jpg,One again\n"
        " - Written by X,\"[{'name': 'A Company'}]\",1997-08-20,0,x,0.065736,\n",
    )
    movies = metadata.read_metadata(path)
    assert list(movies["names"]) == [("tt0114709", "862"), ("", "863")]
    assert movies.drop(columns="names").to_dict("records") == [
        {"id": "tt0114709", "title": "One", "genres": "Drama", "poster": "/a.jpg"},
        {"id": "863", "title": "Two", "genres": "", "poster": ""},
    ]
    assert "1 without a usable id, 1 with the id of an earlier row" in capsys.readouterr().out


def test_imdb_in_latin1(tmp_path):
    path = write(
        tmp_path,
        "imdbId,Imdb Link,Title,IMDB Score,Genre,Poster\n"
        "12349,http://x,Les Misérables (1935),7,Drama|History,http://h/a.jpg\n"
        "10000001,http://x,New,7,Comedy,\n",
        encoding="latin-1",
    )
    movies = metadata.read_metadata(path)
    assert list(movies["id"]) == ["tt0012349", "tt10000001"]
    assert movies["title"][0] == "Les Misérables (1935)"
    assert list(movies["poster"]) == ["http://h/a.jpg", ""]


def test_id_and_genre_from_a_spreadsheet(tmp_path):
    path = write(tmp_path, "\ufeffId,Genre\r\ntt0000012,\"['Drama', 'War']\"\r\nm-1,\"A, B\"\r\n")
    movies = metadata.read_metadata(path)
    assert list(movies["id"]) == ["tt0000012", "m-1"]
    assert list(movies["genres"]) == ["Drama|War", "A|B"]


def test_a_short_row_has_empty_cells(tmp_path):
    movies = metadata.read_metadata(write(tmp_path, "Id,Genre,Title\nm1,Drama,One\nm2\n"))
    assert list(movies["genres"]) == ["Drama", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "needs a column of ids"),
        ("Title,Genre\nx,Drama\n", "needs a column of ids"),
        ("Id,Title\n1,x\n", "one of genres"),
        ("Id,Genre\n", "lists no movies"),
    ],
)
def test_unusable_csv_ends_in_one_line(tmp_path, text, message):
    with pytest.raises(SystemExit, match=message) as exit:
        metadata.read_metadata(write(tmp_path, text))
    assert "python database.py" in str(exit.value) and "\n" not in str(exit.value)


def test_missing_csv_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match=r"is missing.*python data/sample/draw.py"):
        metadata.read_metadata(tmp_path / "none.csv")
