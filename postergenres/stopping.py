"""Stop a step with one line that says what happened and which command goes on from there.

A script imports this module first: then Ctrl-C is one line also while the script imports the rest.
"""

import errno
import os
import signal
import sys
import threading
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

from postergenres.settings import RULES, SettingError

STATUS = 130  # after Ctrl-C, as shells have it


def end_at_ctrl_c():
    """End a script at Ctrl-C with one line, without a traceback, until its `main()` begins.

    Other programs that import the package are left alone, and so is a SIGINT that is ignored.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if name_script() in RULES and is_main_thread and is_default:
        signal.signal(signal.SIGINT, end_now)


def name_script():
    """Return the name of the script that runs, without its suffix; "" in a notebook."""
    return Path(getattr(sys.modules["__main__"], "__file__", None) or "").stem


def end_now(*_):
    """Write the line and end this process, without the exit handlers of half-imported modules."""
    with suppress(RuntimeError, OSError):  # Ctrl-C during a flush, or a closed pipe
        sys.stdout.flush()
    os.write(2, f"Stopped. To start again, run: python {name_script()}.py\n".encode())
    os._exit(STATUS)


@contextmanager
def stopping_cleanly(step, after="To resume"):
    """Turn Ctrl-C, errors of the file system and a killed worker into one line and an exit status.

    Args:
        step: the step that runs in this block: "train".
        after: what the command in the line for Ctrl-C does.

    Raises:
        SystemExit: 130 after Ctrl-C, else a line and 1.
    """
    command = f"python {step}.py"
    try:
        yield
    except KeyboardInterrupt:
        print(f"Stopped. {after}, run: {command}", file=sys.stderr)
        sys.exit(STATUS)
    except BrokenProcessPool:
        advice = f"Lower WORKERS in {step}.py" if "workers" in RULES[step] else "Free some memory"
        sys.exit(
            "Stopped: a worker process was killed, perhaps because memory ran out. "
            f"{advice}, then run: {command}"
        )
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "Free some space" if is_full else "Fix this"
        sys.exit(f"Stopped: {error}. {advice}, then run: {command}")


def run_from_shell(main, *arguments):
    """Call `main()` as the shell does: a bad setting is one line and exit status 2.

    In `main()`, Ctrl-C raises KeyboardInterrupt, for `stopping_cleanly`.
    """
    if signal.getsignal(signal.SIGINT) is end_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main(*arguments)
    except KeyboardInterrupt:  # before or after the block of stopping_cleanly
        if name_script() not in RULES:
            raise
        end_now()
    except SystemExit as end:
        if end.code == STATUS and name_script() in RULES:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(STATUS)  # TensorFlow needs up to two seconds to end
        raise
    except SettingError as error:
        constant, script = error.name.upper(), f"{error.step}.py"
        print(f"{error}. Edit {constant} in {script}, then run: python {script}", file=sys.stderr)
        sys.exit(2)


end_at_ctrl_c()
