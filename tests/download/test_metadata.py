"""The metadata that people have: CSVs, as they are or saved by a spreadsheet, and MM-IMDb."""

import csv
import gzip
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from postergenres.download import metadata
from postergenres.download.metadata import Movie, Movies
from postergenres.download.sources import find_source, list_posters

import pytest
from conftest import ROOT, image_bytes


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
        ("Drama|N/A", ["Drama"]),
        ("Drama; War", ["Drama", "War"]),
        ("('Drama', 'War')", ["Drama", "War"]),
        ("{'id': 18, 'name': 'Drama'}", ["Drama"]),
        ("(no genres listed)", []),
        ("", []),
        ("[]", []),
        ("[1, None, {}]", []),
        ("[{'id': 18, 'name'", []),
        ("[__import__('os').abort()]", []),
        ("[" * 5000, []),
        ('["\\ud800"]', ["?"]),
    ],
)
def test_genre_cells_are_parsed(cell, genres):
    assert metadata.parse_genres(cell) == genres


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "movies.csv"
    path.write_bytes(text.encode(encoding))
    return path


# Kaggle's movies_metadata.csv with one of its three broken records: an unquoted newline in an
# overview ends the row of movie 82663, and the rest of the row is under the wrong columns.
KAGGLE = (
    "adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,"
    "original_title,overview,popularity,poster_path,production_companies,title,video\n"
    "False,\"{'id': 10194, 'name': 'Toy Story Collection'}\",30000000,"
    "\"[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]\",,862,tt0114709,en,"
    'Toy Story,"Led by Woody,\nAndy\'s toys, ""live"" happily",21.9,/toy.jpg,[],Toy Story,False\n'
    "False,,0,[],,863,,en,Untold,x,1.0,,[],,False\n"
    "False,,0,\"[{'id': 28, 'name': 'Action'}]\",,82663,tt0113002,en,Midnight Man,Soldiers\n"
    " - Written by Ørnås,0.065736,/ff9q.jpg,\"[{'name': 'Carousel Productions', 'id': 11176}]\","
    "\"[{'iso_3166_1': 'US', 'name': 'United States of America'}]\",1997-08-20,0,104.0,"
    "\"[{'iso_639_1': 'en', 'name': 'English'}]\",Released,,Midnight Man,False,6.0,1\n"
    "False,,0,[],,862,tt0114709,en,Toy Story,x,1.0,/b.jpg,[],Toy Story again,False\n"
)


@pytest.mark.parametrize(
    "saved_by", ["kaggle", "a spreadsheet", "a European spreadsheet", "utf-16", "bars"]
)
def test_kaggles_csv_is_read_however_it_was_saved(tmp_path, saved_by):
    path = write(tmp_path, KAGGLE)
    if saved_by != "kaggle":
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for row in rows[1:]:
            row[0] = row[0].replace("False", "FALSCH" if "European" in saved_by else "FALSE")
        encoding = "utf-16" if saved_by == "utf-16" else "utf-8-sig"
        with open(path, "w", encoding=encoding, newline="") as file:
            delimiter = {"a European spreadsheet": ";", "bars": "|"}.get(saved_by, ",")
            csv.writer(file, delimiter=delimiter).writerows(rows)
    movies = Movies(path)
    found = list(movies.survey())
    assert found == [
        Movie("tt0114709", "Toy Story", "Animation|Comedy", "/toy.jpg", ("tt0114709", "862")),
        Movie("863", "Untold", "", "", ("", "863")),
        Movie("tt0113002", "Midnight Man", "Action", "", ("tt0113002", "82663")),
    ]
    assert list(movies) == list(movies) == found
    assert movies.has_posters
    assert movies.summarize() == (
        f"{path}: 5 rows, 3 movies; dropped: 1 with cells under the wrong columns, "
        "1 with the id of an earlier row"
    )


def test_a_device_is_not_read(tmp_path):
    with pytest.raises(SystemExit, match="^/dev/zero is not a file. Check METADATA_CSV"):
        list(Movies(Path("/dev/zero")).survey())


def test_an_imdb_csv_in_latin1_is_read(tmp_path):
    text = (
        "imdbId,Imdb Link,Title,IMDB Score,Genre,Poster\n"
        "12349,http://x,Les Misérables (1935),7,Drama|History,http://h/a.jpg\n"
        "10000001,http://x,New,7,Comedy,\n"
        "12349,http://x,Again,7,,http://h/b.jpg\n"
    )
    movies = list(Movies(write(tmp_path, text, encoding="latin-1")).survey())
    assert [movie.id for movie in movies] == ["tt0012349", "tt10000001"]
    assert movies[0].title == "Les Misérables (1935)"
    assert [movie.poster for movie in movies] == ["http://h/a.jpg", ""]


def test_a_byte_of_another_encoding_spoils_no_other_row(tmp_path):
    path = tmp_path / "movies.csv"
    rows = [
        b"Id,Title,Genre",
        "a,Ørnås,Drama".encode(),
        "b,caf\xe9 \x93x\x94".encode("latin-1"),
    ]
    path.write_bytes(b"\r\n".join([*rows, b"c,\x81,Drama", b"d,nul \0,Drama"]))
    assert [movie.title for movie in Movies(path).survey()] == [
        "Ørnås",
        "café “x”",  # cp1252
        "\x81",  # no character of cp1252
        "nul \ufffd",
    ]


def test_tmdb_5000_has_no_posters(tmp_path):
    text = (
        "budget,genres,id,production_companies,title\n"
        '1,"[{""id"": 28, ""name"": ""Action""}]",19995,[],Avatar\n'
    )
    movies = Movies(write(tmp_path, text))
    assert not movies.has_posters
    assert [(movie.id, movie.genres) for movie in movies.survey()] == [("19995", "Action")]


def test_ids_and_genres_from_a_spreadsheet_are_read(tmp_path):
    text = "\ufeffId\tGenre\r\ntt0000012\t\"['Drama', 'War']\"\r\nm-1\tA, B\r\n\r\n\tDrama\r\n"
    movies = Movies(write(tmp_path, text))
    assert [(movie.id, movie.genres) for movie in movies.survey()] == [
        ("tt0000012", "Drama|War"),
        ("m-1", "A|B"),
    ]
    assert list(movies.dropped.values()) == ["without a usable id"]


def test_short_rows_are_read_and_long_rows_dropped(tmp_path):
    movies = Movies(
        write(tmp_path, "Id,Genre,Title\nm1,Drama,One\nm2\nm3,Drama,Tea, a story\nm4,,,,\n")
    )
    assert [(movie.id, movie.genres) for movie in movies.survey()] == [
        ("m1", "Drama"),
        ("m2", ""),
        ("m4", ""),
    ]
    assert movies.dropped == {2: "with more cells than there are columns"}


def test_a_line_break_in_a_cell_becomes_a_blank(tmp_path):
    """The first line break is one that csv.writer would not quote."""
    movies = Movies(write(tmp_path, 'Id,Genre,Title\na,Drama,"A\rB"\nb,Drama,"A\r\n\nB"\n'))
    assert [movie.title for movie in movies.survey()] == ["A B", "A B"]


def test_excels_separator_line_is_read(tmp_path):
    movies = Movies(write(tmp_path, "\ufeffsep=;\r\nId;Genre\r\nTT12;Drama, War\r\n"))
    assert [(movie.id, movie.genres) for movie in movies.survey()] == [("tt0000012", "Drama|War")]


def test_ids_that_differ_only_in_case_are_one(tmp_path):
    assert len(list(Movies(write(tmp_path, "Id,Genre\na,Drama\nA,Drama\n")).survey())) == 1


def test_each_iteration_starts_at_the_top_and_stops_at_the_limit(tmp_path):
    lines = ["Id,Genre", ",Drama"] + [f"m{i},Drama" for i in range(10)]
    movies = Movies(write(tmp_path, "\n".join(lines)), limit=3)
    surveyed = list(movies.survey())
    assert [movie.id for movie in surveyed] == ["m0", "m1", "m2"] and movies.rows == 4
    assert list(movies) == list(movies) == surveyed


@pytest.mark.parametrize("setting", ["METADATA_CSV", "TRAIN_ONLY_CSV"])
def test_an_unusable_csv_is_one_line_that_names_its_setting(tmp_path, setting):
    end = f"Check {setting} in database.py, then run: python database.py$"
    with pytest.raises(SystemExit, match=f"none.csv is missing.*{end}"):
        Movies(tmp_path / "none.csv", setting=setting)
    contents = {
        b"Genre\nDrama\n": "needs a column of ids",
        b"Id\na\n": "needs a column of genres",
        b"PK\3\4": "cannot be read as a CSV",
        b"\x1f\x8b\x08": "cannot be read as a CSV",
        image_bytes(): "needs a column of genres",
    }
    for content, line in contents.items():
        (tmp_path / "movies.csv").write_bytes(content)
        with pytest.raises(SystemExit, match=f"{line}.*{end}"):
            Movies(tmp_path / "movies.csv", setting=setting)


def test_movies_that_another_csv_lists_are_dropped_before_the_limit(tmp_path):
    text = "Id,Genre\na,Drama\nB,Drama\nc,Drama\nC,Drama\nd,Drama\n"
    movies = Movies(write(tmp_path, text), 2, "TRAIN_ONLY_CSV")
    assert [movie.id for movie in movies.survey(frozenset("ab"))] == ["c", "d"]
    assert movies.summarize().endswith(
        "the first 5 rows, 2 movies; dropped: 2 that METADATA_CSV lists, too, 1 with the id of an "
        "earlier row"
    )


@pytest.mark.parametrize(
    ("imdb", "other", "is_tmdb", "id"),
    [
        ("tt0000012", "5", True, "tt0000012"),
        ("12", "5", True, "tt0000012"),
        ("12.0", "5", True, "tt0000012"),
        ("TT10000001", "", False, "tt10000001"),
        ("", "tt12", False, "tt0000012"),
        ("0", "5.0", True, "5"),
        ("", "1997-08-20", True, ""),
        ("", "m-1", False, "m-1"),
        ("", "", False, ""),
    ],
)
def test_the_imdb_id_is_preferred(imdb, other, is_tmdb, id):
    assert metadata.choose_id(imdb, other, is_tmdb) == id


# --- MM-IMDb --------------------------------------------------------------------------------------


def test_a_folder_of_json_files_is_read_as_mm_imdb(tmp_path):
    """Its files have many more keys. The images of its movies are beside them."""
    files = {
        "0012349": {"title": "Les Misérables", "genres": ["Drama", "Film-Noir"], "plot": ["x"]},
        "0114709": {"title": None, "genres": None, "cover url": "http://h/thumbnail.jpg"},
        "10000001": {"title": "\ud800\0", "genres": ["War"]},
        "split": ["0012349"],
    }
    for name, movie in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(movie))
    (tmp_path / "0012349.jpeg").write_bytes(image_bytes())
    movies = Movies(tmp_path)
    source = find_source(movies, tmp_path)
    assert [(movie.id, movie.title, movie.genres) for movie in movies] == [
        ("tt0012349", "Les Misérables", "Drama|Film-Noir"),
        ("tt0114709", "", ""),
        ("tt10000001", "?\ufffd", "War"),
    ]
    assert [poster.url for poster in list_posters([(movies, source)])] == [
        (tmp_path / "0012349.jpeg").as_posix(), "", ""
    ]  # fmt: skip
    assert movies.summarize() == f"{tmp_path}: 4 rows, 3 movies; dropped: 1 without a usable id"


def test_a_folder_without_movies_and_a_damaged_file_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match="is a folder without JSON files of movies. Check METADA"):
        Movies(tmp_path)
    (tmp_path / "0012349.json").write_text('{"genres": [')
    with pytest.raises(SystemExit, match="0012349.json cannot be read as JSON .*. Check METADATA"):
        list(Movies(tmp_path).survey())


# --- tmdb_5000 ------------------------------------------------------------------------------------


def test_the_script_of_the_documentation_gives_tmdb_5000_its_posters(tmp_path):
    page = (ROOT / "docs" / "data-steps.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?tmdb_5000.*?)```", page, re.S)
    (tmp_path / "movies_metadata.csv").write_text(KAGGLE, encoding="utf-8")
    (tmp_path / "tmdb_5000_movies.csv").write_text(
        "budget,genres,id,production_companies,title\n"
        '1,"[{""id"": 16, ""name"": ""Animation""}]",862,[],Toy Story\n'
        '1,"[{""id"": 28, ""name"": ""Action""}]",19995,[],Avatar\n'
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    movies = Movies(tmp_path / "tmdb_5000_posters.csv")
    assert movies.has_posters
    assert [(movie.id, movie.genres, movie.poster) for movie in movies.survey()] == [
        ("tt0114709", "Animation", "/toy.jpg"),
        ("19995", "Action", ""),
    ]


# --- compressed, or with stray quotes -------------------------------------------------------------

TABLE = "Id,Genre,Title\nm1,Drama,One\n"


def test_a_compressed_csv_is_read(tmp_path):
    (tmp_path / "movies.csv").write_bytes(gzip.compress(TABLE.encode("utf-8-sig")))
    assert [movie.title for movie in Movies(tmp_path / "movies.csv").survey()] == ["One"]
    for names in (["a/movies.CSV", "readme.txt"], ["a.csv", "b.csv"], ["xl/workbook.xml"]):
        with zipfile.ZipFile(tmp_path / "movies.zip", "w") as archive:
            for name in names:
                archive.writestr(name, TABLE.encode("utf-16"))
        if len(names) == 2 and "readme" in names[1]:
            assert [movie.title for movie in Movies(tmp_path / "movies.zip").survey()] == ["One"]
        else:
            with pytest.raises(SystemExit, match=r"an archive of [02] CSV files: extract or save"):
                Movies(tmp_path / "movies.zip")


@pytest.mark.parametrize(
    ("rows", "line", "text"),
    [
        ('m1,"Drama,One\nm2,War,Two\n', 2, 'm1,"Drama,One'),  # to the end of the file
        ('m1,War,One\nm2,"War,Two\nm3,"War, Drama",x\n', 3, 'm2,"War,Two'),  # to the next quote
        ('m1,"War,One\nm2,War,Two\nm3,War,Three"\n', 2, 'm1,"War,One'),  # another number of cells
        ('m1,"War,One\nm2,War,Two\nm3,War",Three\n', 2, 'm1,"War,One'),  # the right number
        ('m1,"Drama" and,One\n', 2, 'm1,"Drama" and,One'),
        ('m1,War,"a\n\nb"\nm2,Wär,"Two\n', 5, 'm2,Wär,"Two'),
        (f"m1,War,{'x' * 1_000_001}\n", 2, "m1,War,xxx"),
    ],
)
def test_a_stray_quote_is_one_line_with_its_row(tmp_path, rows, line, text):
    movies = Movies(write(tmp_path, "Id,Genre,Title\n" + rows, encoding="cp1252"))
    with pytest.raises(SystemExit) as end:
        list(movies.survey())
    start = f"{movies.path} has a stray quote in line {line}, which hides the rows after it: {text}"
    assert end.value.code.startswith(start) and "\n" not in end.value.code
    assert end.value.code.endswith(
        "Check METADATA_CSV in database.py, then run: python database.py"
    )


@pytest.mark.parametrize(
    "rows",
    [
        'm1,"Drama,\nWar",x\nm2,"Drama\nWar, Action",x\n',
        'm1,Drama,"One\ntwo, three, four\nfive"\nm2\n',
        'm1,Drama,5" disk\nm2,"Drama\nWar","7"" disk"\n',
    ],
)
def test_cells_of_several_lines_are_read_as_they_are(tmp_path, rows):
    movies = Movies(write(tmp_path, "Id,Genre,Title\n" + rows))
    assert [movie.id for movie in movies.survey()] == ["m1", "m2"]
