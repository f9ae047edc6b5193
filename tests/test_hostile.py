"""Broken and hostile settings, files and data sets: each ends as said in the tables of hostile/."""

import hashlib
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, build_color_network, contents, draw_colours, image_bytes
from hostile import database_cases, predict_cases, preprocessing_cases, sampling_cases, train_cases
from hostile.outcomes import HARMS, HOSTILE_VALUES

import database
import preprocessing
import sampling
import train
from postergenres.download import manifest
from postergenres.files import read_json, write_json
from postergenres.models.saved import open_model, save_model
from postergenres.settings import RULES, check_settings, describe_value
from postergenres.training import callbacks, distillation, loop

TABLES = {
    "database": database_cases,
    "sampling": sampling_cases,
    "preprocessing": preprocessing_cases,
    "train": train_cases,
    "predict": predict_cases,
}


# --- settings -------------------------------------------------------------------------------------

SETTINGS = [
    pytest.param(step, name, value, id=f"{step}-{name}-{value}")
    for step in TABLES
    for name in TABLES[step].SETTINGS
    for value in HOSTILE_VALUES
]


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory):
    """A data folder in which every file is garbage, to notice whether one is read or changed."""
    folder = tmp_path_factory.mktemp("sentinel")
    for name in ("posters.csv", "samples.csv", "sampling.json", "store/store.json", "metrics.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("garbage", encoding="utf-8")
    for name in ("posters/m1.jpg", "model/model.json", "model/unfinished/all/epoch-000001/x"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("garbage", encoding="utf-8")
    return folder, describe_tree(folder)


def describe_tree(folder):
    """Return {path: (size, date)} of everything in a folder."""
    return {path: path.stat()[6:9:2] for path in sorted(folder.rglob("*"))}


def get_defaults(step):
    parameters = inspect.signature(importlib.import_module(step).main).parameters
    return {name: each.default for name, each in parameters.items() if name != "paths"}


@pytest.mark.parametrize("step", TABLES)
def test_the_table_has_every_setting(step):
    assert list(TABLES[step].SETTINGS) == list(RULES[step])
    assert set().union(*TABLES[step].SETTINGS.values()) <= set(HOSTILE_VALUES)


@pytest.mark.parametrize(("step", "name", "value"), SETTINGS)
def test_a_hostile_setting_is_refused_before_anything_is_read_or_written(
    sentinel, monkeypatch, step, name, value
):
    """Those of the table are allowed."""
    folder, tree = sentinel
    monkeypatch.chdir(folder)
    is_allowed, value = value in TABLES[step].SETTINGS[name], HOSTILE_VALUES[value]
    if is_allowed:
        checked = check_settings(step, get_defaults(step) | {name: value})
        assert checked[name] is value
        return
    main = importlib.import_module(step).main
    with pytest.raises(ValueError) as caught:
        main(**{"data_dir": folder} | {name: value})
    message = str(caught.value)
    assert name in message and describe_value(value) in message and "\n" not in message
    assert describe_tree(folder) == tree


@pytest.mark.parametrize(
    ("step", "name"), [("sampling", "val_share"), ("preprocessing", "workers")]
)
def test_a_hostile_setting_in_a_script_is_one_line_and_status_2(tmp_path, step, name):
    """tests/test_settings.py does the same for database.py and predict.py."""
    script = tmp_path / f"{step}.py"
    edit_settings(step, script, {name: "float('nan')"})
    finished = run_script(script)
    assert finished.returncode == 2 and finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"{name} must be ") and ", got nan. " in line
    assert line.endswith(f"Edit {name.upper()} in {step}.py, then run: python {step}.py")
    assert list(tmp_path.iterdir()) == [script]


def edit_settings(step, script, settings):
    """Copy a step's script to a path, with other values of constants, as a user edits them."""
    text = (ROOT / f"{step}.py").read_text(encoding="utf-8")
    for name, value in settings.items():
        text, count = re.subn(
            rf"(?m)^{name.upper()} = [^#\n]+", f"{name.upper()} = {value}  ", text
        )
        assert count == 1
    script.write_text(text, encoding="utf-8")


def run_script(script):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    return subprocess.run(
        [sys.executable, script], cwd=script.parent, env=environment, capture_output=True, text=True
    )


# --- damaged artefacts ----------------------------------------------------------------------------

RESULTS = {  # what a step makes of its input; no step reads errors.csv
    "database": r"posters\.csv|posters/.*",
    "sampling": r"samples\.csv|sampling\.json|sampling\.png",
    "preprocessing": r"store/(?!errors\.csv).*",
    "predict": r"metrics\.json|test_predictions\.csv",
}


def list_artefacts():
    """Return a pytest parameter for each cell of the tables of artefacts."""
    cases = []
    for step, table in TABLES.items():
        for state in ("finished", "stopped"):
            rows = table.ARTEFACTS if state == "finished" else getattr(table, STOPPED, {})
            for file, outcomes in rows.items():
                for harm, outcome in outcomes.items():
                    is_fast = step in ("database", "preprocessing") or harm in FAST_HARMS
                    if step == "predict" and not outcome.ends:  # it takes a second
                        is_fast = harm == "older version's" or file == "model/training.png"
                    is_slow = (step, state) == ("train", "stopped") or not is_fast
                    marks = [pytest.mark.slow] if is_slow else []
                    if outcome.fault:
                        marks.append(pytest.mark.xfail(reason=outcome.fault, strict=True))
                    name = f"{step}-{state}-{file}-{harm}"
                    cases.append(
                        pytest.param(step, state, file, harm, outcome, id=name, marks=marks)
                    )
    return cases


STOPPED = "STOPPED_ARTEFACTS"
FAST_HARMS = ("a bit flipped", "older version's")  # of all steps, in the default run
ARTEFACTS = list_artefacts()


class Steps:
    """Run the steps on copies of healthy data folders, which are made when they are needed.

    Args:
        pipeline: the fixture.
        folder: where to make the data folders.
    """

    def __init__(self, pipeline, folder):
        self.pipeline, self.folder, self.results = pipeline, folder, {}

    # Healthy data folders: of the pipeline, and of another data set.

    def find(self, step, state, is_other=False):
        """Return the data folder of a step in a state: its input and what it left."""
        name = f"{step}-{state}" if step == "train" or state == "stopped" else "finished"
        folder = self.folder / f"{name}{'-other' if is_other else ''}"
        if not folder.exists():
            if name == "finished":
                make_other(folder) if is_other else copy_data(self.pipeline.data, folder)
            else:
                copy_data(self.find("predict", "finished", is_other), folder)
                getattr(self, f"prepare_{step}_{state}")(folder, is_other)
        return folder

    def prepare_database_stopped(self, data, is_other):
        rows = manifest.read_manifest(data).to_dict("records")
        lines = "".join(map(manifest.journal_line, rows))
        (data / "posters.journal.jsonl").write_text(lines, encoding="utf-8")
        (data / "posters.csv").unlink()

    def prepare_preprocessing_stopped(self, data, is_other):
        shutil.rmtree(data / "store")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="130"):
            patch.setattr(preprocessing.StoreBuilder, "finish", interrupt)
            self.run("preprocessing", data)

    def prepare_train_finished(self, data, is_other):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "train_model", lambda *arguments: None)
            self.run("train", data)

    def prepare_train_stopped(self, data, is_other):
        if is_other:
            shutil.copytree(
                self.find("train", "finished", True) / "distillation", data / "distillation"
            )
            make_other_checkpoint(data, self.find("train", "stopped"))
        else:
            with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="130"):
                end = callbacks.Progress.on_epoch_end

                def stop(self, number, logs):
                    return interrupt() if number else end(self, number, logs)

                patch.setattr(callbacks.Progress, "on_epoch_end", stop)
                self.run("train", data)
            for name in ("distillation.json", "targets.npy", "features.npy"):
                (data / "distillation" / name).unlink()

    # Running a step.

    def run(self, step, data):
        """Call main() of a step with the settings of the pipeline."""
        settings = {
            "database": {"metadata_csv": "movies.csv", "poster_base": "images"},
            "sampling": {"sample_fraction": 0.6},
            "preprocessing": {"image_height": 48, "image_width": 32, "workers": 1},
            "train": {"epochs": 2, "batch_size": 16, "precision": "float32", "soft_targets": 0.5},
            "predict": {},
        }[step]
        if step == "database":
            settings = {x: self.pipeline.images.parent / y for x, y in settings.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distillation, "build_efficientnet", build_color_network)
            importlib.import_module(step).main(data_dir=data, **settings)

    def get_result(self, step, data):
        """Run a step and return its result; in step 4, all that the training would depend on."""
        if step == "train":
            seen = {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(train, "train_model", lambda *arguments: seen.update(see(*arguments)))
                self.run(step, data)
            return seen
        self.run(step, data)
        return {x: y for x, y in contents(data).items() if re.fullmatch(RESULTS[step], x)}

    def get_healthy_result(self, step, state):
        if (step, state) not in self.results:
            data = self.folder / f"{step}-{state}-healthy"
            copy_data(self.find(step, state), data)
            self.results[step, state] = self.get_result(step, data)
        return self.results[step, state]


def interrupt(*_):
    raise KeyboardInterrupt


def copy_data(source, target):
    """Copy a data folder; its posters, which every step replaces as a whole, are linked."""
    shutil.copytree(source, target, ignore=lambda folder, names: {"posters"} & set(names))
    shutil.copytree(source / "posters", target / "posters", copy_function=os.link)


def make_other(data):
    """Run the steps on fewer movies with other posters and an other genre, without training."""
    source = data.with_name(f"{data.name}-source")
    draw_colours(source, movies=91)
    text = (source / "movies.csv").read_text(encoding="utf-8").replace("Comedy", "War")
    (source / "movies.csv").write_text(text, encoding="utf-8")
    images = sorted((source / "images").iterdir())
    bodies = [path.read_bytes() for path in images]
    for path, body in zip(images, bodies[1:] + bodies[:1], strict=True):
        path.write_bytes(body)
    database.main(data, source / "movies.csv", source / "images")
    sampling.main(data, sample_fraction=0.6)
    preprocessing.main(data, image_height=48, image_width=32, workers=1)


def make_other_model(data, other):
    """Write what step 4 and step 5 could have written for the other data set."""
    model, about = open_model(data / "model")
    model.set_weights([0.9 * weight for weight in model.get_weights()])
    save_model(model, about | {"best_epoch": 1}, other)
    for name in ("metrics.json", "test_predictions.csv", "model/training.png", "model/history.csv"):
        (other / name).write_bytes((data / name).read_bytes() + b"\n")


def make_other_checkpoint(data, stopped):
    """Write a checkpoint of the same shape as that of a stopped training."""
    checkpoint = data / train_cases.CHECKPOINT
    shutil.copytree(stopped / train_cases.CHECKPOINT, checkpoint)
    state = read_json(checkpoint / "state.json")
    write_json(state | {"precision": "bfloat16"}, checkpoint / "state.json")
    write_json({"epoch": 9}, checkpoint / "training_metadata.json")
    with np.load(checkpoint / "best.npz") as best:
        np.savez(checkpoint / "best.npz", *[best[name] + 1 for name in best.files])
    with h5py.File(checkpoint / "latest.weights.h5", "r+") as weights:
        weights["more"] = np.zeros(3)


def see(build_network, store, teacher, settings, data_dir, process, devices, stages):
    """Return all that `train_model` would depend on, as {name: hashable}."""
    seen = {
        "store": store.sha256,
        "images": hashlib.sha256(store.images).hexdigest(),
        "labels": store.labels.tobytes(),
        "index": store.index.to_csv(),
        "counts": (store.train_movies, store.train_counts.tobytes(), tuple(store.genres)),
        "targets": teacher.targets.tobytes(),
        "features": teacher.features.tobytes(),
        "prior": teacher.prior.tobytes(),
        "settings": repr(settings),
    }
    folder = Path(data_dir) / "model"
    for stage, checkpoints in loop.open_stages(stages, folder):
        latest = contents(checkpoints.latest) if checkpoints.epochs else {}
        latest.pop("state.json", None)
        seen[stage.name] = (checkpoints.epochs, checkpoints.precision, latest)
    return seen


@pytest.fixture(scope="module")
def steps(pipeline, tmp_path_factory):
    steps = Steps(pipeline, tmp_path_factory.mktemp("steps"))
    other = steps.find("predict", "finished", is_other=True)
    make_other_model(steps.find("predict", "finished"), other)
    return steps


@pytest.mark.parametrize(("step", "state", "file", "harm", "outcome"), ARTEFACTS)
def test_a_damaged_file_is_noticed_or_harmless(
    steps, tmp_path, capsys, step, state, file, harm, outcome
):
    data = tmp_path / "data"
    copy_data(steps.find(step, state), data)
    path, other = (
        next(folder.glob(file.replace("CHUNK", "*")))
        for folder in (data, steps.find(step, state, is_other=True))
    )
    isolate(path)
    healthy = steps.get_healthy_result(step, state)
    HARMS[harm](path, other)
    capsys.readouterr()
    if outcome.ends:
        with pytest.raises(SystemExit) as end:
            steps.get_result(step, data)
        assert re.search(outcome.line, end.value.code) and "\n" not in end.value.code
        return
    result = steps.get_result(step, data)
    assert re.search(outcome.line, capsys.readouterr().out, re.MULTILINE)
    assert (result == healthy) == outcome.is_same


def isolate(path):
    """Replace a link to a file by a copy."""
    content, dates = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))


# --- hostile input of step 1 ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("case", "expected"), database_cases.INPUTS.values(), ids=database_cases.INPUTS
)
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
    (tmp_path / "movies.csv").write_text(text, encoding="utf-8", newline="")
    before = set(tmp_path.rglob("*"))
    data = tmp_path / "data"
    settings = {"timeout": 1, "retries": 0, "workers": 2} | case

    if isinstance(expected, str):
        with pytest.raises(SystemExit, match=expected) as end:
            database.main(data, tmp_path / "movies.csv", base, **settings)
        assert "python database.py" in str(end.value) and "\n" not in str(end.value)
        assert not data.exists()
        return
    status, error = expected
    try:
        database.main(data, tmp_path / "movies.csv", base, **settings)
    except SystemExit as end:
        assert status != "ok" and "python database.py" in str(end.code)
    posters = manifest.read_manifest(data)
    assert len(posters) == 1
    assert posters["status"][0] == status
    assert error in posters["error"][0] and (status == "ok") == (posters["error"][0] == "")
    written = set(tmp_path.rglob("*")) - before
    kept = {data / "posters" / f"{posters['id'][0]}.jpg"} if status == "ok" else set()
    assert written == {data, data / "posters", data / "posters.csv"} | kept
    if status == "ok" and host.bodies["body"]:
        assert kept.pop().read_bytes() == host.bodies["body"]
