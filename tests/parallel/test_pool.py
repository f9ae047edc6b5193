import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from postergenres.parallel.pool import run_in_processes

import pytest
from conftest import ROOT


def test_pool_results_come_in_order_with_few_tasks_at_a_time():
    taken = []

    def tasks():
        for number in range(40):
            taken.append(number)
            yield (f"(__import__('time').sleep({0.01 * (number % 3)}), {number})[1]",)

    with closing(run_in_processes(eval, tasks(), 2)) as results:
        assert next(results) == 0 and len(taken) <= 9
        assert list(results) == list(range(1, 40))


def test_an_error_in_a_process_is_raised_in_the_main_process(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(run_in_processes(os.stat, [(tmp_path / "none",)], 1))


def test_a_killed_process_breaks_the_pool():
    with pytest.raises(BrokenProcessPool):
        list(run_in_processes(os._exit, [(1,)], 1))


def test_a_caller_that_stops_does_not_wait_for_unfinished_tasks():
    tasks = [("1",)] + [("__import__('time').sleep(60)",)] * 9
    begin = time.monotonic()
    with closing(run_in_processes(eval, tasks, 2)) as results:
        assert next(results) == 1
    assert time.monotonic() - begin < 20


def test_processes_ignore_ctrl_c():
    code = "__import__('signal').getsignal(2) == __import__('signal').SIG_IGN"
    assert list(run_in_processes(eval, [(code,)], 1)) == [True]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def run_script(folder, script):
    """Start a script in a folder; the package is importable."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("decoding", {"pandas", "keras", "sklearn", "scipy"}),
        ("duplicates", {"pandas", "keras", "sklearn"}),
    ],
)
def test_processes_import_neither_the_script_nor_pandas(tmp_path, module, unwanted):
    """Each process imports the module whose function step 3 or step 2 runs in it."""
    script = f"""
import pandas
from postergenres.parallel.pool import run_in_processes

with open("imports.txt", "a") as file:
    file.write("imported\\n")

if __name__ == "__main__":
    code = (
        "(__import__('postergenres.dataset.{module}'), "
        "sorted({unwanted} & set(__import__('sys').modules)))[1]"
    )
    print(list(run_in_processes(eval, [(code,)] * 4, 2)))
"""
    process = run_script(tmp_path, script)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and output == "[[], [], [], []]\n"
    assert (tmp_path / "imports.txt").read_text() == "imported\n"


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL and probes with signal 0")
def test_processes_end_if_the_script_is_killed(tmp_path):
    script = """
import time
from postergenres.parallel.pool import run_in_processes

if __name__ == "__main__":
    for pid in run_in_processes(eval, [("__import__('os').getpid()",)] * 9, 1):
        print(pid, flush=True)
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


def is_running(pid):
    """Return whether a process runs; a zombie, which nobody has waited for, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not state.stdout.strip().startswith("Z") and bool(state.stdout.strip())
