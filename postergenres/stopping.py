"""Stop a step with one line that says what happened and which command to run next.

A script imports this module first: then Ctrl-C is one line also while the script imports the rest.
"""

import _thread
import atexit
import errno
import os
import signal
import sys
import threading
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

from postergenres.old_settings import RULES, SettingError

STATUS = 130  # after Ctrl-C, as shells have it
GRACE = 1.5  # seconds to clean up after Ctrl-C, in the blocks of `insisting_on_ctrl_c`
line = {"after": "To start again"}  # how the line for Ctrl-C introduces the command


def end_at_ctrl_c():
    """End a script at Ctrl-C with one line, without a traceback, until its `main()` begins.

    Other programs that import the package are left alone, and so is a SIGINT that is ignored.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if name_script() in RULES and is_main_thread and is_default:
        signal.signal(signal.SIGINT, end_now)
        # It is the first exit handler, so it runs last. What follows would end the script with a
        # signal at Ctrl-C, although its step is complete.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def name_script():
    """Return the name of the script that runs, without its suffix; "" in a notebook."""
    return Path(getattr(sys.modules["__main__"], "__file__", None) or "").stem


def end_now(*_):
    """Write the line and end this process, without the exit handlers of half-imported modules."""
    with suppress(RuntimeError, OSError):  # Ctrl-C during a flush, or a closed pipe
        sys.stdout.flush()
    os.write(2, f"{describe_stop(name_script())}\n".encode())
    os._exit(STATUS)


def describe_stop(step):
    """Return the line for Ctrl-C."""
    return f"Stopped. {line['after']}, run: python {step}.py"


@contextmanager
def insisting_on_ctrl_c():
    """End a script at most GRACE seconds after Ctrl-C, and at once after a second Ctrl-C.

    KeyboardInterrupt is raised as usual, but Python drops it in callbacks and destructors, which
    Dask has, and cleaning up may wait for machines that do not answer.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not (name_script() in RULES and is_main_thread and is_default):
        yield
        return

    def interrupt(*_):
        signal.signal(signal.SIGINT, end_now)
        timer = threading.Timer(GRACE, end_now)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stopping_cleanly(step, after="To resume"):
    """Turn Ctrl-C, errors of the file system and a killed worker into one line and an exit status.

    Args:
        step: the step that runs in this block: "train".
        after: how the line for Ctrl-C introduces the command: "To resume" or "To start again".

    Raises:
        SystemExit: 130 after Ctrl-C, else a line and 1.
    """
    command = f"python {step}.py"
    line["after"] = after
    try:
        with unwrapping_ctrl_c():
            yield
    except KeyboardInterrupt:
        print(describe_stop(step), file=sys.stderr)
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


@contextmanager
def unwrapping_ctrl_c():
    """Raise KeyboardInterrupt in place of the SystemError that C code may make of Ctrl-C."""
    try:
        yield
    except SystemError as error:
        reason = error
        while reason is not None:
            if isinstance(reason, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            reason = reason.__cause__ or reason.__context__
        raise


@contextmanager
def repeating_lost_interrupts():
    """Send Ctrl-C again if Python ignores it, because it arrived in a destructor or callback."""
    hook = sys.unraisablehook

    def send_again(unraisable):
        if unraisable.exc_type is KeyboardInterrupt:
            # A moment later: an exception in this hook would be ignored, too.
            threading.Timer(0.01, _thread.interrupt_main).start()
        else:
            hook(unraisable)

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook


def run_from_shell(main, *arguments):
    """Call `main()` as the shell does: a bad setting is one line and exit status 2.

    In `main()`, Ctrl-C raises KeyboardInterrupt, for `stopping_cleanly`.
    """
    if signal.getsignal(signal.SIGINT) is end_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with repeating_lost_interrupts():
            main(*arguments)
        exit_at_ctrl_c(0)
    except KeyboardInterrupt:  # before or after the block of stopping_cleanly
        if name_script() not in RULES:
            raise
        end_now()
    except SystemExit as end:
        if end.code == STATUS and name_script() in RULES:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(STATUS)  # TensorFlow needs up to two seconds to end
        exit_at_ctrl_c(1)
        raise
    except SettingError as error:
        constant, script = error.name.upper(), f"{error.step}.py"
        print(f"{error}. Edit {constant} in {script}, then run: python {script}", file=sys.stderr)
        sys.exit(2)


def exit_at_ctrl_c(status):
    """End a script at Ctrl-C without a line: its step has ended, but Python takes time to."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler and name_script() in RULES:
        with suppress(OSError):
            sys.stdout.flush()
        signal.signal(signal.SIGINT, lambda *_: os._exit(status))


end_at_ctrl_c()
