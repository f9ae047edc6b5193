"""Training over several hosts: each process feeds its part of every batch, the first one writes.

Keras 3 cannot `fit` over several hosts on TensorFlow (keras issue 20585), but on JAX it can. Every
host has the data and the same train.py, and each process is started with its number:

    pip install -r requirements-hosts.txt
    KERAS_BACKEND=jax PROCESS_ID=0 python train.py
"""

import ctypes
import io
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import tempfile
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

JOIN_SECONDS = 300  # for all processes to be started
SILENT_SECONDS = 60  # after which a process that says nothing has ended
WRITE_SECONDS = 3600  # at the end, for the first process to score and write the model
LOST = (
    "Another process of HOSTS has ended or cannot be reached. To go on after the last epoch, start "
    "all again: python train.py"
)


@dataclass(frozen=True)
class Process:
    """One of the processes that train together, of which each calls the same methods in turn.

    Attributes:
        index: 0 for the one that writes.
        count: of the processes; 1 where a training is on one host.
        folder: of its own, empty, and gone at the end; None for the one that writes.
    """

    index: int = 0
    count: int = 1
    folder: str | None = None

    def agree(self, facts):
        """End all processes with one line, but where each has the same facts.

        Args:
            facts: {name: what JSON has}.
        """
        if self.count == 1:
            return
        from jax.experimental.multihost_utils import process_allgather

        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        longest = process_allgather(np.array(len(text))).max()
        texts = process_allgather(np.pad(text, (0, longest - len(text))))
        told = [json.loads(row.tobytes().rstrip(b"\0")) for row in texts]
        if names := find_differences(told):
            sys.exit(f"The processes of HOSTS do not have the same {', '.join(names)}.")

    def share(self, arrays):
        """The arrays of the first process, a list; those of the others have the same shapes."""
        if self.count == 1:
            return arrays
        from jax.experimental.multihost_utils import broadcast_one_to_all

        return broadcast_one_to_all(arrays)

    def share_folder(self, folder):
        """Copy what is in a folder of the first process to that of each other."""
        if self.count == 1:
            return
        content = pack(folder) if self.index == 0 else b""
        size = int(self.share([np.array(len(content))])[0])
        buffer = np.zeros(size, np.uint8)
        if self.index == 0:
            buffer[:] = np.frombuffer(content, np.uint8)
        buffer = self.share([buffer])[0]
        if self.index:
            with tarfile.open(fileobj=io.BytesIO(buffer.tobytes())) as archive:
                archive.extractall(folder, filter="data")

    def discard_folder(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def find_differences(told):
    """The names of the facts that are not the same in all of a list of {name: fact}, sorted."""
    return sorted(
        {
            name
            for facts in told
            for name in facts.keys() | told[0].keys()
            if facts.get(name) != told[0].get(name)
        }
    )


def pack(folder):
    """The sealed checkpoints below a folder as the bytes of a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(Path(folder).glob("*/epoch-*")):
            archive.add(path, path.relative_to(folder))
    return buffer.getvalue()


# --- joining and ending ---------------------------------------------------------------------------


@contextmanager
def joining(hosts):
    """Join the processes of HOSTS, and yield the `Process`; whatever ends one of them ends all.

    Args:
        hosts: addresses, one for each process, the first with a port; None: there is but this one.

    Raises:
        ValueError: these are no such addresses.
        SystemExit: the backend is not JAX, or the number of this process is missing.
    """
    if hosts is None:
        yield Process()
        return
    index = find_index(hosts)
    folder = tempfile.mkdtemp(prefix="train-") if index else None
    process = Process(index, len(hosts), folder)
    with catching_abort(process):
        connect(process, hosts)
        try:
            yield process
            disconnect()
        except SystemExit as end:
            is_line = isinstance(end.code, str)
            leave(process, end.code if is_line else "", 1 if is_line else end.code or 0)
        except BaseException as error:
            # What JAX raises, as a JaxRuntimeError or a ValueError, starts with a status.
            is_lost = re.match(r"[A-Z_]+: ", str(error))
            leave(process, f"{LOST} ({first_line(error)})" if is_lost else traceback.format_exc())
    process.discard_folder()


def find_index(hosts):
    """The number of this process, which the environment says, once all that is needed is there."""
    is_list = isinstance(hosts, (tuple, list)) and all(isinstance(host, str) for host in hosts)
    if not is_list or not hosts or not re.fullmatch(r".+:\d+", hosts[0]):
        raise ValueError(
            f'hosts must be addresses such as ("10.0.0.1:9999", "10.0.0.2"), got {hosts!r}'
        )
    index, last = os.environ.get("PROCESS_ID", ""), len(hosts) - 1
    if keras.backend.backend() != "jax" or not index.isdecimal() or int(index) > last:
        sys.exit(
            f"HOSTS needs JAX (requirements-hosts.txt) and a number for each process, 0 to {last}."
            " Run: KERAS_BACKEND=jax PROCESS_ID=0 python train.py"
        )
    return int(index)


def connect(process, hosts):
    """Find the first process, or, in that one, wait for the others."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # where there is no GPU
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
        late = f"Not all processes of {', '.join(hosts)} have come together in {JOIN_SECONDS} s"
        leave(process, f"{late} ({first_line(error)}).")


def disconnect():
    """Wait for the others to end, too."""
    import jax

    jax.distributed.shutdown()


@contextmanager
def catching_abort(process):
    """Meanwhile an abort() says in a line that another process is lost.

    JAX ends so, with a stack trace and no exception, where it is the first that notices. Python's
    own handlers come too late: they wait for the function in C to return.
    """
    if os.name == "posix":
        handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: leave(process, LOST))
        library = ctypes.CDLL(None)
        library.signal(signal.SIGABRT, handler)
        yield
        library.signal(signal.SIGABRT, None)  # the default
    else:
        yield


def leave(process, line, code=1):
    """End this process without waiting for the others, which may never come."""
    sys.stdout.flush()
    os.write(2, f"{line}\n".encode() if line else b"")
    process.discard_folder()
    os._exit(code)


def first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def following(process):
    """Yield its own folder to a process that is to write nothing elsewhere, and to print nothing.

    The folder holds the unfinished training of the first process.
    """
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        process.share_folder(Path(process.folder) / "model" / "unfinished")
        yield process.folder
