"""Run steps 2 and 3 on a Dask cluster of a scheduler and two workers, started as users do."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial

from postergenres.dataset import builder
from postergenres.dataset.decoding import decode_poster
from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path
from postergenres.old_files import write_csv
from postergenres.parallel import dask

import numpy as np
import pandas as pd
import pytest
from conftest import (
    ROOT,
    contents,
    count_decoded,
    draw_colours,
    image_bytes,
    leave_unfinished,
)
from distributed import Client

import database
import preprocessing
import sampling


@contextmanager
def running_cluster(folder, scratch, workers=2):
    """Start a scheduler and workers in a folder; yield the scheduler's process and address."""
    about = scratch / "scheduler.json"
    about.unlink(missing_ok=True)
    common = ["--no-dashboard", "--scheduler-file", str(about)]
    commands = [["scheduler", "--host", "127.0.0.1", "--port", "0"]]
    if workers:
        commands.append(["worker", "--nworkers", str(workers), "--nthreads", "1"])
        commands[-1] += ["--local-directory", str(scratch)]
    with open(scratch / "dask.log", "a") as log:
        start = partial(subprocess.Popen, cwd=folder, stdout=log, stderr=log)
        dask = [sys.executable, "-m", "dask"]
        processes = [start([*dask, *command, *common]) for command in commands]
    try:
        deadline = time.monotonic() + 60
        while not about.is_file() or not about.stat().st_size:
            assert time.monotonic() < deadline and processes[0].poll() is None
            time.sleep(0.05)
        address = json.loads(about.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            while len(client.ncores()) < workers:
                time.sleep(0.05)
        yield processes[0], address
    finally:
        for process in reversed(processes):  # a worker ends slowly after its scheduler
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with running_cluster(ROOT, tmp_path_factory.mktemp("dask")) as (_, address):
        yield address


def count_tasks(address):
    """Return how many tasks each worker has run."""
    with Client(address, set_as_default=False) as client:
        return list(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


@pytest.fixture
def wait():
    def wait(number, seconds=0.05):  # nested, because workers cannot import test modules
        time.sleep(seconds)
        return number, os.getpid()

    return wait


def numbers(results):
    return [number for number, _ in results]


# --- the same results -----------------------------------------------------------------------------


def test_the_steps_write_the_same_bytes_on_a_cluster(address, tmp_path, monkeypatch):
    draw_colours(tmp_path / "source", movies=200)
    database.main(tmp_path / "here", tmp_path / "source" / "movies.csv", tmp_path / "source/images")
    poster_path(tmp_path / "here", "m007").write_bytes(b"no image")
    poster_path(tmp_path / "here", "m011").unlink()
    shutil.copyfile(poster_path(tmp_path / "here", "m020"), poster_path(tmp_path / "here", "m021"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path)  # not the folder of the workers
    sampling.main("here", sample_fraction=1, oversampling="none")
    preprocessing.main("here", 48, 32, workers=2)

    before = count_tasks(address)
    sampling.main("there", sample_fraction=1, oversampling="none", cluster=address)
    between = count_tasks(address)
    preprocessing.main("there", 48, 32, cluster=address)
    after = count_tasks(address)
    assert len(before) == 2 and sum(between) - sum(before) == 7  # chunks of 32
    assert sum(after) - sum(between) == 7 and min(after) > min(before)
    assert "m007" in (tmp_path / "there/store/errors.csv").read_text()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_run_stopped_on_this_machine_resumes_on_the_cluster(address, hundred, capsys):
    whole = contents(hundred / "store")
    leave_unfinished(hundred, 1)
    before = sum(count_tasks(address))
    preprocessing.main(hundred, 15, 10, cluster=address)
    assert count_decoded(capsys) == 100 - builder.CHUNK
    assert sum(count_tasks(address)) == before + 3
    assert contents(hundred / "store") == whole


@pytest.mark.slow  # a second of work, so that there is something to stop
def test_a_run_on_the_cluster_stopped_by_ctrl_c_resumes_on_this_machine(address, tmp_path, capsys):
    body = image_bytes(size=(1400, 2100), form="PNG")  # takes 10 to 25 ms to decode
    splits = ["train", "val", "test", "train"] * 160
    samples = pd.DataFrame({"id": range(640), "title": "x", "genres": "Drama", "split": splits})
    write_csv(samples.assign(copies=1), tmp_path / "samples.csv")
    (tmp_path / "posters").mkdir()
    for movie in samples["id"]:
        poster_path(tmp_path, movie).write_bytes(body)
    call = f"preprocessing.main({str(tmp_path)!r}, 15, 10, cluster={address!r})"
    journal = tmp_path / "store" / "unfinished.jsonl"  # is written once a second
    process = subprocess.Popen(
        [sys.executable, "-c", f"import preprocessing; {call}"],
        cwd=ROOT,
        env=os.environ | {"TQDM_DISABLE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (
        journal.is_file() and '"first"' in journal.read_text(encoding="utf-8")
    ):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130
    assert errors == "Stopped. To resume, run: python preprocessing.py\n"
    capsys.readouterr()
    preprocessing.main(tmp_path, 15, 10, workers=2)
    assert 0 < count_decoded(capsys) < 640
    images = open_store(tmp_path).images
    assert (images == decode_poster(poster_path(tmp_path, 0), 15, 10)).all()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return a data folder with the output of steps 1 and 2 for 400 posters."""
    folder = tmp_path_factory.mktemp("many")
    draw_colours(folder / "source", movies=400)
    database.main(folder / "data", folder / "source" / "movies.csv", folder / "source" / "images")
    sampling.main(folder / "data", sample_fraction=1, oversampling="none")
    return folder / "data"


def start_script(step, data, address):
    """Start a copy of a script whose settings are edited, as users do it; return the process."""
    script = (ROOT / f"{step}.py").read_text(encoding="utf-8")
    script = script.replace('DATA_DIR = "data"', f"DATA_DIR = {str(data)!r}")
    script = script.replace("CLUSTER = None", f"CLUSTER = {address!r}")
    (data / f"{step}.py").write_text(script, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, data / f"{step}.py"],
        env=os.environ | {"TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupt_script(step, data, address, seconds):
    """Send Ctrl-C to a script after some seconds; check how it ends and return its status."""
    shutil.rmtree(data / "store", ignore_errors=True)
    process = start_script(step, data, address)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2
    line = rf"Stopped\. To (start again|resume), run: python {step}\.py\n"
    assert re.fullmatch({130: line, 0: ""}[process.returncode], errors), errors
    return process.returncode


@pytest.mark.parametrize("step", ["sampling", "preprocessing"])
@pytest.mark.parametrize("count", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_moment_is_one_line_and_leaves_no_task(address, many, step, count):
    """A step that has already ended keeps its status 0. Python itself needs a moment to start."""
    begin = time.monotonic()
    assert start_script(step, many, address).wait() == 0
    whole = time.monotonic() - begin
    rng = np.random.default_rng(count)
    moments = whole * (0.2 + 0.8 * (np.arange(count) + rng.random(count)) / count)
    statuses = [interrupt_script(step, many, address, seconds) for seconds in moments]
    assert statuses.count(130) >= count / 2 and set(statuses) <= {0, 130}
    with Client(address, set_as_default=False) as client:
        deadline = time.monotonic() + 10
        while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert start_script(step, many, address).wait() == 0


def test_ctrl_c_ends_a_step_whose_scheduler_does_not_answer(many, tmp_path):
    with running_cluster(ROOT, tmp_path) as (scheduler, address):
        scheduler.send_signal(signal.SIGSTOP)
        try:
            assert interrupt_script("sampling", many, address, 3) == 130
        finally:
            scheduler.send_signal(signal.SIGCONT)


def test_cluster_results_come_in_order_with_few_tasks_at_a_time(address, wait, tmp_path):
    taken = []

    def tasks():
        for number in range(60):
            taken.append(number)
            yield number, 0.02 * (number % 3)

    with closing(dask.run_on_cluster(wait, tasks(), address, tmp_path)) as results:
        first, process = next(results)
        time.sleep(0.5)
        assert first == 0 and len(taken) <= 8
        rest = list(results)
    assert numbers(rest) == list(range(1, 60))
    processes = {process, *(process for _, process in rest)}
    assert len(processes) == 2 and os.getpid() not in processes


def test_an_error_of_a_task_is_raised_in_the_main_process(address, tmp_path):
    with pytest.raises(FileNotFoundError):
        list(dask.run_on_cluster(os.stat, [(tmp_path / "none",)] * 9, address, tmp_path))
    assert list(dask.run_on_cluster(abs, [(-1,)] * 9, address, tmp_path)) == [1] * 9


# --- what goes wrong ------------------------------------------------------------------------------


def test_no_result_is_lost_if_a_worker_is_killed(address, wait, tmp_path):
    tasks = [(number,) for number in range(60)]
    with closing(dask.run_on_cluster(wait, tasks, address, tmp_path)) as results:
        first, process = next(results)
        os.kill(process, signal.SIGKILL)
        assert [first, *numbers(results)] == list(range(60))


def test_a_task_that_kills_its_workers_stops_the_run_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "TASK_TIMEOUT", 3)
    with (
        running_cluster(ROOT, tmp_path) as (_, address),
        pytest.raises(SystemExit, match="workers of tcp://.* do not answer.*run this step again"),
    ):
        list(dask.run_on_cluster(os._exit, [(1,)] * 4, address, tmp_path))


def test_a_killed_scheduler_stops_the_run_with_one_line(wait, tmp_path):
    with running_cluster(ROOT, tmp_path) as (scheduler, address):
        results = dask.run_on_cluster(wait, [(number,) for number in range(400)], address, ROOT)
        next(results)
        scheduler.kill()
        with pytest.raises(SystemExit, match="scheduler at tcp://.* no longer answers. Restart it"):
            list(results)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data folder with the output of step 1 for 60 posters."""
    folder = tmp_path_factory.mktemp("cluster")
    draw_colours(folder / "source", movies=60)
    database.main(folder / "data", folder / "source" / "movies.csv", folder / "source" / "images")
    return folder / "data"


@pytest.mark.parametrize("address", ["nonsense", "no-such-scheme://127.0.0.1:8786", None])
def test_a_missing_scheduler_is_reported_in_one_line(data, monkeypatch, address):
    monkeypatch.setattr(dask, "CONNECT_TIMEOUT", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        address = address or f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SystemExit, match="No Dask scheduler answers at .*dask scheduler"):
            sampling.main(data, cluster=address)


def test_a_scheduler_without_workers_or_in_another_folder_is_reported(tmp_path, wait, monkeypatch):
    monkeypatch.setattr(dask, "CONNECT_TIMEOUT", 0.5)
    # An empty package hides the real one, which an editable install makes importable everywhere.
    (tmp_path / "postergenres").mkdir()
    (tmp_path / "postergenres" / "__init__.py").touch()
    for folder, message in ((ROOT, "has no worker"), (tmp_path, "cannot use these scripts")):
        with (
            running_cluster(folder, tmp_path, workers=0) as (_, address),
            pytest.raises(SystemExit, match=f"{message}.*run: python -m dask scheduler; python -m"),
        ):
            next(dask.run_on_cluster(wait, [(1,)], address, ROOT))


def test_workers_that_would_give_other_results_are_refused(address, wait, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="worker tcp://.* does not see .*none"):
        next(dask.run_on_cluster(wait, [(1,)], address, tmp_path / "none"))
    late = dask.run_on_cluster(wait, [(number,) for number in range(40)], address, tmp_path)
    next(late)
    tmp_path.rmdir()
    with pytest.raises(SystemExit, match="A worker does not see"):
        list(late)
    monkeypatch.setattr(dask, "DECODER", "Pillow 1")
    with pytest.raises(SystemExit, match="worker .* decodes with .*Pillow .*, not with Pillow 1"):
        next(dask.run_on_cluster(wait, [(1,)], address, ROOT))


def test_the_error_without_dask_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit, match="pip install -r requirements/cluster.txt"):
        sampling.main(data, cluster="tcp://127.0.0.1:8786")


def test_steps_without_a_cluster_do_not_need_dask(data):
    code = (
        "import sys\nsys.modules.update(dask=None, distributed=None)\n"
        "import preprocessing\nassert 'joblib' not in sys.modules\nimport sampling\n"
        f"if __name__ == '__main__':\n    sampling.main({str(data)!r})\n"
        f"    preprocessing.main({str(data)!r}, workers=1)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("step", [sampling, preprocessing])
@pytest.mark.parametrize("setting", ["", 8786])
def test_a_bad_cluster_setting_is_refused(tmp_path, step, setting):
    with pytest.raises(ValueError, match=f"cluster must be .*{setting!r}"):
        step.main(tmp_path, cluster=setting)
