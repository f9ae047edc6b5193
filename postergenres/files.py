"""Files that are whole or absent: written aside, renamed at the end; checksums, and locks."""

import hashlib
import json
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a path beside `path`; rename it to `path` once the block has ended without an error."""
    part = Path(path).with_suffix(f".part{Path(path).suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_csv(table, path):
    """Write a DataFrame as CSV, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(csv_bytes(table))


def csv_bytes(table):
    """A DataFrame as the bytes of a CSV file."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def file_sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json(content, path):
    """Write an object as readable JSON, whole or not at all."""
    with replacing(path) as part:
        # NumPy's numbers have the item() that JSON can hold.
        text = json.dumps(content, indent=2, ensure_ascii=False, default=lambda x: x.item())
        part.write_text(text + "\n", encoding="utf-8")


@contextmanager
def lock_file(path, busy):
    """Keep a second run out, with the line `busy`; the system lifts the lock of a killed run."""
    from filelock import FileLock, Timeout  # here, because the processes of step 3 do without

    try:
        with FileLock(path, blocking=False):
            try:
                yield
            finally:
                with suppress(OSError):  # Windows keeps a file that is open
                    path.unlink()
    except Timeout:
        sys.exit(busy)
