"""Where the posters are: in a folder, or at URLs."""

from postergenres.download import sources
from postergenres.download.metadata import Movie, Movies
from postergenres.download.sources import Source

import pytest
from conftest import image_bytes


def make_movie(poster="", id="m1", names=("", "m1")):
    return Movie(id, "x", "Drama", poster, names)


def write_movies(tmp_path, *posters):
    rows = [f"m{i},Drama,{poster}" for i, poster in enumerate(posters, start=1)]
    (tmp_path / "movies.csv").write_text("Id,Genre,Poster\n" + "\n".join(rows), encoding="utf-8")
    return Movies(tmp_path / "movies.csv")


def write_csv(path, ids, poster):
    rows = [f"{id},Drama,{poster}" for id in ids]
    path.write_text("Id,Genre,Poster\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_source_is_the_folder_if_it_holds_a_poster(tmp_path):
    (tmp_path / "m2.jpg").write_bytes(image_bytes())
    movies = write_movies(tmp_path, "http://h/a.jpg", "")
    assert sources.find_source(movies, tmp_path) == Source(2, tmp_path.as_posix())


def test_the_source_is_the_urls_if_the_folder_holds_no_poster(tmp_path, capsys):
    movies = write_movies(tmp_path, "http://h/a.jpg")
    assert sources.find_source(movies, tmp_path) == Source(1)
    assert f"{tmp_path} holds none of these movies: using the URLs" in capsys.readouterr().out


def test_a_movie_without_an_image_in_the_folder_is_at_its_url(tmp_path, capsys):
    (tmp_path / "m2.jpg").write_bytes(image_bytes())
    movies = write_movies(tmp_path, "http://h/a.jpg", "http://h/b.jpg", "/c.jpg", "http://h/d.jpg")
    source = sources.find_source(movies, tmp_path)
    line = f"{tmp_path} holds 1 of the posters; 2 others are at the URLs in the CSV"
    assert line in capsys.readouterr().out.splitlines()
    folder = tmp_path.as_posix()
    assert [sources.locate_poster(movie, source) for movie in movies] == [
        ("http://h/a.jpg", ""),
        (f"{folder}/m2.jpg", ""),
        ("", f"no image in {folder}"),
        ("http://h/d.jpg", ""),
    ]


@pytest.mark.parametrize("base", [None, ""])
def test_the_source_is_the_urls_without_a_base(tmp_path, base):
    assert sources.find_source(write_movies(tmp_path, "HTTP://h/a.jpg"), base) == Source(1)


def test_the_source_is_a_url_prefix(tmp_path):
    movies = write_movies(tmp_path, "/a.jpg")
    assert sources.find_source(movies, "https://h/w185") == Source(1, None, "https://h/w185")


def test_a_source_that_cannot_exist_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="lists no movies.*python database.py"):
        sources.find_source(write_movies(tmp_path), "https://h")
    with pytest.raises(SystemExit, match="neither a URL nor a folder.*python database.py"):
        sources.find_source(write_movies(tmp_path, "/a.jpg"), "no/such/folder")


def test_a_second_csv_has_a_source_of_its_own_without_the_movies_of_the_first(tmp_path, capsys):
    (tmp_path / "m9.jpg").write_bytes(image_bytes())
    first = write_csv(tmp_path / "first.csv", ["m1", "m2"], "http://h/a.jpg")
    second = write_csv(tmp_path / "second.csv", ["M2", "m9", "m8"], "b.jpg")
    listings = sources.open_listings(first, None, second, tmp_path, None)
    assert [source for _, source in listings] == [
        Source(2),
        Source(2, tmp_path.as_posix(), "", "TRAIN_ONLY_POSTERS"),
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"{first}: 2 rows, 2 movies; dropped: none",
        f"{second}: 3 rows, 2 movies; dropped: 1 that METADATA_CSV lists, too",
    ]
    posters = list(sources.list_posters(listings))
    assert [(poster.id, poster.status, poster.train_only) for poster in posters] == [
        ("m1", "", ""),
        ("m2", "", ""),
        ("m9", "", "yes"),
        ("m8", "gone", "yes"),
    ]


@pytest.mark.parametrize(
    ("ids", "poster", "base", "line"),
    [
        ([], "x", None, "second.csv lists no movies. Check TRAIN_ONLY_CSV, then"),
        (
            *(["m1", "M2"], "x", None),
            "second.csv lists no movies that METADATA_CSV does not list. Check TRAIN_ONLY_CSV,",
        ),
        (["m9"], "x.jpg", "no", r"^TRAIN_ONLY_POSTERS \(no\) is neither .* Set TRAIN_ONLY_POSTERS"),
    ],
)
def test_a_line_on_the_second_csv_names_its_constants(tmp_path, ids, poster, base, line):
    first = write_csv(tmp_path / "first.csv", ["m1", "m2"], "http://h/a.jpg")
    second = write_csv(tmp_path / "second.csv", ids, poster)
    with pytest.raises(SystemExit, match=f"{line}.*run: python database.py$"):
        sources.open_listings(first, None, second, base, None)


def test_the_reason_for_a_path_without_a_prefix_names_the_constant():
    source = Source(1, setting="TRAIN_ONLY_POSTERS")
    expected = "", "the poster is listed as a path, and TRAIN_ONLY_POSTERS is no URL"
    assert sources.locate_poster(make_movie("/a.jpg"), source) == expected


@pytest.mark.parametrize(
    ("listed", "prefix", "expected"),
    [
        ("/b/c d.jpg", "http://h/p/", ("http://h/p/b/c d.jpg", "")),
        ("http://h/a.jpg", "", ("http://h/a.jpg", "")),
        ("http://h/" + "x" * 3991, "", ("http://h/" + "x" * 3991, "")),
        ("http://h/" + "x" * 3992, "", ("", "the poster URL is too long")),
        ("", "http://h", ("", "no poster listed")),
        ("ftp://h/a.jpg", "http://h", ("", "the poster is listed under another scheme than http")),
        ("/a.jpg", "", ("", "the poster is listed as a path, and POSTER_BASE is no URL")),
        ("/../a.jpg", "http://h", ("", "the poster path does not name a file")),
    ],
)
def test_posters_at_urls_are_located(listed, prefix, expected):
    assert sources.locate_poster(make_movie(listed), Source(1, None, prefix)) == expected


def test_an_image_is_found_by_the_listed_name_before_the_ids(tmp_path):
    folder, movie = tmp_path.as_posix(), make_movie("/a.jpg", "tt0000012", ("12", "m1"))
    for name in ("m1.PNG", "12.webp", "tt0000012.JPG", "a.jpg"):  # from the last to the first
        (tmp_path / name).write_bytes(b"")
        assert sources.find_image(folder, movie).startswith(f"{folder}/{name.split('.')[0]}.")


@pytest.mark.parametrize("id", ["CON", "lpt1", "a.jpg", "../x", "x" * 101, "é", ""])
def test_an_id_that_cannot_name_a_file_has_no_location(tmp_path, id):
    expected = "", "the id cannot name a file"
    assert sources.locate_poster(make_movie("http://h/a.jpg", id), Source(1)) == expected


def test_images_in_a_folder_are_listed_by_name(tmp_path):
    for name in ("b.JPG", "a.png", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in sources.list_images(tmp_path)] == ["a.png", "b.JPG"]
