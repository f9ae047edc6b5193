import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPT = """
import os, signal, sys, time
from postergenres.training import supervisor
supervisor.STOP_SECONDS = 1
folder = supervisor.enter_child()
if folder is None:
    sys.exit(supervisor.supervise("another process is lost"))
open(os.path.join(folder, "file"), "w").close()
started = sys.argv.pop(1)
with open(started + ".part", "w") as file:
    file.write(f"{os.getpid()} {folder}")
os.replace(started + ".part", started)
"""
SLEEP = """
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted once", flush=True)
    time.sleep(0.3)
    sys.exit(130)
"""
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no signals")


@pytest.fixture
def start(tmp_path):
    """A function that starts a supervised script; returns it, its child's id and its folder."""
    started = []
    path = tmp_path / "started"

    def start_script(script, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + script, str(path), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.02)
        child, folder = path.read_text().split(maxsplit=1)
        return process, int(child), Path(folder)

    yield start_script
    for process in started:
        process.kill()
        process.communicate()


def has_ended(pid, seconds=5):
    """Return whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and ") Z " in stat.read_text():  # nobody has waited for the orphan
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_status_and_the_output_of_the_child_pass_through(start, status):
    script = "print(sys.argv[1]); print('error', file=sys.stderr); sys.exit(int(sys.argv[2]))"
    process, child, folder = start(script, "an argument", str(status))
    assert process.communicate(timeout=30) == ("an argument\n", "error\n")
    assert process.returncode == status and child != process.pid and not folder.exists()


@ON_POSIX
def test_an_abort_is_reported_in_one_line(start):
    process, _, folder = start("os.abort()")
    _, errors = process.communicate(timeout=30)
    assert errors == "another process is lost\n" and process.returncode == 1
    assert not folder.exists()


@ON_POSIX
def test_another_signal_is_reported_with_its_number(start):
    """No other process is to blame: the system kills a process that needs too much memory."""
    process, child, _ = start(SLEEP)
    os.kill(child, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert errors.startswith("The training process was ended by signal 9. ")
    assert errors.endswith(": python train.py\n") and process.returncode == 1


@ON_POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_once_and_ends_both(start, number):
    process, child, folder = start(SLEEP)
    time.sleep(0.2)
    begin = time.monotonic()
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # has no effect any more
    output, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 3 and process.returncode == 128 + number
    assert output == ("interrupted once\n" if number == signal.SIGINT else "") and errors == ""
    assert has_ended(child) and not folder.exists()


@ON_POSIX
def test_a_child_that_does_not_stop_is_killed(start):
    process, child, folder = start(
        "signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    process.stdout.readline()
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 4 and process.returncode == 130
    assert errors == "Stopped. To resume, run: python train.py\n"
    assert has_ended(child) and not folder.exists()


@ON_POSIX
def test_the_child_ends_if_its_parent_is_killed(start):
    process, child, _ = start(SLEEP)
    process.kill()
    assert has_ended(child)
