"""A pool of processes that can be interrupted, or killed, without a trace."""

import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


def run_in_processes(function, tasks, workers):
    """Yield the results in the order of the tasks, of which few at a time are in memory."""
    workers = workers or min(os.cpu_count(), 61)  # Windows allows 61
    # A forked child inherits TensorFlow's locks where that is loaded; a spawned one never does.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, start_worker) as pool:
        pending = deque()
        for task in tasks:
            with ignoring_interrupts(), hiding_main():  # from a process that it starts
                pending.append(pool.submit(function, *task))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def hiding_main():
    """Processes that are started meanwhile do not import the script that is running.

    multiprocessing would run the imports of the script in each of them, pandas among them, though
    the functions that they call are those of the package.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def ignoring_interrupts():
    """Ctrl-C has no effect meanwhile, nor on processes that are started meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so, and only it gets them
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def start_worker():
    """For a process of a pool: quiet, deaf to Ctrl-C, and at its end where the main process is."""
    warnings.simplefilter("ignore")  # Pillow's remarks on broken metadata
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)  # a process of a killed pool would wait for tasks for ever

    threading.Thread(target=end_with_parent, daemon=True).start()
