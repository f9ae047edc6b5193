"""Hostile inputs of step 1, data sets that cannot be split, and texts that reach the pages."""

import csv
import re

from postergenres.download import manifest

import pytest
from conftest import draw_poster, encode_poster, image_bytes
from hostile_inputs import INPUTS

import database
import predict
import preprocessing
import sampling
import train


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("case", "expected"), INPUTS.values(), ids=INPUTS)
def test_hostile_input_is_a_row_with_its_error_or_one_line(tmp_path, host, capsys, case, expected):
    outside, folder = tmp_path / "outside.jpg", tmp_path / "folder"
    outside.write_bytes(image_bytes((1, 2, 3)))
    (folder / "folder.jpg").mkdir(parents=True)
    good = image_bytes()
    for name, content in {"good": good, "empty": b"", "text": b"text", "short": good[:-99]}.items():
        (folder / f"{name}.jpg").write_bytes(content)
    case = dict(case)
    host.bodies["body"] = case.pop("body", b"")
    replacements = {
        "HOST": host.url,
        "TLS": host.url.replace("http", "https"),
        "FOLDER": str(folder),
    }
    text, base = case.pop("csv"), case.pop("poster_base", None)
    for name, value in (replacements | {"OUTSIDE": str(outside)}).items():
        text, base = text.replace(name, value), base and base.replace(name, value)
    encoding = case.pop("encoding", "utf-8")
    (tmp_path / "movies.csv").write_text(text, encoding=encoding, newline="")
    if "train_only" in case:
        case["train_only_csv"] = tmp_path / "train_only.csv"
        more = case.pop("train_only").replace("HOST", host.url)
        case["train_only_csv"].write_text(more, encoding=encoding, newline="")
    data = tmp_path / "data"
    settings = {"timeout": 1, "retries": 0, "workers": 2} | case

    if isinstance(expected, str):
        with pytest.raises(SystemExit, match=expected) as end:
            database.main(data, tmp_path / "movies.csv", base, **settings)
        assert "python database.py" in str(end.value) and "\n" not in str(end.value)
        assert not (data / "posters.csv").exists()
        return
    status, error = expected
    try:
        database.main(data, tmp_path / "movies.csv", base, **settings)
    except SystemExit as end:
        assert status != "ok" and "python database.py" in str(end.code)
    posters = manifest.read_manifest(data)
    assert posters["status"].tolist() == [status]
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    kept = [data / "posters" / f"{posters['id'][0]}.jpg"] if status == "ok" else []
    assert [*(data / "posters").iterdir()] == kept
    if status == "ok" and host.bodies["body"]:
        assert kept[0].read_bytes() == host.bodies["body"]


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
    "3 movies": ({"movies": 3}, r"^Only \d movies have a poster, too few\. .*database\.py$"),
    "10 movies": ({"movies": 10}, rf"{NO_GENRE_LEFT}.* fewer than MIN_GENRE.*sampling\.py$"),
    "no genres": ({"genres": [""]}, rf"{NO_GENRE_LEFT}60 of 60 have no genre\. .*database\.py$"),
    "excluded genres": (
        {"genres": ["Foreign", "TV Movie|Drama"]},
        rf"{NO_GENRE_LEFT}.* a genre of EXCLUDED_GENRES\. .*sampling\.py$",
    ),
    "one poster for all": (  # a placeholder of the host
        {"posters": [0]},
        r"^Only 0 movies have a poster, too few\. .*database\.py$",
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
