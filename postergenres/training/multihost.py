"""Training on several hosts: each process feeds its part of every batch, rank 0 writes the model.

Keras 3 cannot `fit` on several hosts with TensorFlow (keras issue 20585), but with JAX it can. Each
host has the store and the same train.py, and starts a process with its rank:

    python -m pip install -r requirements/hosts.txt
    KERAS_BACKEND=jax PROCESS_ID=0 python train.py
"""

import io
import json
import os
import re
import sys
import tarfile
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from postergenres.training.supervisor import enter_child, supervise

import keras
import numpy as np

JOIN_SECONDS = 300  # until all processes must have started
SILENT_SECONDS = 60  # without a heartbeat, after which a process counts as lost
WRITE_SECONDS = 3600  # for rank 0 to score and write the model while the others wait
LOST = (
    "Another process of HOSTS has ended or cannot be reached. To resume after the last epoch, "
    "start all processes again: python train.py"
)
REMEDIES = {  # what to do if processes have another store, teacher or versions; else see below
    "store": "Copy DATA_DIR/store from one host to the others",
    "teacher": "Copy DATA_DIR/distillation from one host to the others",
    "versions": "Install the same requirements on all hosts",
}
LOST_STATUSES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")  # of JAX's exceptions


@dataclass(frozen=True)
class Process:
    """A process of a training; all processes call the same methods in the same order.

    Attributes:
        index: the rank; rank 0 writes the model.
        count: the number of processes, 1 if HOSTS is not set.
        folder: a folder of its own, empty at first and deleted at the end; None for rank 0.
    """

    index: int = 0
    count: int = 1
    folder: str | None = None

    def agree(self, facts):
        """Check that all processes have the same facts.

        Args:
            facts: {name: a value that JSON can hold}.

        Raises:
            SystemExit: in every process, if any facts differ.
        """
        if self.count == 1:
            return
        from jax.experimental.multihost_utils import process_allgather

        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        longest = process_allgather(np.array(len(text))).max()
        texts = process_allgather(np.pad(text, (0, longest - len(text))))
        gathered = [json.loads(row.tobytes().rstrip(b"\0")) for row in texts]
        if names := find_differences(gathered):
            sys.exit(explain_differences(names))

    def share(self, arrays):
        """Return the arrays of rank 0.

        Args:
            arrays: a list; each process has arrays of the same shapes.
        """
        if self.count == 1:
            return arrays
        from jax.experimental.multihost_utils import broadcast_one_to_all

        return broadcast_one_to_all(arrays)

    def share_folder(self, folder):
        """Copy the checkpoints in a folder of rank 0 to the folder of every other process."""
        if self.count == 1:
            return
        content = pack_checkpoints(folder) if self.index == 0 else b""
        size = int(self.share([np.array(len(content))])[0])
        buffer = np.zeros(size, np.uint8)
        if self.index == 0:
            buffer[:] = np.frombuffer(content, np.uint8)
        buffer = self.share([buffer])[0]
        if self.index:
            with tarfile.open(fileobj=io.BytesIO(buffer.tobytes())) as archive:
                archive.extractall(folder, filter="data")


def explain_differences(names):
    """Return one line that says what the processes do not share, and what to do.

    Args:
        names: of the facts that differ, see `find_differences`.
    """
    advice = dict.fromkeys(
        REMEDIES.get(name, "Use the same train.py on all hosts") for name in names
    )
    return (
        f"The processes of HOSTS do not have the same {', '.join(names)}. {'. '.join(advice)}. "
        "Then run on each host: python train.py"
    )


def find_differences(facts_of_processes):
    """Return the sorted names of the facts that are not equal in all of a list of {name: fact}."""
    first = facts_of_processes[0]
    return sorted(
        {
            name
            for facts in facts_of_processes
            for name in facts.keys() | first.keys()
            if facts.get(name) != first.get(name)
        }
    )


def pack_checkpoints(folder):
    """Return the complete checkpoints of all stages in a folder as the bytes of a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(Path(folder).glob("*/epoch-*")):
            archive.add(path, path.relative_to(folder))
    return buffer.getvalue()


# --- start and end --------------------------------------------------------------------------------


@contextmanager
def joining(hosts):
    """Join the processes of HOSTS and yield the `Process`; if one process ends, all end.

    If HOSTS is set, the block runs in a child process only. The parent waits for the child and ends
    with its exit status.

    Args:
        hosts: an address for each process, the first with a port; None to train alone.

    Raises:
        SystemExit: if the backend is not JAX or the rank is missing; in the parent, at the end.
    """
    if hosts is None:
        yield Process()
        return
    index = find_index(hosts)
    folder = enter_child()
    if folder is None:
        sys.exit(supervise(LOST))
    process = Process(index, len(hosts), folder if index else None)
    try:
        connect(process, hosts)
        yield process
        disconnect()
    except SystemExit as end:
        is_line = isinstance(end.code, str)
        exit_now(end.code if is_line else "", 1 if is_line else end.code or 0)
    except KeyboardInterrupt:
        exit_now("Stopped. To resume, run: python train.py", 130)
    except BaseException as error:
        is_lost = is_lost_peer(error)
        exit_now(f"{LOST} ({first_line(error)})" if is_lost else traceback.format_exc())


def find_index(hosts):
    """Return the rank of this process, from the environment variable PROCESS_ID.

    Raises:
        SystemExit: if the backend is not JAX, or PROCESS_ID is not a rank.
    """
    index, last = os.environ.get("PROCESS_ID", ""), len(hosts) - 1
    if keras.backend.backend() != "jax" or not index.isdecimal() or int(index) > last:
        sys.exit(
            "HOSTS needs JAX (requirements/hosts.txt) and a PROCESS_ID for each process, from 0 to "
            f"{last}. Run: KERAS_BACKEND=jax PROCESS_ID=0 python train.py"
        )
    return int(index)


def connect(process, hosts):
    """Connect to rank 0; in rank 0, wait for the other processes."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # for hosts without a GPU
    jax.config.update("jax_enable_preemption_service", False)  # it makes SIGTERM have no effect
    if process.index == 0:
        print(f"waiting for the other processes of HOSTS, {JOIN_SECONDS} s at most", flush=True)
    try:
        jax.distributed.initialize(
            hosts[0],
            process.count,
            process.index,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=WRITE_SECONDS,
        )
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        sys.exit(
            f"Not all processes of {', '.join(hosts)} have started within {JOIN_SECONDS} s "
            f"({first_line(error)}). Start all processes again: python train.py"
        )


def disconnect():
    """Wait until all processes have finished, and disconnect."""
    import jax

    jax.distributed.shutdown()


def is_lost_peer(error):
    """Return whether an exception means that another process is lost.

    JAX's messages start with a status. Failed collectives have the status UNKNOWN or INTERNAL,
    which also occur for other reasons, and some are raised as a ValueError.
    """
    is_jax_error = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    status, _, message = str(error).partition(": ")
    if status in ("UNKNOWN", "INTERNAL") and (is_jax_error or isinstance(error, ValueError)):
        return re.search("gloo|coordination service|remote process", message, re.I) is not None
    return is_jax_error and status in LOST_STATUSES


def exit_now(line, code=1):
    """End this process without JAX's exit handler, which would wait for the other processes."""
    sys.stdout.flush()
    os.write(2, f"{line}\n".encode() if line else b"")
    os._exit(code)


def first_line(error):
    """Return the first line of an exception's message, or its type if there is no message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def following(process):
    """Yield the process's own folder, with the checkpoints of rank 0; print nothing meanwhile."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        process.share_folder(Path(process.folder) / "model" / "unfinished")
        yield process.folder
