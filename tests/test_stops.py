"""What ends the scripts from outside: Ctrl-C in the middle of their work, a disk that is full."""

import errno
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time

from postergenres.dataset.store import open_store

import pytest
from conftest import ROOT, contents

SCRIPTS = {  # and arguments that keep them at work
    "database": ["--metadata-csv", "movies.csv", "--poster-base", "images"],
    "sampling": [],
    "preprocessing": ["--image-height", "48", "--image-width", "32"],
    "train": ["--epochs", "1000", "--patience", "1000"],
    "predict": ["images"],
}

# Runs a script, announces the begin of its work, and keeps it from ending before the signal comes.
RUN = """
import runpy, sys, time
from contextlib import contextmanager
from postergenres import step as module

@contextmanager
def step_that_waits(*arguments, **options):
    with step(*arguments, **options):
        print("begins", flush=True)
        yield
        time.sleep(60)

if __name__ == "__main__":
    step, module.step = module.step, step_that_waits
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for a process")
@pytest.mark.parametrize("script", SCRIPTS)
def test_ctrl_c_in_the_middle_of_the_work_is_one_line_and_status_130(pipeline, tmp_path, script):
    shutil.copytree(pipeline.data, tmp_path / "data")
    for name in ("movies.csv", "images"):
        (tmp_path / name).symlink_to(pipeline.images.parent / name)
    (tmp_path / "run.py").write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, "run.py", ROOT / f"{script}.py", *SCRIPTS[script]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background process of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.stdout.readline() not in ("begins\n", ""):
        pass
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert time.monotonic() - begin < 2
    lines = [line for line in error.splitlines() if line.startswith("Stopped")]
    assert lines == [f"Stopped. To go on, run: python {script}.py"]
    assert "Traceback" not in error


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path, script):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        importlib.import_module(script).main(data_dir=tmp_path / "file" / "data")
    line = str(end.value)
    assert line.startswith(f"Stopped: [Errno {errno.ENOTDIR}] Not a directory: ")
    assert f"Fix this, then run: python {script}.py" in line and "\n" not in line


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


@pytest.mark.parametrize("is_full", [True, False])
def test_on_a_disk_that_cannot_be_written_the_old_store_stays(pipeline, disk, is_full):
    import preprocessing

    data = disk / "data"
    shutil.copytree(pipeline.data, data)
    before = contents(data / "store")
    if is_full:
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 200_000))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    line = "No space left .* Free some space, " if is_full else "Read-only file system.* Fix this, "
    with pytest.raises(SystemExit, match=f"^Stopped: .*{line}then run: python preprocessing.py"):
        preprocessing.main(data, image_height=60, image_width=40, workers=1)
    assert contents(data / "store") == before
    open_store(data)
