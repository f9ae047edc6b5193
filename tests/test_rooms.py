"""The architecture, read from the imports: each room of the package imports only rooms above it."""

import ast

import pytest
from conftest import ROOT

ORDER = (
    "settings step files terminal progress plotting parallel download dataset scores models words "
    "poster_model training report app"
).split()
PACKAGE = ROOT / "postergenres"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
SCRIPTS = sorted(ROOT.glob("*.py"))


def list_imports(path):
    """Return the full names of what a file imports anywhere in it; some are no modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def list_files(name):
    """Return the files of the package that the import of a name runs.

    Without postergenres/__init__.py, whose `load_model` imports only when it is called.
    """
    parts = name.split(".")
    folders = [ROOT.joinpath(*parts[:end]) for end in range(2, len(parts) + 1)]
    found = [folder / "__init__.py" for folder in folders]
    found.append(ROOT.joinpath(*parts).with_suffix(".py"))
    return {path for path in found if path.is_file() and PACKAGE in path.parents}


def reach(path):
    """Return what a file imports, itself or through other files of the package."""
    names, files, queue = set(), {path}, [path]
    while queue:
        more = list_imports(queue.pop())
        names |= more
        new = set().union(*map(list_files, more)) - files
        files |= new
        queue += new
    return names


def shorten(path):
    return path.relative_to(ROOT).with_suffix("").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=shorten)
def test_a_room_imports_only_rooms_above_it_and_no_script(path):
    names = list_imports(path)
    rooms = {name.split(".")[1] for name in names if name.startswith("postergenres.")}
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert rooms <= set(ORDER[: ORDER.index(own) + 1])
    assert not {name.split(".")[0] for name in names} & {script.stem for script in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=shorten)
def test_a_script_imports_no_other_script_than_model(path):
    names = {name.split(".")[0] for name in list_imports(path)}
    assert names & {script.stem for script in SCRIPTS} <= {"model"}


@pytest.mark.parametrize("room", ["download", "dataset"])
def test_the_data_rooms_reach_neither_keras_nor_tensorflow(room):
    for path in (PACKAGE / room).glob("*.py"):
        assert not {name.split(".")[0] for name in reach(path)} & {"keras", "tensorflow"}, path
