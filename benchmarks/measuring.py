"""What the benchmarks measure, and how they put it into words."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent


def describe(values, digits):
    """The median and the range: `124 (120 to 160)`."""
    values = np.sort(values)
    return f"{np.median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


# --- memory: Linux only ---------------------------------------------------------------------------


def own_memory(process):
    """The memory of a process of its own, in MB; 0 where it has ended.

    Pages of files, which the system can take back, are not counted.
    """
    with suppress(psutil.Error):
        memory = process.memory_info()
        return (memory.rss - memory.shared) / 1e6
    return 0


@contextmanager
def watching_memory(pid=None):
    """Watch a process, this one or another.

    Yields what will have `peak`, the most memory of its own that it had, and `peak_with_workers`,
    the most that it and the processes it started had together, in MB.
    """
    memory, done = SimpleNamespace(peak=0, peak_with_workers=0), threading.Event()
    process = psutil.Process(pid)

    def watch():
        while not done.wait(0.05):
            own, workers = own_memory(process), []
            with suppress(psutil.Error):
                workers = process.children(recursive=True)
            together = own + sum(map(own_memory, workers))
            memory.peak = max(memory.peak, own)
            memory.peak_with_workers = max(memory.peak_with_workers, together)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
    finally:
        done.set()
        watcher.join()


# --- steps in a process of their own --------------------------------------------------------------


def step_command(step, **arguments):
    """The command that runs a step in a Python of its own: `step.main(**arguments)`."""
    arguments = {name: str(x) if isinstance(x, Path) else x for name, x in arguments.items()}
    return [sys.executable, "-c", f"import {step}\n{step}.main(**{arguments!r})"]


def step_environment():
    """Without progress bars, and with the scripts to import."""
    return os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_step(step, **arguments):
    """Run a step in a Python of its own, whose start counts: see `run`."""
    return run(step_command(step, **arguments))


def run(command):
    """Run a Python of a benchmark or of a step.

    Returns what has `seconds`, `lines`, each with the seconds after which it was printed, and the
    memory as of `watching_memory`. Exits with the last lines where the process fails.
    """
    os.sync()  # or it would wait for what the step before wrote
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        env=step_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        with watching_memory(process.pid) as memory:
            lines = [(time.perf_counter() - begin, line) for line in process.stdout]
            process.wait()
        seconds = time.perf_counter() - begin
    if process.returncode:
        said = "".join(line for _, line in lines[-20:])
        sys.exit(f"{' '.join(map(str, command))} failed:\n{said}")
    return SimpleNamespace(seconds=seconds, lines=lines, **vars(memory))


def draw_demonstration(folder):
    """Draw the demonstration set. Returns its CSV and the folder of its posters."""
    code = "import sys; sys.path[0] = sys.argv[1]; import draw; draw.main(sys.argv[2])"
    run([sys.executable, "-c", code, ROOT / "data" / "sample", folder])
    return folder / "movies_metadata.csv", folder / "posters"
