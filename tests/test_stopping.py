"""How a step stops: one line, and an exit status."""

import errno
from concurrent.futures.process import BrokenProcessPool

import pytest

from postergenres.settings import SettingError
from postergenres.stopping import run_from_shell, stopping_cleanly


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


@pytest.mark.parametrize("error", [ValueError("a defect"), SystemExit("a line"), SystemExit(3)])
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
