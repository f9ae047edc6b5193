"""Stop a step with one line that says what happened and which command to run next."""

import errno
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from postergenres.settings import RULES, SettingError


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
    try:
        yield
    except KeyboardInterrupt:
        print(f"Stopped. {after}, run: {command}", file=sys.stderr)
        sys.exit(130)
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
    """Call `main()` as the shell does: a bad setting is one line and exit status 2."""
    try:
        main(*arguments)
    except SettingError as error:
        constant, script = error.name.upper(), f"{error.step}.py"
        print(f"{error}. Edit {constant} in {script}, then run: python {script}", file=sys.stderr)
        sys.exit(2)
