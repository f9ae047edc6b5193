"""Signals at random moments, full disks and read-only folders: see hostile/stops.py."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import contents
from hostile.running import ENVIRONMENT, RESULTS, edit_settings, run_script
from hostile.stops import STEPS, STOPS

MOMENTS = 3  # for each signal and step
FAST = ("database", "sampling", "preprocessing")
OUTPUTS = {  # of each step; those of later steps are not there, either
    "database": ["posters.csv", "posters"],
    "sampling": ["samples.csv", "sampling.json", "sampling.png"],
    "preprocessing": ["store"],
    "train": ["model"],
    "predict": ["metrics.json", "test_predictions.csv", "report.html"],
}
SETTINGS = {
    "database": {"metadata_csv": "movies.csv", "poster_base": "images"},
    "sampling": {"sample_fraction": 0.6},
    "preprocessing": {"image_height": 48, "image_width": 32, "workers": 2},
    "train": {"epochs": 2, "batch_size": 16, "precision": "float32"},
    "predict": {},
}
ROOM = {  # bytes that the full disk has left
    "database": 200_000,
    "sampling": 20_000,
    "preprocessing": 200_000,
    "train": 2_000_000,
    "predict": 60_000,
}


def prepare(pipeline, step, folder):
    """Copy what a step reads, and write its script; return the data folder and the script."""
    folder.mkdir(exist_ok=True)
    data = folder / "data"
    shutil.copytree(pipeline.data, data)
    for each in STEPS[STEPS.index(step) :]:
        for name in OUTPUTS[each]:
            shutil.rmtree(data / name) if (data / name).is_dir() else (data / name).unlink()
    source, settings = pipeline.images.parent, {"data_dir": data} | SETTINGS[step]
    if step == "database":
        settings |= {name: source / settings[name] for name in SETTINGS[step]}
    values = {x: y if isinstance(y, (int, float)) else repr(str(y)) for x, y in settings.items()}
    edit_settings(step, folder / f"{step}.py", values)
    return data, folder / f"{step}.py"


def read_result(step, data):
    return {name: x for name, x in contents(data).items() if re.fullmatch(RESULTS[step], name)}


@pytest.fixture(scope="module")
def undisturbed(pipeline, tmp_path_factory):
    """Return a function that returns the result of an undisturbed run and its seconds."""
    known = {}

    def run(step):
        if step not in known:
            data, script = prepare(pipeline, step, tmp_path_factory.mktemp("undisturbed") / step)
            begin = time.monotonic()
            finished = run_script(script)
            assert finished.returncode == 0, finished.stderr
            known[step] = read_result(step, data), time.monotonic() - begin
        return known[step]

    return run


def list_marks(step, name, seed):
    return [] if step in FAST and name == "SIGTERM" and seed == 0 else [pytest.mark.slow]


SIGNALS = [
    pytest.param(
        step,
        stop,
        seed,
        id=f"{step}-{name}-{seed}",
        marks=list_marks(step, name, seed),
    )
    for step in STOPS
    for name, stop in STOPS[step].items()
    if isinstance(stop.event, int)
    for seed in range(MOMENTS)
]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize(("step", "stop", "seed"), SIGNALS)
def test_a_run_after_a_signal_ends_like_an_undisturbed_one(
    pipeline, undisturbed, tmp_path, step, stop, seed
):
    result, seconds = undisturbed(step)
    data, script = prepare(pipeline, step, tmp_path / "stopped")
    moment = random.Random(f"{step} {stop.event} {seed}").uniform(0.3, max(0.4, seconds))
    process = subprocess.Popen(
        [sys.executable, script],
        cwd=script.parent,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A background process of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(moment)
    process.send_signal(stop.event)
    _, error = process.communicate(timeout=30)
    note = f"stopped after {moment:.3f} of {seconds:.3f} s: {error}"
    assert process.returncode in (stop.status, 0, -stop.event), note
    assert "Traceback" not in error, note
    if process.returncode == -signal.SIGINT:  # Python was starting, or the step had ended
        assert error == "" and read_result(step, data) in ({}, result), note
    elif process.returncode:
        lines = [line for line in error.splitlines() if "Stopped" in line]
        assert len(lines) == bool(stop.line), note
        assert all(re.fullmatch(stop.line, line) for line in lines), note
    finished = run_script(script)
    assert finished.returncode == 0, f"{note}{finished.stderr}"
    assert read_result(step, data) == result, note


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine does not permit to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    "step", [pytest.param(x, marks=[] if x in FAST else [pytest.mark.slow]) for x in STOPS]
)
def test_a_full_disk_is_one_line_and_the_next_run_ends_like_an_undisturbed_one(
    pipeline, undisturbed, disk, step
):
    data, script = prepare(pipeline, step, disk)
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(free - ROOM[step]))
    expect_line(script, STOPS[step]["full disk"])
    (disk / "filler").unlink()
    finished = run_script(script)
    assert finished.returncode == 0, finished.stderr
    assert read_result(step, data) == undisturbed(step)[0]


@pytest.mark.parametrize(
    "step", [pytest.param(x, marks=[] if x in FAST else [pytest.mark.slow]) for x in STOPS]
)
def test_a_read_only_folder_is_one_line(pipeline, disk, step):
    data, script = prepare(pipeline, step, disk)
    before = contents(data)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    expect_line(script, STOPS[step]["read-only folder"])
    assert contents(data) == before


def expect_line(script, stop):
    finished = run_script(script)
    assert finished.returncode == stop.status, finished.stderr
    assert "Traceback" not in finished.stderr
    lines = [line for line in finished.stderr.splitlines() if "Stopped" in line]
    assert len(lines) == 1 and re.fullmatch(stop.line, lines[0]), finished.stderr
