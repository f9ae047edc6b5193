"""What the benchmarks measure, and how they put it into words."""

import re
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np


def describe(values, digits):
    """The median and the range: `124 (120 to 160)`."""
    values = np.sort(values)
    return f"{np.median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


@contextmanager
def watching_memory():
    """Yield what will have `peak`, in MB: the most memory of its own that this process had.

    Pages of files, which the system can take back, are not counted. Linux only.
    """
    memory, done = SimpleNamespace(peak=0), threading.Event()

    def watch():
        while not done.wait(0.05):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            kilobytes = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
            memory.peak = max(memory.peak, kilobytes / 1000)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
    finally:
        done.set()
        watcher.join()
