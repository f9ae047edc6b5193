"""The scripts as a user runs them: from the shell, in order, with edited constants."""

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
from conftest import ROOT, contents, draw_colours, load_draw
from PIL import Image

# Of the CSV that draw.py must write on every machine; other movies would have other scores.
DRAWN_CSV_SHA256 = "58e358ffc2a85a958ce9784aae65555565ffb817f222dc45efb2722da25b06ad"


STEPS = ("database", "sampling", "preprocessing", "train", "predict")
PACKAGE = sorted((ROOT / "postergenres").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))


# --- the structure of the repository --------------------------------------------------------------


def imports_of(path):
    """Return the full names of the modules that a file imports, anywhere in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_the_root_has_six_scripts():
    assert {path.stem for path in SCRIPTS} == {*STEPS, "model"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_no_other_script(path):
    """Only train.py imports model.py."""
    allowed = {"model"} if path.stem == "train" else set()
    assert {name.split(".")[0] for name in imports_of(path)} & {*STEPS, "model"} <= allowed


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_package_imports_no_script(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & {*STEPS, "model"}


def reach(path):
    """Return the modules that a file imports, directly or through modules of the package."""
    seen, queue = set(), [path]
    while queue:
        for name in imports_of(queue.pop()) - seen:
            seen.add(name)
            queue += [file for file in PACKAGE if name == module_name(file)]
    return seen


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("folder", ["download", "dataset"])
def test_the_data_modules_reach_neither_keras_nor_tensorflow(folder):
    for path in (ROOT / "postergenres" / folder).glob("*.py"):
        reached = {name.split(".")[0] for name in reach(path)}
        assert not reached & {"keras", "tensorflow"}, path


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_at_most_150_lines(step):
    assert len((ROOT / f"{step}.py").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("step", STEPS)
def test_the_main_of_a_step_has_at_most_30_lines(step):
    """The lines of the body, without the docstring."""
    tree = ast.parse((ROOT / f"{step}.py").read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if getattr(node, "name", None) == "main")
    assert ast.get_docstring(main)
    assert main.end_lineno - main.body[0].end_lineno <= 30


def test_the_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_module_and_every_script_has_a_test_file():
    """tests/dataset/test_store.py for postergenres/dataset/store.py, and so on."""
    modules = [path.relative_to(ROOT / "postergenres") for path in PACKAGE]
    modules += [path.relative_to(ROOT) for path in SCRIPTS]
    expected = {
        (path.parent / f"test_{path.name}").as_posix()
        for path in modules
        if path.name != "__init__.py"
    }
    present = {path.relative_to(ROOT / "tests").as_posix() for path in TEST_FILES}
    assert not expected - present


def test_no_two_test_files_share_a_name():
    """pytest imports test files by their bare names."""
    names = [path.name for path in TEST_FILES]
    assert len(names) == len(set(names))


# --- from the shell -------------------------------------------------------------------------------


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
    """Change a constant in the file, as a user does."""
    text = script.read_text(encoding="utf-8")
    text, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
    assert count == 1
    script.write_text(text, encoding="utf-8")


def test_the_data_steps_do_not_load_tensorflow():
    code = (
        "import sys, database, sampling, preprocessing, postergenres.scores.metrics\n"
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
def test_a_missing_input_is_reported_in_one_line_with_the_command_to_run(tmp_path, script, command):
    copy_scripts(tmp_path)
    finished = run(script, tmp_path)
    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1 and command in lines[0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["sample"]


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


# --- killed runs ----------------------------------------------------------------------------------


def start(call, folder):
    """Start a process that calls the main() of a step, from a script in `folder`."""
    step = call.split(".")[0]
    code = f"import {step}\nif __name__ == '__main__':\n    {call}\n"
    (folder / "run.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        [sys.executable, folder / "run.py"], env=environment, stdout=subprocess.PIPE, text=True
    )


def children_of(process):
    """Return the ids of the children of a process; none on systems other than Linux."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return children.read_text().split() if children.is_file() else []


def kill(process, is_time):
    """Kill a process as soon as `is_time()`, and wait until its children are gone."""
    while process.poll() is None and not is_time():
        time.sleep(0.002)
    children = children_of(process)
    process.kill()
    assert process.wait() != 0  # it was killed before its end
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "the workers are still running"
        time.sleep(0.01)


@pytest.mark.parametrize("count", [1, 200])
def test_killed_downloads_resume_and_end_like_an_undisturbed_run(tmp_path, count):
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
