"""How a step stops: one line, and an exit status."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

from postergenres.old_settings import SettingError
from postergenres.stopping import insisting_on_ctrl_c, run_from_shell, stopping_cleanly

import pytest
from conftest import ROOT


def test_a_step_that_ends_by_itself_is_left_alone(capsys):
    with stopping_cleanly("train"):
        pass
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize(
    ("after", "line"),
    [
        ({}, "Stopped. To resume, run: python train.py\n"),
        ({"after": "To start again"}, "Stopped. To start again, run: python train.py\n"),
    ],
)
def test_ctrl_c_is_one_line_and_status_130(capsys, after, line):
    with pytest.raises(SystemExit) as end, stopping_cleanly("train", **after):
        raise KeyboardInterrupt
    assert end.value.code == 130 and capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space, then run: python train.py"),
        (errno.EDQUOT, "Free some space, then run: python train.py"),
        (errno.EACCES, "Fix this, then run: python train.py"),
        (errno.ENOTDIR, "Fix this, then run: python train.py"),
    ],
)
def test_an_error_of_the_file_system_is_one_line_with_the_command(number, advice):
    with pytest.raises(SystemExit) as end, stopping_cleanly("train"):
        raise OSError(number, "what happened", "some/path")
    line = end.value.code  # Python prints it and exits with status 1
    assert line.startswith("Stopped: ") and line.endswith(f". {advice}") and "\n" not in line
    assert "what happened" in line and "some/path" in line


def test_ctrl_c_that_c_code_turns_into_a_system_error_is_the_same_line(capsys):
    with pytest.raises(SystemExit) as end, stopping_cleanly("train"):
        try:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as reason:
                raise SystemError("returned a result with an exception set") from reason
        except SystemError as error:
            raise error.with_traceback(None) from None  # as Keras does
    assert end.value.code == 130
    assert capsys.readouterr().err == "Stopped. To resume, run: python train.py\n"


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), SystemError("a defect"), SystemExit("a line"), SystemExit(3)]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, stopping_cleanly("train"):
        raise error
    assert caught.value is error


def test_from_the_shell_main_gets_the_arguments():
    calls = []
    run_from_shell(lambda *arguments: calls.append(arguments), ["a.jpg"])
    run_from_shell(lambda *arguments: calls.append(arguments))
    assert calls == [(["a.jpg"],), ()]


def test_from_the_shell_a_bad_setting_names_the_constant_and_the_file(capsys):
    def main():
        raise SettingError("train", "batch_size", "batch_size must be larger, got 0")

    with pytest.raises(SystemExit) as end:
        run_from_shell(main)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "batch_size must be larger, got 0. Edit BATCH_SIZE in train.py, then run: python train.py\n"
    )


def test_from_the_shell_another_error_keeps_its_traceback():
    def main():
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        run_from_shell(main)


def test_ctrl_c_that_python_would_ignore_is_not_lost(capsys):
    """Python prints an exception of a destructor and goes on."""

    class Deleted:
        def __del__(self):
            raise KeyboardInterrupt

    def main():
        Deleted()
        time.sleep(0.1)
        pytest.fail("went on")

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        run_from_shell(main)
    assert sys.unraisablehook is hook and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "advice"),
    [("preprocessing", "Lower WORKERS in preprocessing.py"), ("sampling", "Free some memory")],
)
def test_a_killed_worker_process_is_one_line_with_the_command(step, advice):
    with pytest.raises(SystemExit) as end, stopping_cleanly(step):
        raise BrokenProcessPool("a process was killed")
    assert end.value.code == (
        "Stopped: a worker process was killed, perhaps because memory ran out. "
        f"{advice}, then run: python {step}.py"
    )


posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for a process")


@posix
@pytest.mark.parametrize("step", ["database", "sampling", "preprocessing", "train", "predict"])
@pytest.mark.parametrize("module", ["numpy", "main"])
def test_ctrl_c_while_python_imports_is_one_line_and_status_130(tmp_path, step, module):
    """A slow import stands in for TensorFlow; "main" is the moment before the step begins."""
    (tmp_path / "sitecustomize.py").write_text(SLOW[module], encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, ROOT / f"{step}.py"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line == "here\n":
            break
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2
    assert process.returncode == 130, error
    lines = [line for line in error.splitlines() if line.startswith("Stopped")]
    assert re.fullmatch(rf"Stopped\. To .*, run: python {step}\.py", lines[0]), error
    assert len(lines) == 1 and "Traceback" not in error


SLOW = {
    # Sleeps in the first import of a large package.
    "numpy": """
import importlib.abc, sys, time
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("aiohttp", "numpy", "keras", "pandas"):
            sys.meta_path.remove(self)
            print("here", flush=True)
            time.sleep(10)
sys.meta_path.insert(0, Slow())
""",
    # Sleeps at the first line of main().
    "main": """
import time
import postergenres.old_settings as settings
def check_settings(step, values):
    print("here", flush=True)
    time.sleep(10)
settings.check_settings = check_settings
""",
}


SCRIPT = """
import postergenres.stopping
import atexit, os, time
from postergenres.stopping import insisting_on_ctrl_c, run_from_shell, stopping_cleanly

def main():
    with stopping_cleanly("sampling", after="To resume"):
        {}

def block(seconds=10):
    os.write(1, b"here\\n")
    time.sleep(seconds)

def lose_ctrl_c():
    for _ in range(2):
        try:
            block()
        except KeyboardInterrupt:
            pass

class Slow:
    def __del__(self, block=block, os=os, time=time):
        block(1)

if __name__ == "__main__":
    run_from_shell(main)
"""


def start_script(tmp_path, body):
    """Run SCRIPT with a body of its main(); return the process when it prints its first line."""
    (tmp_path / "sampling.py").write_text(SCRIPT.format(body), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, tmp_path / "sampling.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "here\n"
    return process


@posix
@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_script_ends_after_ctrl_c_even_if_the_exception_is_lost(tmp_path, interrupts):
    process = start_script(tmp_path, "with insisting_on_ctrl_c(): lose_ctrl_c()")
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "here\n"  # the step has lost it
    if interrupts == 2:
        process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert time.monotonic() - begin < (2 if interrupts == 1 else 1)
    assert process.returncode == 130
    assert error == "Stopped. To resume, run: python sampling.py\n"


@posix
@pytest.mark.parametrize("moment", ["atexit.register(block)", "global slow; slow = Slow()"])
def test_ctrl_c_while_python_ends_does_not_change_the_status(tmp_path, moment):
    """The step is complete; then exit handlers run, and modules are deleted."""
    process = start_script(tmp_path, moment)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert time.monotonic() - begin < 2
    assert (process.returncode, error) == (0, "")


@posix
def test_ctrl_c_is_only_insisted_on_in_scripts():
    with insisting_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@posix
def test_other_programs_that_import_the_package_keep_their_handler():
    code = """
import signal
import postergenres.stopping
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
