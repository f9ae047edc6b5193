"""Import TensorFlow without the notes that its C++ libraries write while they are loaded.

They go to file descriptor 2 before any log level applies, once for each library. A filter in a
process of its own passes everything else on, also if the import crashes this process.
"""

import os
import re
import subprocess
import sys
from contextlib import contextmanager, suppress

# Lines about what the CPU supports and that there is no GPU; all others are shown.
NOTES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|I\d{4} [\d:.]+ +\d+ (port|cudart_stub|cpu_feature_guard|reader|loader)\.cc:\d+\] "
    rb"|W\d{4} [\d:.]+ +\d+ tf_tfl_flatbuffer_helpers\.cc:\d+\] Ignored "
    rb"|To enable the following instructions: .*rebuild TensorFlow"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate for CPU\."
)


@contextmanager
def hiding_notes():
    """Hide the lines of NOTES that are written to file descriptor 2 during the block.

    With TF_CPP_MIN_LOG_LEVEL below 3 nothing is hidden.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    try:
        command = [sys.executable, "-I", "-S", __file__]
        error = os.dup(2)
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=error)
        os.dup2(reader.stdin.fileno(), 2)
    except (OSError, ValueError):  # no file descriptor 2, or no room for a process
        yield
        return
    reader.stdin.close()
    try:
        yield
    finally:
        with suppress(AttributeError, OSError, ValueError):  # sys.stderr may be another object
            sys.stderr.flush()
        os.dup2(error, 2)  # closes the pipe, on which the filter ends
        os.close(error)
        reader.wait()


def filter_notes(source, target):
    """Copy lines of a binary file, unless NOTES matches them, until its end."""
    for line in iter(source.readline, b""):
        if not NOTES.match(line):
            target.write(line)
            target.flush()


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the importing process
    filter_notes(sys.stdin.buffer, sys.stdout.buffer)
