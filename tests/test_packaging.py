"""The requirement files, the wheel, the Makefile, and what README and docs name."""

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from test_rooms import list_imports

STEPS = ("database", "sampling", "preprocessing", "train", "predict")
EXTRAS = ("app", "cluster", "hosts", "labels", "text")  # that the package may import


# --- requirements ---------------------------------------------------------------------------------


def read_pins(path):
    """Return the requirements of a file, without hashes and comments."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.split("#")[0].split("--hash")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_ranges(extra=None):
    """Return {name: range of versions} of the core requirements, or of an extra."""
    project = read_pyproject()["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {x.name: x.specifier for x in map(Requirement, lines)}


def test_the_pinned_versions_lie_in_the_ranges_of_pyproject():
    pins = dict(pin.split("==") for pin in read_pins(ROOT / "requirements.txt"))
    assert pins.keys() == read_ranges().keys() | read_ranges("train").keys()
    pins |= dict(pin.split("==") for pin in read_pins(ROOT / "requirements" / "text.txt"))
    assert pins.keys() >= read_ranges("text").keys() == {"rapidocr", "onnxruntime"}
    for extra in (None, "text", "train"):
        for name, versions in read_ranges(extra).items():
            assert versions.contains(pins[name]), name


def test_every_requirement_is_pinned_and_has_one_version():
    files = [ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")]
    pins = [pin for path in files for pin in read_pins(path)]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9.]+", pin) for pin in pins), pins
    versions = dict(pin.split("==") for pin in pins)
    assert {f"{name}=={version}" for name, version in versions.items()} == set(pins)


def test_the_version_and_the_license_are_the_same_everywhere():
    project = read_pyproject()["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    release = f"## {project['version']} - {re.search(r'date-released: (.*)', citation)[1]}"
    assert release in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert f"version: {project['version']}\n" in citation
    assert f"license: {project['license']}\n" in citation


NOT_PACKED = (".gitattributes", "model.keras", "trained_on.npy")  # prediction does without


def test_every_file_of_the_package_that_is_not_python_is_package_data():
    declared = set()
    for package, patterns in read_pyproject()["tool"]["setuptools"]["package-data"].items():
        folder = ROOT / package.replace(".", "/")
        declared |= {path for pattern in patterns for path in folder.glob(pattern)}
    files = {path for path in (ROOT / "postergenres").rglob("*") if path.is_file()}
    files = {x for x in files if x.suffix != ".py" and x.parent.name != "__pycache__"}
    assert declared == {path for path in files if path.name not in NOT_PACKED}


def test_what_the_product_imports_is_required():
    """Each imported library is the Python module of a requirement."""
    modules = {"PIL": "pillow", "sklearn": "scikit-learn", "iterstrat": "iterative-stratification"}
    modules |= {"cykooz_resizer": "cykooz-resizer", "ai_edge_litert": "ai-edge-litert"}
    required = {
        pin.split("==")[0]
        for name in ("requirements", *(f"requirements/{x}" for x in EXTRAS))
        for pin in read_pins(ROOT / f"{name}.txt")
    }
    required |= {"dask"}  # needed by distributed
    required |= set(sys.stdlib_module_names) | {"postergenres", "model"}
    for path in [*ROOT.glob("*.py"), *(ROOT / "postergenres").rglob("*.py")]:
        names = {name.split(".")[0] for name in list_imports(path)}
        assert {modules.get(name, name) for name in names} <= required, path


# --- installation ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_wheel_has_the_package_and_the_models_and_predicts_without_a_clone(tmp_path):
    """pip downloads setuptools to build it, and what prediction needs."""
    copy, empty = tmp_path / "copy", tmp_path / "empty"
    shutil.copytree(
        ROOT / "postergenres", copy / "postergenres", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.toml"), ROOT / "README.md"]:
        shutil.copy(path, copy)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, copy]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {path for path in (copy / "postergenres").rglob("*") if path.is_file()}
    files = {path for path in files if path.name not in NOT_PACKED}
    assert names == {path.relative_to(copy).as_posix() for path in files}

    subprocess.run([python, "-m", "pip", "install", wheel], check=True, capture_output=True)
    shutil.copytree(ROOT / "data" / "examples", empty)
    code = (
        "import pathlib, sys, postergenres\n"
        "table = postergenres.load_model().predict(pathlib.Path().glob('*.jpg'))\n"
        "print(len(table), table['Drama'].notna().all(), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([python, "-c", code], cwd=empty, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("8 True False\n", "")


# --- the Makefile ---------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path):
    """A function that runs make in an empty folder."""
    if shutil.which("make") is None:
        pytest.skip("make is missing")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "data").mkdir()
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return lambda *arguments: subprocess.run(["make", *arguments], cwd=tmp_path, **pipes)


def test_make_demo_runs_the_steps_in_order_again_if_the_package_has_changed(make, tmp_path):
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    for name in ("requirements.txt", "model.py", *(f"{step}.py" for step in STEPS)):
        (tmp_path / name).touch()
    for folder in ("sample", "demo/store", "demo/model"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for folder in ("postergenres/dataset", ".venv"):
        (tmp_path / folder).mkdir(parents=True)
    outputs = ["sample/movies_metadata.csv", "demo/posters.csv", "demo/samples.csv"]
    outputs += ["demo/store/store.json", "demo/model/model.json"]
    (tmp_path / "data" / "sample" / "draw.py").touch()

    def list_commands():
        return re.findall(r"^\S*python (\S+\.py.*?)(?: \|\||$)", make("-n", "demo").stdout, re.M)

    scripts = [f"{step}.py --data-dir data/demo" for step in STEPS]
    assert list_commands() == ["data/sample/draw.py", *scripts]
    for path in [".venv/setup.stamp", *(f"data/{name}" for name in outputs)]:
        (tmp_path / path).touch()
    assert list_commands() == scripts[-1:]
    (tmp_path / "postergenres" / "dataset" / "decoding.py").touch()
    assert list_commands() == scripts


def test_distclean_asks_before_it_deletes(make, tmp_path):
    kept = ["posters", "model", "unfinished", "tensorboard", "distillation", "features", "words"]
    folders = [tmp_path / "data" / name for name in [*kept, "demo", "store"]]
    for folder in folders:
        folder.mkdir()
    refused = make("distclean")
    assert refused.returncode != 0 and "Run: make distclean FORCE=1" in refused.stderr
    assert all(folder.is_dir() for folder in folders)
    assert make("clean").returncode == 0
    assert [folder.is_dir() for folder in folders] == [True] * len(kept) + [False, False]
    assert make("distclean", "FORCE=1").returncode == 0
    assert list((tmp_path / "data").iterdir()) == []


# --- README and docs ------------------------------------------------------------------------------

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
PAGES += [ROOT / "docs" / "tour.ipynb"]  # whose JSON has the same links
PAGES += sorted([*ROOT.glob("benchmarks/*.md"), *ROOT.glob("data/*/README.md")])
PAGES += [ROOT / "postergenres" / "pretrained" / "README.md"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_commands_files_and_settings_that_a_page_names_exist(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"(?:^|[`&] ?)make (\w+)", text, re.M)) <= set(targets)
    files = re.findall(r"python ([a-z/]+\.py)|(requirements/\w+\.txt)", text)
    assert all((ROOT / "".join(names)).is_file() for names in files), files
    for script, settings in re.findall(r"^# in (\w+\.py): (.*)", text, re.M):
        constants = re.findall(r"^([A-Z_]+) = ", (ROOT / script).read_text(), re.M)
        assert set(re.findall(r"([A-Z_]+) = ", settings)) <= set(constants)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(path):
    for name, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
        target = path.parent / name if name else path
        assert target.exists(), name
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text("utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", x).lower().replace(" ", "-") for x in headings}
