"""Measure the time and the memory of the steps, and format the results of repeats."""

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


def format_range(values, digits):
    """Return the median and the range of some numbers as text: `124 (120 to 160)`."""
    values = np.sort(values)
    return f"{np.median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


# --- memory: Linux only ---------------------------------------------------------------------------


def measure_own_memory(process):
    """Return the memory of a process in MB, without shared pages; 0 if the process has ended.

    Shared pages include those of mapped files, which the system can reclaim.
    """
    with suppress(psutil.Error):
        memory = process.memory_info()
        return (memory.rss - memory.shared) / 1e6
    return 0


@contextmanager
def watching_memory(pid=None):
    """Watch the memory of a process and its workers while the block runs.

    Args:
        pid: the process; None for this one.

    Yields:
        An object with `peak`, the most memory of the process itself, and `peak_with_workers`, the
        most memory of the process and all its descendants together, in MB. Both are updated every
        0.05 s and final at the end of the block.
    """
    memory, done = SimpleNamespace(peak=0, peak_with_workers=0), threading.Event()
    process = psutil.Process(pid)

    def watch():
        while not done.wait(0.05):
            own, workers = measure_own_memory(process), []
            with suppress(psutil.Error):
                workers = process.children(recursive=True)
            together = own + sum(map(measure_own_memory, workers))
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
    """Return the command that calls `step.main(**arguments)` in a new Python process."""
    arguments = {name: str(x) if isinstance(x, Path) else x for name, x in arguments.items()}
    return [sys.executable, "-c", f"import {step}\n{step}.main(**{arguments!r})"]


def run_step(step, **arguments):
    """Run a step in a new Python process, including its start; returns what `run_process` does."""
    return run_process(step_command(step, **arguments))


def run_process(command):
    """Run a command without progress bars, and measure it.

    Args:
        command: list of strings and paths.

    Returns:
        An object with `seconds`; `lines`, a list of (seconds since the start, printed line); and
        `peak` and `peak_with_workers` of `watching_memory`.

    Raises:
        SystemExit: the process failed; the message ends with the last lines that it printed.
    """
    os.sync()  # otherwise this process would also wait for what the previous one wrote
    environment = os.environ | {"TQDM_DISABLE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    begin = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        with watching_memory(process.pid) as memory:
            lines = [(time.perf_counter() - begin, line) for line in process.stdout]
            process.wait()
        seconds = time.perf_counter() - begin
    if process.returncode:
        printed = "".join(line for _, line in lines[-20:])
        sys.exit(f"{' '.join(map(str, command))} failed:\n{printed}")
    return SimpleNamespace(seconds=seconds, lines=lines, **vars(memory))


def draw_demonstration(folder):
    """Draw the demonstration set into a folder; returns its CSV and its folder of posters."""
    code = "import sys; sys.path[0] = sys.argv[1]; import draw; draw.main(sys.argv[2])"
    run_process([sys.executable, "-c", code, ROOT / "data" / "sample", folder])
    return folder / "movies_metadata.csv", folder / "posters"
