"""Broken and hostile settings, files and data sets: each ends as said in the tables of hostile/."""

import csv
import hashlib
import importlib
import inspect
import re
import shutil
from pathlib import Path

from postergenres.dataset.builder import StoreBuilder, describe_source
from postergenres.dataset.samples import read_samples, read_train_counts
from postergenres.dataset.store import open_store
from postergenres.download import manifest
from postergenres.models.description import read_about
from postergenres.models.saved import open_model, save_model
from postergenres.old_files import read_json, write_json
from postergenres.old_settings import RULES, check_settings, describe_value
from postergenres.training import callbacks, distillation, loop

import h5py
import numpy as np
import pytest
from conftest import (
    ROOT,
    build_color_network,
    contents,
    draw_colours,
    draw_poster,
    encode_poster,
)
from hostile import database_cases, predict_cases, preprocessing_cases, sampling_cases, train_cases
from hostile.outcomes import HARMS, HOSTILE_VALUES
from hostile.running import NAMED_RESULT, RESULTS, copy_data, edit_settings, isolate, run_script
from hostile.stops import STOPS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import database
import predict
import preprocessing
import sampling
import train

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


# --- damaged artefacts ----------------------------------------------------------------------------


def list_artefacts():
    """Return a pytest parameter for each cell of the tables of artefacts."""
    cases = []
    for step, table in TABLES.items():
        for state, name in STATES.items():
            for file, outcomes in getattr(table, name, {}).items():
                for harm, outcome in outcomes.items():
                    is_fast = step == "database" or harm in FAST_HARMS or file == "sampling.json"
                    if step == "predict" and not outcome.ends:  # it takes a second
                        is_fast = harm == "older version's" or file == "model/training.png"
                    is_slow = (step, state) == ("train", "stopped") or not is_fast
                    marks = [pytest.mark.slow] if is_slow else []
                    name = f"{step}-{state}-{file}-{harm}"
                    cases.append(
                        pytest.param(step, state, file, harm, outcome, id=name, marks=marks)
                    )
    return cases


STATES = {  # of a data folder, and the name of the table
    "finished": "ARTEFACTS",
    "stopped": "STOPPED_ARTEFACTS",
    "named": "NAMED_ARTEFACTS",  # step 5 with posters named
}
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
        name = f"{step}-{state}" if step == "train" or state != "finished" else "finished"
        folder = self.folder / f"{name}{'-other' if is_other else ''}"
        if not folder.exists():
            if name == "finished":
                make_other(folder) if is_other else copy_data(self.pipeline.data, folder)
            else:
                copy_data(self.find("predict", "finished", is_other), folder)
                getattr(self, f"prepare_{step}_{state}")(folder, is_other)
        return folder

    def prepare_database_stopped(self, data, is_other):
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

    def prepare_predict_named(self, data, is_other):
        predict.main(self.posters, data)

    # Running a step.

    @property
    def posters(self):
        return sorted(self.pipeline.images.iterdir())[:3]

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

    def get_result(self, step, state, data):
        """Run a step and return its result; in step 4, all that the training would depend on."""
        if state == "named":
            predict.main(self.posters, data)
            return {x: y for x, y in contents(data).items() if re.fullmatch(NAMED_RESULT, x)}
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
            self.results[step, state] = self.get_result(step, state, data)
        return self.results[step, state]


def interrupt(*_):
    raise KeyboardInterrupt


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
    labels = data / "doubtful_labels.csv"
    if not labels.exists():  # cleanlab is not installed
        labels.write_text("id,title\n" * 9, encoding="utf-8")
    names = ["metrics.json", "test_predictions.csv", "poster_map.png", labels.name]
    for name in [*names, "model/training.png", "model/history.csv"]:
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


def see(build_network, store, words, teacher, settings, data_dir, process, devices, stages):
    """Return all that `train_model` would depend on, as {name: hashable}."""
    seen = {
        "store": store.sha256,
        "images": hashlib.sha256(store.images).hexdigest(),
        "labels": store.labels.tobytes(),
        "words": repr(words),
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
            steps.get_result(step, state, data)
        assert re.search(outcome.line, end.value.code) and "\n" not in end.value.code
        return
    result = steps.get_result(step, state, data)
    assert re.search(outcome.line, capsys.readouterr().out, re.MULTILINE)
    assert (result == healthy) == outcome.is_same


# --- data sets ------------------------------------------------------------------------------------

FAST_DATA_SETS = ("all texts at once",)  # of those that are trained and scored


def list_data_sets():
    """Return a pytest parameter for each data set."""
    cases = []
    for step in ("sampling", "predict"):
        for name, case in TABLES[step].DATA_SETS.items():
            is_slow = step == "predict" and name not in FAST_DATA_SETS
            marks = [pytest.mark.slow] if is_slow else []
            cases.append(pytest.param(*case, id=f"{step}-{name}", marks=marks))
    return cases


DATA_SETS = list_data_sets()


def write_data_set(
    folder,
    movies=60,
    genres=("Drama", "Comedy", "Action"),
    titles=None,
    ids=(),
    posters=None,
    file="",
):
    """Write movies.csv and images/; the lists are repeated, and a few movies get the `ids`."""
    (folder / "images").mkdir(parents=True)
    names = [f"m{i}" for i in range(movies)]
    if file:
        names[0] = file
    with open(
        folder / "movies.csv", "w", encoding="utf-8", errors="surrogatepass", newline=""
    ) as f:
        table = csv.writer(f)
        table.writerow(["Id", "Title", "Genre", "Poster"])
        for i, name in enumerate(names):
            title = titles[i % len(titles)] if titles else f"Movie {i}"
            movie = ids[i] if i < len(ids) else f"m{i}"
            table.writerow([movie, title, genres[i % len(genres)], f"{name}.jpg"])
            number = posters[i % len(posters)] if posters else i
            body = encode_poster(draw_poster(number).resize((40, 60)))
            (folder / "images" / f"{name}.jpg").write_bytes(body)


@pytest.mark.parametrize(("changes", "outcome"), DATA_SETS)
def test_a_hostile_data_set_reaches_its_end(tmp_path, capsys, changes, outcome):
    folder = tmp_path
    changes, data = dict(changes), folder / "data"
    settings = {x: changes.pop(x) for x in ("min_genre_movies",) if x in changes}
    write_data_set(folder, **changes)
    database.main(data, folder / "movies.csv", folder / "images")
    if outcome.ends:
        with pytest.raises(SystemExit) as end:
            sampling.main(data, **settings)
        assert re.search(outcome.line, end.value.code) and "\n" not in end.value.code
        assert not (data / "samples.csv").exists()
        return
    sampling.main(data, **settings)
    preprocessing.main(data, image_height=48, image_width=32, workers=1)
    train.main(data, epochs=1, batch_size=16, precision="float32")
    predict.main(data_dir=data)
    predict.main(sorted((folder / "images").iterdir())[:3], data_dir=data)
    output = capsys.readouterr()
    assert not set("\x1b\x07\0\u202e") & set(output.out + output.err)
    assert re.search(outcome.line, output.out, re.MULTILINE)
    for name in ("report.html", "predictions.html"):
        page = (data / name).read_text(encoding="utf-8")
        assert "<script>alert" not in page and "\0" not in page


# --- any byte of any file -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(steps, tmp_path_factory):
    """A data folder with everything that steps 1 to 5 hand on, its files, and what they hold."""
    data = tmp_path_factory.mktemp("any") / "data"
    copy_data(steps.find("predict", "finished"), data)
    for path in (data / "posters").iterdir():
        isolate(path)
    posters = sorted(x for x in contents(data) if x.startswith("posters/"))
    others = sorted(set(contents(data)) - set(posters))
    return data, others + posters[:9], open_everything(data)


def open_everything(data):
    """Return what steps 2 to 5 read in a data folder, without the weights of the network.

    These are equal if model.keras is: tests/models/test_saved.py flips its bytes, and
    tests/dataset/test_store.py those of the store.
    """
    about, store = read_about(data / "model"), open_store(data)
    samples = read_samples(data)
    counts = (store.train_movies, store.train_counts.tolist())
    arrays = store.images.tobytes(), store.labels.tobytes(), store.index.to_csv()
    scored = (about, counts, arrays, store.genres, samples.to_csv(), read_train_counts(data))
    source = describe_source(samples, {"data_dir": data, "image_height": 48, "image_width": 32})
    return scored, StoreBuilder(samples, data, source).is_current()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_changed_byte_of_any_file_is_noticed_or_harmless(opened, capsys, data):
    """Whoever reads the file ends with a line, prints one, or reads what was there before.

    Step 2 alone reads the genres in posters.csv: if they are changed, the scores stay the same.
    """
    folder, names, healthy = opened
    path = folder / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1)) if content else 0
    changed = bytearray(content or b"\0")
    changed[position] ^= data.draw(st.integers(1, 255))
    name = path.relative_to(folder).as_posix()
    capsys.readouterr()
    try:
        path.write_bytes(changed)
        scored, is_current = open_everything(folder)
        if name == "posters.csv":
            manifest.read_manifest(folder)
    except SystemExit as end:
        assert re.search(r"[Rr]un: python \w+\.py$", end.code) and "\n" not in end.code
    else:
        is_noticed = not is_current  # step 3 makes the store again
        if name == "sampling.json":  # else with other floors, and a line
            is_noticed = "sampling.json is damaged" in capsys.readouterr().out
        assert is_noticed or scored == healthy[0]
        assert is_noticed or not is_poster_of_sample(folder, name)
    finally:
        path.write_bytes(content)


def is_poster_of_sample(folder, name):
    return name.startswith("posters/") and Path(name).stem in set(read_samples(folder)["id"])


# --- the number of cases --------------------------------------------------------------------------


def test_the_tables_have_as_many_cases_as_the_documentation_says():
    counts = {
        "inputs": len(database_cases.INPUTS),
        "settings": len(SETTINGS),
        "damaged files": len(ARTEFACTS),
        "data sets": len(DATA_SETS),
        "stops": sum(map(len, STOPS.values())),
    }
    documentation = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    last = " ".join(documentation.split("\n\n")[-1].split())
    for name, count in counts.items():
        assert f"{count:,} {name}" in last
    assert f"{sum(counts.values()):,} hostile cases" in last
    assert sum(counts.values()) >= 1100
