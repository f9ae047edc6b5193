"""Run tasks on a Dask cluster, for steps that outgrow one machine.

The scripts run on one machine; only the tasks run on the cluster. The workers must see the data
folder under the same path and be able to import this package. joblib's Dask backend distributes the
tasks. Dask is imported only if it is used.
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
from postergenres.stopping import insisting_on_ctrl_c

CONNECT_TIMEOUT = 20  # seconds to wait for the scheduler, and then for a first worker
# Seconds to wait for a task, which takes less than one. Dask gives up on a task that killed three
# workers or that a worker cannot unpack, but joblib is not notified.
TASK_TIMEOUT = 600


class WorkerProblemError(Exception):
    """A worker would give different results from this machine."""


def run_on_cluster(function, tasks, address, folder):
    """Yield the results in the order of the tasks, with few tasks in memory at a time.

    Args:
        function: a function of a module of the package, which the workers import.
        tasks: iterable of tuples of its arguments.
        address: the scheduler's: "tcp://192.168.0.1:8786".
        folder: a folder that each worker must see.

    Raises:
        SystemExit: the cluster is missing, not suitable, or no longer responds.
    """
    with insisting_on_ctrl_c(), connecting(address) as client:
        check_cluster(client, function, address, folder)
        # joblib computes results as fast as it can, however slowly they are consumed. It gets a
        # small batch at a time, and the next batch before the last one is done.
        tasks, batches = iter(tasks), deque()
        try:
            while True:
                batch = list(islice(tasks, 2 * count_cores(client)))
                if batch:
                    batches.append(start_batch(client, function, batch, folder))
                elif not batches:
                    return
                if len(batches) > 1 or not batch:
                    yield from list(batches.popleft())
        except WorkerProblemError as problem:
            sys.exit(f"A worker {problem}")
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib warns about results that are not consumed
                for results in batches:
                    results.close()


def start_batch(client, function, tasks, folder):
    """Start tasks; return an iterator over their results."""
    import joblib

    calls = [joblib.delayed(run_checked)(function, DECODER, folder, task) for task in tasks]
    with joblib.parallel_config("dask", client=client, wait_for_workers_timeout=CONNECT_TIMEOUT):
        return joblib.Parallel(
            return_as="generator", pre_dispatch="all", batch_size=1, timeout=TASK_TIMEOUT
        )(calls)


def count_cores(client):
    """Return how many tasks the cluster runs at a time; this changes as workers come and go."""
    return max(1, sum(client.ncores().values()))


@contextmanager
def connecting(address):
    """Yield a client of the scheduler.

    Raises:
        SystemExit: Dask is not installed, or the scheduler or the workers do not respond.
    """
    try:
        import joblib  # noqa: F401
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError:
        sys.exit("CLUSTER needs Dask. Run: python -m pip install -r requirements/cluster.txt")
    # They log a lost connection, and what Ctrl-C leaves unfinished, in tracebacks.
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        resolve_address(address)  # Client() would leave threads behind after an invalid address
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError):
        sys.exit(
            f"No Dask scheduler answers at {address}. Edit CLUSTER, or start one in the folder of "
            "these scripts: python -m dask scheduler"
        )
    with client:
        try:
            yield client
        except timeout_errors():
            sys.exit(
                f"The workers of {address} do not answer. Read their logs, restart them, then run "
                "this step again"
            )
        except Exception:  # the type after a lost connection depends on what the client was doing
            if client.status == "running":
                raise
            sys.exit(
                f"The scheduler at {address} no longer answers. Restart it, then run this step "
                "again"
            )


def timeout_errors():
    """Return the exceptions that a timeout may raise; since Python 3.11 the last two are one."""
    import asyncio  # here, because importing it takes time and most runs have no cluster

    return multiprocessing.TimeoutError, asyncio.TimeoutError, TimeoutError


# --- the machines ---------------------------------------------------------------------------------


def check_cluster(client, function, address, folder):
    """Check that the cluster gives the results that this machine would give.

    Raises:
        SystemExit: there is no worker, or a machine cannot run the tasks or would give other
            results.
    """
    commands = f"python -m dask scheduler; python -m dask worker {address}"
    requirements = (function, DECODER, folder)
    advice = f"In the folder of these scripts, on each machine, run: {commands}"
    try:
        client.run_on_scheduler(find_worker_problem, *requirements)  # it unpacks the tasks, too
    except Exception as error:
        sys.exit(f"The scheduler at {address} cannot use these scripts: {error}. {advice}")
    try:
        client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
    except timeout_errors():
        sys.exit(f"The scheduler at {address} has no worker. {advice}")
    problems = client.run(find_worker_problem, *requirements, on_error="return")
    for worker, problem in problems.items():
        if isinstance(problem, Exception):
            sys.exit(f"The worker {worker} cannot use these scripts: {problem}. {advice}")
        if problem:
            sys.exit(f"The worker {worker} {problem}")


def find_worker_problem(function, decoder, folder):
    """Return why this process would give other results than the main one; empty if it would not.

    Args:
        function: the function of the tasks. A process that cannot import the function fails
            before it gets here.
        decoder: `DECODER` of the main process.
        folder: a folder that this process must see.
    """
    if decoder != DECODER:
        return f"decodes with {DECODER}, not with {decoder}. Install requirements.txt there"
    if not Path(folder).is_dir():
        return f"does not see {folder}. Share the folder under this path"
    return ""


def run_checked(function, decoder, folder, task):
    """Run a task if this worker has no problem: it may have joined after `check_cluster`."""
    if problem := find_worker_problem(function, decoder, folder):
        raise WorkerProblemError(problem)
    return function(*task)
