"""Run tasks in a pool of processes, none of which outlives an interrupted or killed run."""

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
    """Yield the results in the order of the tasks, with few tasks in memory at a time.

    After Ctrl-C, or if the caller wants no more results, unfinished tasks are ended.

    Args:
        function: a function of a module of the package, which each process imports.
        tasks: iterable of tuples of its arguments.
        workers: number of processes; None for one per core.

    Raises:
        BrokenProcessPool: a process was killed.
    """
    workers = workers or min(os.cpu_count(), 61)  # Windows allows 61
    # Forked processes inherit the locks of TensorFlow, if it is loaded; spawned ones do not.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initialize_worker) as pool:
        pending = deque()
        try:
            for task in tasks:
                with ignoring_interrupts(), hiding_main():  # submit() starts processes
                    pending.append(pool.submit(function, *task))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except (KeyboardInterrupt, GeneratorExit):
            for process in multiprocessing.active_children():
                process.terminate()
            raise


@contextmanager
def hiding_main():
    """Keep processes that are started in this block from importing the running script.

    multiprocessing would run the script's imports in each process, pandas among them, although the
    processes only call functions of the package.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def ignoring_interrupts():
    """Ignore Ctrl-C in this block, and in processes that are started in it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers, and delivers signals, only in the main thread
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def initialize_worker():
    """Silence warnings, ignore SIGINT, and exit with the parent process."""
    warnings.simplefilter("ignore")  # Pillow's warnings about broken metadata
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)  # if the parent is killed, this process would wait for tasks forever

    threading.Thread(target=end_with_parent, daemon=True).start()
