"""What ends each step from outside: {step: {name: exit status and the line that it must give}}."""

import signal
from typing import NamedTuple


class Stop(NamedTuple):
    """An event that ends a step.

    Attributes:
        event: the number of a signal, or "full" or "read-only" for a disk.
        status: exit status.
        line: regular expression of the one line on standard error; empty for no line.
    """

    event: object
    status: int
    line: str


# Where existing tests end a step, too: tests/test_stopping.py (Ctrl-C while Python imports, in each
# step), test_database.py (Ctrl-C, thirty SIGKILLs, a limit on the size of files), test_scripts.py
# (SIGKILL of steps 1 and 3), test_sampling.py (Ctrl-C), test_train.py (ten SIGKILLs).
AGAIN = {"sampling": "To start again", "predict": "To start again"}
STEPS = ("database", "sampling", "preprocessing", "train", "predict")
STOPS = {
    step: {
        "Ctrl-C": Stop(
            signal.SIGINT, 130, rf"Stopped\. {AGAIN.get(step, 'To .*')}, run: python {step}\.py"
        ),
        "SIGTERM": Stop(signal.SIGTERM, -signal.SIGTERM, ""),
        "SIGKILL": Stop(getattr(signal, "SIGKILL", 9), -9, ""),
        "full disk": Stop(
            "full",
            1,
            rf"Stopped: .*No space left on device.* Free some space, then run: python {step}\.py",
        ),
        "read-only folder": Stop(
            "read-only",
            1,
            rf"Stopped: .*Read-only file system.* Fix this, then run: python {step}\.py",
        ),
    }
    for step in STEPS
}
