"""What every step shares: its lock, one line for whatever ends it, and the next command."""

import errno
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

NEXT = {
    "database": "python sampling.py",
    "sampling": "python preprocessing.py",
    "preprocessing": "python train.py",
    "train": "python predict.py",
    "predict": "python predict.py POSTER.jpg",
}
COMMAND = re.compile(rf"python ({'|'.join(NEXT)})\.py\b")


@contextmanager
def step(name: str, data_dir: Path, rank: int = 0) -> Iterator[None]:
    """Run a step in the block, alone on its data folder, and print the next command at its end.

    Args:
        name: the script's, without `.py`.
        data_dir: the data folder, which is made if it is missing.
        rank: of this process, if several hosts do a step together on one folder.

    Raises:
        SystemExit: a line, for an error of the file system, a killed worker process, or another
            run of this step on this folder; and the lines of the block, whose commands get the
            data folder. Ctrl-C ends the process of the script with status 130.
    """
    command = add_data_dir(f"python {name}.py", data_dir)
    with suppress(AttributeError):  # a notebook has another stdout
        sys.stdout.reconfigure(errors="replace")  # pyright: ignore  # odd characters
    end_at_ctrl_c(name, command)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f".{name}{rank or ''}.lock", blocking=False):
            yield
    except Timeout:
        sys.exit(
            f"Another {name}.py is at work on {data_dir}. Wait until it ends, then run: {command}"
        )
    except SystemExit as end:  # the rooms name commands without the folder
        if isinstance(end.code, str):
            end.code = add_data_dir(end.code, data_dir)
        raise
    except BrokenProcessPool:
        sys.exit(
            "Stopped: a worker process was killed, perhaps because memory ran out. "
            f"Free some memory or lower WORKERS, then run: {command}"
        )
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "Free some space" if is_full else "Fix this"
        sys.exit(f"Stopped: {error}. {advice}, then run: {command}")
    print(add_data_dir(f"next: {NEXT[name]}", data_dir))


def add_data_dir(text: str, data_dir: Path) -> str:
    """Return a text whose commands of the steps, such as `python train.py`, name the data folder.

    Commands on the default folder stay as they are.
    """
    if data_dir == Path("data"):
        return text
    return COMMAND.sub(lambda found: f"{found[0]} --data-dir {shlex.quote(str(data_dir))}", text)


def end_at_ctrl_c(name: str, command: str) -> None:
    """Let Ctrl-C end the script at once with one line; another program that runs it is left alone.

    A step may be killed at any moment, so there is nothing to clean up, and no thread, callback or
    C code to wait for. Processes of a pool end with their parent.
    """

    def end(*_: object) -> None:
        with suppress(RuntimeError, OSError, ValueError):  # Ctrl-C in a flush, or a closed pipe
            sys.stdout.flush()
        os.write(2, f"\nStopped. To go on, run: {command}\n".encode())
        os._exit(130)

    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "").stem
    is_main_thread = threading.current_thread() is threading.main_thread()
    if script == name and is_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)
