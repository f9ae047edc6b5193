"""The scripts as a user runs them: from the shell, in order, with edited constants."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, load_draw
from PIL import Image

# Of the CSV that draw.py must write on every machine; other movies would have other scores.
DRAWN_CSV_SHA256 = "58e358ffc2a85a958ce9784aae65555565ffb817f222dc45efb2722da25b06ad"


# --- from the shell -------------------------------------------------------------------------------


def run(script, folder, *arguments):
    """Run a script in a folder, without an installation; return the finished process."""
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def copy_scripts(folder):
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "postergenres", folder / "postergenres")
    (folder / "data" / "sample").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "sample" / "draw.py", folder / "data" / "sample")


def edit(script, name, value):
    """Change a constant in the file, as a user does."""
    text = script.read_text(encoding="utf-8")
    text, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
    assert count == 1
    script.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("database.py", "python data/sample/draw.py"),
        ("sampling.py", "python database.py"),
        ("preprocessing.py", "python sampling.py"),
    ],
)
def test_a_missing_input_is_reported_in_one_line_with_the_command_to_run(tmp_path, script, command):
    copy_scripts(tmp_path)
    finished = run(script, tmp_path)
    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1 and command in lines[0]
    assert [x.name for x in (tmp_path / "data").iterdir() if x.suffix != ".lock"] == ["sample"]


@pytest.mark.slow
def test_the_five_steps_run_in_order(tmp_path):
    copy_scripts(tmp_path)
    edit(tmp_path / "data" / "sample" / "draw.py", "MOVIES", "200")
    edit(tmp_path / "train.py", "EPOCHS", "2")
    steps = "data/sample/draw database sampling preprocessing train predict".split()
    for i, step in enumerate(steps):
        finished = run(f"{step}.py", tmp_path)
        assert finished.returncode == 0, finished.stderr
        last = finished.stdout.strip().splitlines()[-1]
        assert last.startswith("next: python " + [*steps, "predict"][i + 1].split("/")[-1])
    assert "mean average precision (mAP)" in finished.stdout

    poster = next((tmp_path / "data" / "posters").glob("*.jpg"))
    finished = run("predict.py", tmp_path, poster, "none.jpg")
    assert finished.returncode == 0, finished.stderr
    assert poster.name in finished.stdout and "No such file" in finished.stdout


# --- the demonstration set ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    draw = load_draw()
    draw.main(folder)
    return (
        draw,
        folder,
        pd.read_csv(folder / "movies_metadata.csv", dtype=str, keep_default_na=False),
    )


def test_the_demonstration_set_has_the_flaws_of_real_metadata(drawn):
    draw, folder, table = drawn
    assert len(table) == 640 and list(table.columns) == draw.COLUMNS
    names = table["genres"].map(lambda cell: [genre["name"] for genre in ast.literal_eval(cell)])
    counts = names.explode().value_counts()
    genres = counts.drop(["TV Movie", "Foreign"])
    assert len(genres) >= 12 and genres.max() >= 15 * genres.min() and genres.min() >= 10
    assert names.map(lambda row: len(set(row) - {"TV Movie", "Foreign"})).between(0, 3).all()
    assert counts["TV Movie"] and counts["Foreign"]
    assert (table["genres"] == "[]").any() and (table["poster_path"] == "").any()
    assert table["overview"].str.contains("say nothing about real movies").all()
    broken = 0
    for path in table["poster_path"][table["poster_path"] != ""]:
        try:
            with Image.open(folder / "posters" / path.lstrip("/")) as image:
                image.load()
                assert image.size == (185, 278)
        except OSError:
            broken += 1
    assert broken == 3


def test_the_demonstration_set_is_the_same_on_every_machine(drawn, tmp_path):
    draw, folder, table = drawn
    digest = hashlib.sha256((folder / "movies_metadata.csv").read_bytes()).hexdigest()
    assert digest == DRAWN_CSV_SHA256
    draw.main(tmp_path, movies=20)
    for path in sorted((tmp_path / "posters").iterdir()):
        assert path.read_bytes() == (folder / "posters" / path.name).read_bytes()
    few = pd.read_csv(tmp_path / "movies_metadata.csv", dtype=str, keep_default_na=False)
    assert few.equals(table.head(20))


@pytest.mark.slow
def test_the_demonstration_reaches_three_times_the_floor(tmp_path):
    import database
    import predict
    import preprocessing
    import sampling
    import train

    load_draw().main(tmp_path)
    data = tmp_path / "data"
    database.main(data, tmp_path / "movies_metadata.csv", tmp_path / "posters")
    sampling.main(data)
    preprocessing.main(data)
    train.main(data)
    scores = predict.main(data_dir=data)
    assert scores.loc["mAP", "score"] >= 3 * scores.loc["mAP", "floor"]
