"""The scripts as a user meets them: run from the shell, in order, with edited constants."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, contents, draw_colours, image_bytes, load_draw
from PIL import Image

from postergenres.download.manifest import poster_path
from postergenres.files import write_csv

# What draw.py wrote where the set was made; a machine that draws other movies shows other scores.
DRAWN_CSV_SHA256 = "58e358ffc2a85a958ce9784aae65555565ffb817f222dc45efb2722da25b06ad"


STEPS = ("database", "sampling", "preprocessing", "train", "predict")


def imports_of(path):
    """The modules that a file imports, anywhere in it, by their full names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


PACKAGE = sorted((ROOT / "postergenres").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))


def test_six_scripts_stand_at_the_top():
    assert {path.stem for path in SCRIPTS} == {*STEPS, "model"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_no_other_step(path):
    """Only train.py imports model.py, whose networks it trains."""
    allowed = {"model"} if path.stem == "train" else set()
    assert {name.split(".")[0] for name in imports_of(path)} & {*STEPS, "model"} <= allowed


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_package_imports_no_script(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & {*STEPS, "model"}


def reach(path):
    """All modules that importing a file of the package can import, through the package, too."""
    seen, queue = set(), [path]
    while queue:
        for name in imports_of(queue.pop()) - seen:
            seen.add(name)
            queue += [file for file in PACKAGE if name == module_name(file)]
    return seen


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("folder", ["download", "dataset"])
def test_the_data_rooms_reach_neither_keras_nor_tensorflow(folder):
    for path in (ROOT / "postergenres" / folder).glob("*.py"):
        reached = {name.split(".")[0] for name in reach(path)}
        assert not reached & {"keras", "tensorflow"}, path


def run(script, folder, *arguments):
    """Run a script in a folder; returns the finished process."""
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
    """Change a constant as a user does, in the file."""
    text = script.read_text(encoding="utf-8")
    text, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
    assert count == 1
    script.write_text(text, encoding="utf-8")


def test_the_data_steps_do_not_load_tensorflow():
    code = (
        "import sys, database, sampling, preprocessing, postergenres.evaluation.metrics\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("database.py", "python data/sample/draw.py"),
        ("sampling.py", "python database.py"),
        ("preprocessing.py", "python sampling.py"),
    ],
)
def test_missing_input_is_one_line_with_the_next_command(tmp_path, script, command):
    copy_scripts(tmp_path)
    finished = run(script, tmp_path)
    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1 and command in lines[0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["sample"]


def test_the_five_steps_in_order(tmp_path):
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


def start(call, folder):
    """Call a step's main() in a process of its own, from a script in this folder."""
    step = call.split(".")[0]
    code = f"import {step}\nif __name__ == '__main__':\n    {call}\n"
    (folder / "run.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        [sys.executable, folder / "run.py"], env=environment, stdout=subprocess.PIPE, text=True
    )


def children_of(process):
    """The processes that it started, where the system says so (Linux)."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return children.read_text().split() if children.is_file() else []


def kill(process, is_time):
    """Kill it once it has done something, and wait until its own processes are gone."""
    while process.poll() is None and not is_time():
        time.sleep(0.002)
    children = children_of(process)
    process.kill()
    assert process.wait() != 0  # it did not come to its end
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "its pool is still there"
        time.sleep(0.01)


@pytest.mark.parametrize("count", [1, 200])
def test_killed_downloads_run_again_end_as_undisturbed_ones(tmp_path, count):
    source, undisturbed, killed = tmp_path / "source", tmp_path / "whole", tmp_path / "killed"
    draw_colours(source, movies=400)
    paths = f"{str(source / 'movies.csv')!r}, {str(source / 'images')!r}"
    call = "database.main({!r}, " + paths + ", workers=2)"
    assert start(call.format(str(undisturbed)), source).wait() == 0

    process = start(call.format(str(killed)), source)
    kill(process, lambda: len(list(killed.glob("posters/*.jpg"))) >= count)
    assert contents(killed) != contents(undisturbed)
    assert start(call.format(str(killed)), source).wait() == 0
    assert contents(killed) == contents(undisturbed)


def test_a_killed_store_is_continued_and_ends_as_an_undisturbed_one(tmp_path):
    undisturbed, killed = tmp_path / "whole", tmp_path / "killed"
    body = image_bytes(size=(1400, 2100), form="PNG")  # takes some 25 ms to decode
    splits = ["train", "val", "test"] * 64
    samples = pd.DataFrame({"id": range(192), "title": "x", "genres": "Drama", "split": splits})
    for data in (undisturbed, killed):
        (data / "posters").mkdir(parents=True)
        write_csv(samples.assign(copies=1), data / "samples.csv")
        for movie in samples["id"]:
            poster_path(data, movie).write_bytes(body)
    call = "preprocessing.main({!r}, workers=2)"
    assert start(call.format(str(undisturbed)), tmp_path).wait() == 0

    process = start(call.format(str(killed)), tmp_path)
    journal = killed / "store" / "unfinished.jsonl"
    kill(process, lambda: journal.is_file() and '"first"' in journal.read_text())
    process = start(call.format(str(killed)), tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert 0 < int(re.search(r"192 posters, ([0-9]+) of them decoded", output)[1]) < 192
    assert contents(killed) == contents(undisturbed)


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


def test_the_demonstration_set_has_the_blemishes_of_reality(drawn):
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


def test_the_demonstration_set_is_the_same_everywhere(drawn, tmp_path):
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
