"""Run a command again in a child process and report how the child ended.

JAX calls abort() if it notices first that another process of a training is lost. No exception is
raised and no Python code runs in the aborted process, so the message must come from a parent.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading

CHILD_FOLDER = "POSTERGENRES_CHILD_FOLDER"  # set in the environment of the child only
STOP_SECONDS = 5  # between the signal that asks the child to stop and the kill


class Stopped(Exception):
    """SIGINT or SIGTERM arrived; `args` holds its number."""


def supervise(abort_message):
    """Run the command of this process again as a child process, and wait for its end.

    The child finds a folder in the environment variable `CHILD_FOLDER`, empty at first and deleted
    at the end. It must call `enter_child`.

    Args:
        abort_message: the line to print if the child calls abort().

    Returns:
        The exit status for this process: the child's; 1 after a crash of the child; 130 or 143 if
        this process receives SIGINT or SIGTERM, which it passes on to the child.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup and scripts ignore SIGINT
            signal.signal(number, raise_stopped)
    with tempfile.TemporaryDirectory(prefix="train-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | {CHILD_FOLDER: folder},
            stdin=subprocess.PIPE,  # ends with this process: see `enter_child`
            start_new_session=True,  # so that the child receives Ctrl-C once, from here
        )
        try:
            status = child.wait()
        except Stopped as stopped:
            return stop_child(child, *stopped.args)
    if 0 <= status < 256:
        return status
    print(abort_message if is_abort(status) else crash_message(status), file=sys.stderr)
    return 1


def raise_stopped(number, frame):
    """Handle the first signal that stops this process, and ignore the following ones."""
    for following in (signal.SIGINT, signal.SIGTERM):
        signal.signal(following, signal.SIG_IGN)
    raise Stopped(number)


def stop_child(child, number):
    """Pass a signal on to the child, kill it if it does not end, and return the exit status."""
    if os.name == "posix":  # on Windows the console sends Ctrl-C to both processes
        child.send_signal(number)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        if number == signal.SIGINT:
            print("Stopped. To resume, run: python train.py", file=sys.stderr)
    return 128 + number


def is_abort(status):
    """Return whether a process has called abort(); on Windows any crash may be an abort()."""
    return os.name != "posix" or status == -signal.SIGABRT


def crash_message(status):
    """Return the line for a child that a signal other than SIGABRT has ended."""
    return (
        f"The training process was ended by signal {-status}. To resume after the last epoch, "
        "start all processes of HOSTS again: python train.py"
    )


def enter_child():
    """Return the folder of this child process, or None if `supervise` has not started it.

    From here on the child ends as soon as its parent ends, so that it does not keep a port.
    """
    folder = os.environ.pop(CHILD_FOLDER, None)
    if folder is not None:
        threading.Thread(target=end_with_parent, daemon=True).start()
    return folder


def end_with_parent():
    """Wait until the pipe to the parent is closed, and end this process."""
    while os.read(0, 1024):
        pass
    os._exit(1)
