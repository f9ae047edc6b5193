"""Data sets that cannot be split, and texts that reach the pages."""

import csv
import re

import pytest
from conftest import draw_poster, encode_poster

import database
import predict
import preprocessing
import sampling
import train

# --- data sets ------------------------------------------------------------------------------------


def write_data_set(folder, movies=60, genres=("Drama", "Comedy", "Action"), texts=(), posters=None):
    """Write movies.csv and images/. Genres and posters are repeated; texts are titles and ids."""
    (folder / "images").mkdir(parents=True)
    path = folder / "movies.csv"
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Id", "Title", "Genre", "Poster"])
        for i in range(movies):
            names = texts[i : i + 1] or [f"m{i}"]
            title = texts[i % len(texts)] if texts else f"Movie {i}"
            table.writerow([*names, title, genres[i % len(genres)], f"m{i}.jpg"])
            number = posters[i % len(posters)] if posters else i
            body = encode_poster(draw_poster(number).resize((40, 60)))
            (folder / "images" / f"m{i}.jpg").write_bytes(body)
    database.main(folder / "data", path, folder / "images")
    return folder / "data"


NO_GENRE_LEFT = "^Only 0 movies are left, too few: "
UNUSABLE = {
    "3 movies": (
        {"movies": 3},
        r"^Only \d movies have a poster, too few\. .*database\.py --data-dir",
    ),
    "10 movies": (
        {"movies": 10},
        rf"{NO_GENRE_LEFT}.* fewer than MIN_GENRE.*sampling\.py --data-dir",
    ),
    "no genres": (
        {"genres": [""]},
        rf"{NO_GENRE_LEFT}60 of 60 have no genre\. .*database\.py --data-dir",
    ),
    "excluded genres": (
        {"genres": ["Foreign", "TV Movie|Drama"]},
        rf"{NO_GENRE_LEFT}.* a genre of EXCLUDED_GENRES\. .*sampling\.py --data-dir",
    ),
    "one poster for all": (  # a placeholder of the host
        {"posters": [0]},
        r"^Only 0 movies have a poster, too few\. .*database\.py --data-dir",
    ),
}


@pytest.mark.parametrize(("changes", "line"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_data_set_that_cannot_be_split_is_one_line(tmp_path, changes, line):
    data = write_data_set(tmp_path, **changes)
    with pytest.raises(SystemExit) as end:
        sampling.main(data)
    assert re.search(line, end.value.code) and "\n" not in end.value.code
    assert not (data / "samples.csv").exists()


TEXTS = [
    "a\nb",
    "a\rb",
    "a\x1b[31mb\x1b]0;x\x07",
    "🎬👩‍👩‍👧",
    "\u202eabc\u202d",
    "x" * 10_000,
    "<script>alert(1)</script>",
    "=1+1",
    "a\0b",
    "\"'",
    "a|b",
    "NaN",
    "\ud800",
]


@pytest.mark.slow
def test_hostile_texts_reach_the_pages_as_texts(tmp_path, capsys):
    data = write_data_set(tmp_path, genres=["Drama", *TEXTS], texts=TEXTS)
    sampling.main(data, min_genre_movies=1)
    preprocessing.main(data, image_height=48, image_width=32, workers=1)
    train.main(data, epochs=1, batch_size=16, precision="float32")
    predict.main(data_dir=data)
    predict.main(sorted((tmp_path / "images").iterdir())[:3], data_dir=data)
    output = capsys.readouterr()
    assert not set("\x1b\x07\0\u202e") & set(output.out + output.err)
    for name in ("report.html", "predictions.html"):
        page = (data / name).read_text(encoding="utf-8")
        assert "<script>alert" not in page and "\0" not in page
