"""Tasks on a Dask cluster, by joblib's backend for it: for steps that outgrow one machine.

The scripts run on one machine, which does the rest; the workers of the cluster see the data folder
under the same path, and import this project's modules. Dask is imported only where it is used.
"""

import logging
import multiprocessing
import sys
import warnings
from collections import deque
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from postergenres.dataset.decoding import DECODER

CONNECT_TIMEOUT = 20  # s for the scheduler to answer, and for a first worker to be there
TASK_TIMEOUT = 600  # s to wait for a task, which takes less than one; of a task that Dask has given
# up, because it killed three workers or could not be unpacked by one, joblib never hears


class UnfitWorkerError(Exception):
    """A worker would give other results."""


def check_address(address):
    if address is not None and (not isinstance(address, str) or not address):
        raise ValueError(f"cluster must be None or the address of a scheduler, got {address!r}")


def run_on_cluster(function, tasks, address, folder):
    """Yield the results in the order of the tasks, of which few at a time are in memory.

    Exits with one line where the cluster is not there, not fit, or does not answer any more.

    Args:
        function: of a module of ours, which the workers import.
        tasks: tuples of its arguments.
        address: of the scheduler: "tcp://192.168.0.1:8786".
        folder: which each worker must see.
    """
    with connecting(address) as client:
        check_machines(client, function, address, folder)
        # joblib goes on as fast as tasks are done, however slowly their results are taken. So it
        # is given few at a time, and the next few before the last ones are done.
        tasks, running = iter(tasks), deque()
        try:
            while True:
                few = list(islice(tasks, 2 * count_cores(client)))
                if few:
                    running.append(start(client, function, few, folder))
                elif not running:
                    return
                if len(running) > 1 or not few:
                    yield from list(running.popleft())
        except UnfitWorkerError as error:
            sys.exit(f"A worker {error}")
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib's regret about results not taken
                for results in running:
                    results.close()


def start(client, function, tasks, folder):
    """An iterator over the results of tasks; of a cluster of one core joblib makes no use."""
    import joblib

    calls = [joblib.delayed(run_checked)(function, DECODER, folder, task) for task in tasks]
    with joblib.parallel_config("dask", client=client, wait_for_workers_timeout=CONNECT_TIMEOUT):
        return joblib.Parallel(
            return_as="generator", pre_dispatch="all", batch_size=1, timeout=TASK_TIMEOUT
        )(calls)


def count_cores(client):
    """How many tasks the cluster runs at a time; machines come and go."""
    return max(1, sum(client.ncores().values()))


@contextmanager
def connecting(address):
    """A client of the scheduler. Exits with a line where there is none, or it falls silent."""
    try:
        import joblib  # noqa: F401
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError:
        sys.exit(
            "For CLUSTER Dask is needed. Run: python -m pip install -r requirements-cluster.txt"
        )
    for name in ("distributed", "distributed.client"):  # a lost connection is a page of tracebacks
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        resolve_address(address)  # of one that means nothing Client() would leave its threads
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError):
        sys.exit(
            f"No Dask scheduler answers at {address}. In the folder of these scripts run there: "
            "python -m dask scheduler; or edit CLUSTER"
        )
    with client:
        try:
            yield client
        except timeouts():
            sys.exit(
                f"The workers of {address} do not answer. See what they print, start them anew, "
                "and run this step again"
            )
        except Exception:  # what is raised then depends on what it was doing
            if client.status == "running":
                raise
            sys.exit(f"The scheduler at {address} has gone. Start it anew, and run this step again")


def timeouts():
    """The exceptions that say so; from Python 3.11 on the last two are one."""
    import asyncio  # here, because each process of a pool imports this module

    return multiprocessing.TimeoutError, asyncio.TimeoutError, TimeoutError


# --- the machines ---------------------------------------------------------------------------------


def check_machines(client, function, address, folder):
    """Exit with a line where there is no worker, or a machine that would not do what this does."""
    commands = f"python -m dask scheduler; python -m dask worker {address}"
    what = (function, DECODER, folder)
    where = f"In the folder of these scripts, on each machine, run: {commands}"
    try:
        client.run_on_scheduler(find_fault, *what)  # it unpacks the tasks, too
    except Exception as error:
        sys.exit(f"The scheduler at {address} cannot use these scripts: {error}. {where}")
    try:
        client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
    except timeouts():
        sys.exit(f"The scheduler at {address} has no worker. {where}")
    for worker, fault in client.run(find_fault, *what, on_error="return").items():
        if isinstance(fault, Exception):
            sys.exit(f"The worker {worker} cannot use these scripts: {fault}. {where}")
        if fault:
            sys.exit(f"The worker {worker} {fault}")


def find_fault(function, decoder, folder):
    """Why this process would give other results than the main one; empty where it would not.

    Args:
        function: of the tasks; a process that cannot import it does not get as far as this.
    """
    if decoder != DECODER:
        return f"decodes with {DECODER}, not with {decoder}. Install requirements.txt there"
    if not Path(folder).is_dir():
        return f"does not see {folder}. Share the folder under this path"
    return ""


def run_checked(function, decoder, folder, task):
    """Run a task; also in a worker that came after the others were checked."""
    if fault := find_fault(function, decoder, folder):
        raise UnfitWorkerError(fault)
    return function(*task)
