"""Processes of this machine, and the workers of a Dask cluster on this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

from postergenres.dataset.decoding import DECODER, fill_rows
from postergenres.download.manifest import poster_path
from postergenres.parallel import connect, open_executor, run_tasks
from postergenres.step import step

import pytest
from conftest import ROOT, contents, draw_colours
from distributed import Client, LocalCluster

import database
import preprocessing
import sampling


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, each a process with a core."""
    folder = str(tmp_path_factory.mktemp("dask"))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(local_directory=folder, **options) as cluster:
        yield cluster


@pytest.fixture(params=["processes", "cluster"])
def executor(request):
    """Both kinds of executors, with two workers."""
    is_cluster = request.param == "cluster"
    address = request.getfixturevalue("cluster").scheduler_address if is_cluster else None
    with open_executor(2, address) as executor:
        yield executor


def test_results_come_in_order_with_few_tasks_at_a_time(executor):
    taken = []

    def tasks():
        for number in range(40):
            taken.append(number)
            code = f"(__import__('time').sleep({0.01 * (number % 3)}), __import__('os').getpid())"
            yield (f"({number}, {code}[1])",)

    results = run_tasks(executor, eval, tasks(), ahead=8)
    first, process = next(results)
    assert first == 0 and len(taken) <= 9
    rest = list(results)
    assert [number for number, _ in rest] == list(range(1, 40))
    processes = {process, *(process for _, process in rest)}
    assert len(processes) == 2 and os.getpid() not in processes
    with pytest.raises(FileNotFoundError):  # an error of a task
        list(run_tasks(executor, os.stat, [("none",)]))


def test_a_step_that_ends_does_not_wait_for_tasks_that_have_not_begun():
    begin = time.monotonic()
    with open_executor(1) as executor:
        next(run_tasks(executor, time.sleep, [(0.3,)] * 200))
    assert time.monotonic() - begin < 20


# --- processes of this machine --------------------------------------------------------------------


def test_processes_ignore_ctrl_c_and_one_that_is_killed_breaks_the_pool():
    code = "__import__('signal').getsignal(2) == __import__('signal').SIG_IGN"
    with open_executor(1) as executor:
        assert list(run_tasks(executor, eval, [(code,)])) == [True]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    with pytest.raises(BrokenProcessPool), open_executor(1) as executor:
        list(run_tasks(executor, os._exit, [(1,)]))


def run_script(folder, script):
    """Start a script in a folder; the package is importable."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("module", ["decoding", "duplicates"])
def test_processes_import_neither_the_script_nor_pandas(tmp_path, module):
    """Each process imports the module whose function step 3 or step 2 runs in it."""
    script = f"""
import pandas
from postergenres.parallel import open_executor, run_tasks

with open("imports.txt", "a") as file:
    file.write("imported\\n")

if __name__ == "__main__":
    code = "(__import__('postergenres.dataset.{module}'), 'pandas' in __import__('sys').modules)[1]"
    with open_executor(2) as executor:
        print(list(run_tasks(executor, eval, [(code,)] * 4)))
"""
    process = run_script(tmp_path, script)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and output == "[False, False, False, False]\n"
    assert (tmp_path / "imports.txt").read_text() == "imported\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for a process in /proc")
def test_processes_end_if_the_script_is_killed(tmp_path):
    script = """
import time
from postergenres.parallel import open_executor

if __name__ == "__main__":
    with open_executor(1) as executor:
        print(executor.submit(eval, "__import__('os').getpid()").result(), flush=True)
        time.sleep(60)
"""
    process = run_script(tmp_path, script)
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process):
    """Return whether a process runs; a zombie, which nobody has waited for, does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- a Dask cluster -------------------------------------------------------------------------------


def test_the_steps_write_the_same_bytes_on_a_cluster(cluster, tmp_path, monkeypatch):
    draw_colours(tmp_path / "source", movies=200)
    database.main(tmp_path / "here", tmp_path / "source" / "movies.csv", tmp_path / "source/images")
    poster_path(tmp_path / "here", "m007").write_bytes(b"no image")
    poster_path(tmp_path / "here", "m011").unlink()
    shutil.copyfile(poster_path(tmp_path / "here", "m020"), poster_path(tmp_path / "here", "m021"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path)  # not the folder of the workers
    for folder, address in (("here", None), ("there", cluster.scheduler_address)):
        sampling.main(folder, oversampling="none", cluster=address)
        preprocessing.main(folder, 48, 32, workers=2, cluster=address)
    assert "m007" in (tmp_path / "there/store/errors.csv").read_text()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_no_result_is_lost_if_a_worker_is_killed(cluster):
    code = "(__import__('time').sleep(0.02), __import__('os').getpid(), {})[1:]"
    with open_executor(cluster=cluster.scheduler_address) as executor:
        results = run_tasks(executor, eval, [(code.format(number),) for number in range(60)])
        process, first = next(results)
        os.kill(process, signal.SIGKILL)
        assert [first, *(number for _, number in results)] == list(range(60))


@pytest.mark.parametrize(
    ("decoder", "folder", "message"),
    [
        ("Pillow 1", ".", "decodes with .*Pillow .*, not with"),
        (None, "none", "does not see .*none"),
    ],
)
def test_a_worker_that_would_give_other_results_ends_the_step(
    cluster, tmp_path, decoder, folder, message
):
    task = tmp_path / folder / "images.npy", 0, [], decoder or DECODER
    with (
        pytest.raises(SystemExit, match=f"Stopped: a worker on .* {message}.*run: python"),
        step("preprocessing", tmp_path),
        open_executor(cluster=cluster.scheduler_address) as executor,
    ):
        list(run_tasks(executor, fill_rows, [task]))


def test_a_cluster_that_loses_the_tasks_or_is_missing_is_one_line(cluster):
    with (
        pytest.raises(SystemExit, match="The cluster at tcp://.* failed: .*Restart it"),
        open_executor(cluster=cluster.scheduler_address),
    ):
        raise CancelledError
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        for address in ("nonsense", f"tcp://127.0.0.1:{closed.getsockname()[1]}"):
            with (
                pytest.raises(SystemExit, match="No Dask scheduler answers at .*dask scheduler"),
                connect(address, timeout=0.3),
            ):
                pass
    with Client(cluster, set_as_default=False) as client:
        cluster.scale(0)
        while client.ncores():
            time.sleep(0.05)
        with (
            pytest.raises(SystemExit, match="The scheduler at .* has no worker. .*dask worker"),
            connect(cluster.scheduler_address, timeout=0.3),
        ):
            pass
        cluster.scale(2)
        client.wait_for_workers(2)


@pytest.mark.slow
def test_dask_is_only_needed_for_a_cluster(tmp_path):
    draw_colours(tmp_path / "source", movies=60)
    database.main(tmp_path / "data", tmp_path / "source" / "movies.csv", tmp_path / "source/images")
    data = str(tmp_path / "data")
    code = (
        "import sys\nsys.modules.update(dask=None, distributed=None)\n"
        "import preprocessing, sampling\nif __name__ == '__main__':\n"
        f"    sampling.main({data!r})\n    preprocessing.main({data!r}, 15, 10, workers=1)\n"
        f"    sampling.main({data!r}, cluster='tcp://127.0.0.1:8786')\n"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    line = "CLUSTER needs Dask. Run: python -m pip install -r requirements/cluster.txt"
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1] == line
    assert (tmp_path / "data" / "store" / "store.json").is_file()
