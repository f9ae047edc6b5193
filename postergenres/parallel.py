"""Run tasks with one `Executor`: processes of this machine, or the workers of a Dask cluster.

The tasks are the same for both. The workers of a cluster must be able to import this package and
must see the data folder under the same path, because they write their results there.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

R = TypeVar("R")

START = "in the folder of these scripts: python -m dask scheduler; python -m dask worker ADDRESS"


def open_executor(
    workers: int | None = None, cluster: str | None = None
) -> AbstractContextManager[Executor]:
    """Return `workers` processes (None: one per core), or the workers of a Dask scheduler.

    At the end of `with`, tasks that have not begun are canceled.
    """
    return Processes(workers) if cluster is None else connect(cluster)


def run_tasks(
    executor: Executor, function: Callable[..., R], tasks: Iterable[tuple], ahead: int = 256
) -> Iterator[R]:
    """Yield the results in the order of the tasks, with about `ahead` tasks in memory at a time.

    The function is one of a module that each worker imports; a task is a tuple of its arguments.
    """
    pending: deque[Future[R]] = deque()
    for task in tasks:
        pending.append(executor.submit(function, *task))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class Processes(ProcessPoolExecutor):
    """Processes that ignore Ctrl-C, end with this one, and do not import the running script."""

    def __init__(self, workers: int | None) -> None:
        # Forked processes inherit the locks of TensorFlow, if it is loaded; spawned ones do not.
        context = multiprocessing.get_context("spawn")
        workers = workers or min(os.cpu_count() or 1, 61)  # Windows allows 61
        super().__init__(workers, context, initialize_process)

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Submit a task; a process that this starts ignores Ctrl-C, and has an empty `__main__`.

        multiprocessing would run the imports of the script, pandas among them, in each process.
        """
        main, handler = sys.modules["__main__"], None
        if threading.current_thread() is threading.main_thread():  # only there are handlers allowed
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            sys.modules["__main__"] = main
            if handler is not None:
                signal.signal(signal.SIGINT, handler)

    def __exit__(self, *_: object) -> None:
        self.shutdown(cancel_futures=True)


def initialize_process() -> None:
    """Silence Pillow's warnings about broken metadata, ignore SIGINT, and exit with the parent."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, daemon=True).start()


def exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()  # without this, a process whose parent was killed would wait forever
    os._exit(1)


@contextmanager
def connect(address: str, timeout: float = 20) -> Iterator[Executor]:
    """Yield the executor of a Dask cluster; exit if Dask or the cluster is missing or fails.

    `timeout` is in seconds, to wait for the scheduler, and then for a first worker.
    """
    try:
        from distributed import Client, KilledWorker  # here: most runs have no cluster
        from distributed.comm.addressing import resolve_address
    except ImportError:
        sys.exit("CLUSTER needs Dask. Run: python -m pip install -r requirements/cluster.txt")
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log a lost connection
    try:
        resolve_address(address)  # Client() would leave threads behind after an invalid address
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError):
        sys.exit(f"No Dask scheduler answers at {address}. Edit CLUSTER, or start one {START}")
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
            client.run(import_package)
        except TimeoutError:
            sys.exit(f"The scheduler at {address} has no worker. Start one {START}")
        except Exception as error:  # as the worker raised it
            sys.exit(f"A worker cannot import this package: {error}. Start it {START}")
        executor = client.get_executor(pure=False)
        try:
            yield executor
        except (CancelledError, KilledWorker) as error:
            sys.exit(f"The cluster at {address} failed: {error!r}. Restart it, then run this again")
        finally:
            executor.shutdown(wait=False)  # cancels what is left


def import_package() -> None:
    """Do nothing: unlike a task, this tells why a worker cannot import the package."""
