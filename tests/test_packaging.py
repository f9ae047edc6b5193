"""The package, the requirement files, the Makefile, and the names that other code uses of them."""

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from types import FunctionType, ModuleType

import pytest
from conftest import ROOT

STEPS = ("database", "sampling", "preprocessing", "train", "predict")
SCRIPTS = (*STEPS, "model")
EXTRAS = ("app", "cluster", "hosts", "labels", "text")  # that the package may import
TARGETS = {  # what each step writes, in order
    "data/posters.csv": "database.py",
    "data/samples.csv": "sampling.py",
    "data/store/store.json": "preprocessing.py",
    "data/model/model.json": "train.py",
}


# --- requirements ---------------------------------------------------------------------------------


def read_pins(path):
    """Return the requirements of a file, without hashes and comments."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.split("#")[0].split("--hash")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_extras_have_the_pins_of_the_requirement_files():
    files = {path.stem: read_pins(path) for path in (ROOT / "requirements").glob("*.txt")}
    assert files == read_pyproject()["project"]["optional-dependencies"]


def test_every_requirement_is_pinned_and_has_one_version():
    files = [ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")]
    pins = [pin for path in files for pin in read_pins(path)]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9.]+", pin) for pin in pins), pins
    versions = dict(pin.split("==") for pin in pins)
    assert {f"{name}=={version}" for name, version in versions.items()} == set(pins)


def test_every_file_of_the_package_that_is_not_python_is_package_data():
    declared = set()
    for package, patterns in read_pyproject()["tool"]["setuptools"]["package-data"].items():
        folder = ROOT / package.replace(".", "/")
        declared |= {path for pattern in patterns for path in folder.glob(pattern)}
    files = {path for path in (ROOT / "postergenres").rglob("*") if path.is_file()}
    assert declared == {x for x in files if x.suffix != ".py" and x.parent.name != "__pycache__"}


def test_what_the_product_imports_is_required():
    """Each imported library is the Python module of a requirement."""
    modules = {"PIL": "pillow", "sklearn": "scikit-learn", "iterstrat": "iterative-stratification"}
    modules |= {"cykooz_resizer": "cykooz-resizer", "ai_edge_litert": "ai-edge-litert"}
    required = {
        pin.split("==")[0]
        for name in ("requirements", *(f"requirements/{x}" for x in EXTRAS))
        for pin in read_pins(ROOT / f"{name}.txt")
    }
    required |= {"dask", "h5py", "threadpoolctl"}  # distributed, Keras and scikit-learn need them
    required |= set(sys.stdlib_module_names) | {"postergenres", "model"}
    for path in [*ROOT.glob("*.py"), *(ROOT / "postergenres").rglob("*.py")]:
        names = {
            name.split(".")[0] for name in imported_modules(ast.parse(path.read_text("utf-8")))
        }
        assert {modules.get(name, name) for name in names} <= required, path


# --- installation ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installer(tmp_path_factory):
    """A copy of the repository, and the Python of an empty environment."""
    folder = tmp_path_factory.mktemp("installer")
    copy = folder / "copy"
    for name in ("postergenres", "requirements"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.txt"), *ROOT.glob("*.toml"), ROOT / "README.md"]:
        shutil.copy(path, copy)
    venv.create(folder / "venv", with_pip=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return copy, folder / "venv" / scripts / "python"


def pip(python, *arguments):
    """Run pip, which downloads setuptools to build the package."""
    subprocess.run([python, "-m", "pip", *arguments], check=True, capture_output=True)


@pytest.mark.slow
def test_an_editable_install_finds_the_package_and_the_scripts(installer, tmp_path):
    copy, python = installer
    pip(python, "install", "--no-deps", "--editable", copy)
    code = "import importlib.util as util\n" + "\n".join(
        f"print(util.find_spec({name!r}).origin)" for name in ("postergenres", *SCRIPTS)
    )
    found = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    files = ["postergenres/__init__.py", *(f"{name}.py" for name in SCRIPTS)]
    assert found.stdout.splitlines() == [str(copy / name) for name in files]


@pytest.mark.slow
def test_a_wheel_has_the_package_with_its_templates_and_no_script(installer, tmp_path):
    copy, python = installer
    pip(python, "wheel", "--no-deps", "--wheel-dir", tmp_path, copy)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path for path in (copy / "postergenres").rglob("*") if path.is_file()}
    names = {name for name in names if ".dist-info/" not in name}
    assert names == {path.relative_to(copy).as_posix() for path in files}


# --- the Makefile ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prerequisites():
    """The prerequisites of each file that the Makefile makes: {target: set of paths}."""
    if shutil.which("make") is None:
        pytest.skip("make is missing")
    command = ["make", "--print-data-base", "--dry-run", "--question", "demo"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    rules = re.findall(r"^([\w./]+): (.*)$", listed, re.MULTILINE)
    return {target: set(files.split("|")[0].split()) for target, files in rules}


def package_files(script):
    """Return the files of the package and the scripts that a script imports, at any depth."""
    found, queue = set(), [ROOT / script]
    while queue:
        for name in imported_modules(ast.parse(queue.pop().read_text("utf-8"))):
            folder = ROOT / name.replace(".", "/")
            packages = {x / "__init__.py" for x in (folder, *folder.parents) if ROOT in x.parents}
            files = {x for x in packages | {folder.with_suffix(".py")} if x.is_file()} - found
            found |= files
            queue += files
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("target", TARGETS)
def test_a_step_depends_on_what_its_script_imports(prerequisites, target):
    script = TARGETS[target]
    assert {script} | package_files(script) <= prerequisites[target]


@pytest.mark.parametrize("target", TARGETS)
def test_a_step_depends_on_the_output_of_the_step_before(prerequisites, target):
    order = ["data/sample/movies_metadata.csv", *TARGETS]
    assert order[order.index(target) - 1] in prerequisites[target]


def test_a_change_of_the_report_does_not_repeat_the_training(prerequisites):
    needed = set.union(*(prerequisites[target] for target in TARGETS))
    assert "postergenres/report/score_page.py" not in needed


FOLDERS = ("posters", "model", "distillation", "words", "store", "features")


def test_distclean_asks_before_it_deletes(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("make is missing")
    shutil.copy(ROOT / "Makefile", tmp_path)
    folders = [tmp_path / "data" / name for name in FOLDERS]
    for folder in folders:
        folder.mkdir(parents=True)
    for name in ("postergenres", "tests", "benchmarks"):  # where `make clean` looks for caches
        (tmp_path / name).mkdir()
    run = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    refused = subprocess.run(["make", "distclean"], **run)
    assert refused.returncode != 0 and "Run: make distclean FORCE=1" in refused.stderr
    assert all(folder.is_dir() for folder in folders)
    assert subprocess.run(["make", "clean"], **run).returncode == 0
    assert [folder.is_dir() for folder in folders] == [True, True, True, True, False, False]
    assert subprocess.run(["make", "distclean", "FORCE=1"], **run).returncode == 0
    assert not any(folder.is_dir() for folder in folders)


# --- names of the package, as benchmarks, data scripts and tests use them -------------------------


def imported_modules(tree):
    """Return the full names of everything that a syntax tree imports; some are no modules."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def is_ours(module_name):
    return module_name.split(".")[0] in ("postergenres", "conftest", *SCRIPTS)


def resolve(module_name, name=None):
    """Return a module, or a name of a module: an attribute or a submodule."""
    module = importlib.import_module(module_name)
    if name is None or hasattr(module, name):
        return getattr(module, name) if name else module
    return importlib.import_module(f"{module_name}.{name}")


def find_imports(tree):
    """Yield (node, name in the file, object or error) for each import of our own code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_ours(node.module):
            wanted = [(alias, node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            wanted = [(alias, alias.name, None) for alias in node.names if is_ours(alias.name)]
        else:
            continue
        for alias, module_name, name in wanted:
            try:
                found = resolve(module_name, name)
            except (ImportError, AttributeError) as error:
                yield node, alias.asname or alias.name, error
                continue
            if name is None and alias.asname is None:  # `import a.b` binds a
                root = alias.name.split(".")[0]
                yield node, root, importlib.import_module(root)
            else:
                yield node, alias.asname or alias.name, found


def local_names(function):
    """Return the names that a function binds itself, other than by an import."""
    arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    stored = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return arguments | stored


def list_uses(node, hidden=frozenset()):
    """Yield (node, names hidden by the functions around it) for each node below a node."""
    for child in ast.iter_child_nodes(node):
        inside = hidden
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inside = hidden | local_names(child)
        yield child, inside
        yield from list_uses(child, inside)


def look_up(node, bound, hidden):
    """Return the object of our own code that an expression names, or None.

    Raises:
        AttributeError: a module of ours does not have the attribute.
    """
    if isinstance(node, ast.Name) and node.id not in hidden:
        return bound.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = look_up(node.value, bound, hidden)
        if isinstance(owner, ModuleType) and is_ours(owner.__name__):
            return getattr(owner, node.attr)
    return None


def check_call(function, call):
    """Raise a TypeError if the function of ours cannot take the arguments of the call."""
    if not isinstance(function, FunctionType) or not is_ours(function.__module__):
        return
    keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    positional = [None for argument in call.args if not isinstance(argument, ast.Starred)]
    is_complete = len(positional) == len(call.args) and len(keywords) == len(call.keywords)
    signature = inspect.signature(function)
    (signature.bind if is_complete else signature.bind_partial)(*positional, **keywords)


USERS = sorted(
    path
    for folder in ("benchmarks", "data", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_name_of_the_package_exists_and_takes_the_arguments(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bound, problems = {}, {}  # the keys of `problems`: each is reported once
    for node, name, found in find_imports(tree):
        if isinstance(found, Exception):
            problems[f"line {node.lineno}: {found}"] = None
        else:
            bound[name] = found
    for node, hidden in list_uses(tree):
        try:
            found = look_up(node.func if isinstance(node, ast.Call) else node, bound, hidden)
            if isinstance(node, ast.Call):
                check_call(found, node)
        except (AttributeError, TypeError) as error:
            problems[f"line {node.lineno}: {error}"] = None
    assert not problems, "\n".join([str(path), *problems])


def test_the_profile_names_files_of_the_package():
    text = (ROOT / "benchmarks" / "bench_profile.py").read_text(encoding="utf-8")
    patterns = re.findall(r"\{PACKAGE\}/([\w/|()]+)\\\.py", text)
    assert len(patterns) > 5
    modules = [
        path.relative_to(ROOT / "postergenres") for path in (ROOT / "postergenres").rglob("*.py")
    ]
    names = [path.with_suffix("").as_posix() for path in modules]
    for pattern in patterns:
        for part in expand(pattern):
            assert part in names, part


def expand(pattern):
    """Return the strings that a pattern with at most one group of choices matches."""
    match = re.fullmatch(r"(.*?)\((.*)\)(.*)", pattern)
    return [match[1] + one + match[3] for one in match[2].split("|")] if match else [pattern]
