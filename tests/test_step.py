"""A step runs alone on its folder; whatever ends it is one line; Ctrl-C ends the script at once."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import postergenres
from postergenres.step import step

import pytest

ROOT = Path(postergenres.__file__).parents[1]
SCRIPT = """
import time
from pathlib import Path
from postergenres.step import step

with step("train", Path("data")):
    print("ready", flush=True)
    {body}
"""


def start(folder, body):
    (folder / "train.py").write_text(SCRIPT.format(body=body))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "train.py"]
    process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        "import threading; threading.Thread(target=time.sleep, args=[60]).start()",
        "try: time.sleep(60)\n    except BaseException: time.sleep(60)",
        "class A:\n        def __del__(self): time.sleep(60)\n    del_me = A(); del del_me",
    ],
)
def test_ctrl_c_is_one_line_and_status_130_at_once(tmp_path, body):
    process = start(tmp_path, body)
    time.sleep(0.2)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert time.monotonic() - begin < 2
    assert error == "\nStopped. To go on, run: python train.py\n" and process.returncode == 130


def test_the_second_run_on_a_folder_refuses(tmp_path):
    first = start(tmp_path, "time.sleep(60)")
    second = start(tmp_path, "pass")
    _, error = second.communicate(timeout=10)
    first.kill()
    assert second.returncode == 1
    expected = (
        "Another train.py is at work on data. Wait until it ends, then run: python train.py\n"
    )
    assert error == expected
    first.communicate()
    third = start(tmp_path, "pass")  # the lock of a killed run is released
    assert third.communicate(timeout=10)[1] == "" and third.returncode == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), "Free some space, then run: "),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "Fix this, then run: "),
        (BrokenProcessPool(), "lower WORKERS, then run: "),
    ],
)
def test_what_ends_a_step_is_a_line_with_the_command(tmp_path, error, line):
    with pytest.raises(SystemExit) as end, step("train", tmp_path):
        raise error
    assert str(end.value).startswith("Stopped: ") and "\n" not in str(end.value)
    assert str(end.value).endswith(f"{line}python train.py --data-dir {tmp_path}")


def test_the_commands_in_the_lines_of_the_rooms_name_the_data_folder(tmp_path, monkeypatch):
    line = "Set LIMIT in database.py, then run: python database.py and python sampling.py"
    option = f"--data-dir {tmp_path}"
    with pytest.raises(SystemExit) as end, step("train", tmp_path):
        sys.exit(line)
    assert end.value.code == (
        f"Set LIMIT in database.py, then run: python database.py {option} and python sampling.py "
        f"{option}"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end, step("train", Path("data")):
        sys.exit(line)
    assert end.value.code == line
    with pytest.raises(SystemExit) as end, step("train", tmp_path):
        sys.exit(3)
    assert end.value.code == 3


def test_other_errors_and_ctrl_c_elsewhere_pass_through(tmp_path):
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), step("train", tmp_path):
            raise error
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_next_command_names_the_data_folder(tmp_path, capsys, monkeypatch):
    with step("sampling", tmp_path / "a b"):
        pass
    expected = f"next: python preprocessing.py --data-dir '{tmp_path / 'a b'}'\n"
    assert capsys.readouterr().out == expected
    monkeypatch.chdir(tmp_path)
    with step("predict", Path("data")):
        pass
    assert capsys.readouterr().out == "next: python predict.py POSTER.jpg\n"
