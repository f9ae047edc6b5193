"""Write files completely or not at all; compute checksums; lock a folder."""

import errno
import glob
import hashlib
import json
import os
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a path beside `path`, and rename it to `path` if the block ends without an error.

    Args:
        path: the file to write or replace. It stays as it was if the block raises.

    Yields:
        The path to write to; it keeps the suffix of `path`, and each process has its own.
    """
    part = Path(path).with_suffix(f".{os.getpid()}.part{Path(path).suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def discard_leftovers(paths):
    """Delete what killed runs of `replacing` left beside paths; call it under a lock."""
    for path in map(Path, paths):
        stem, suffix = glob.escape(path.stem), glob.escape(path.suffix)
        for pattern in (f"{stem}.part{suffix}", f"{stem}.*.part{suffix}"):
            for leftover in path.parent.glob(pattern):
                leftover.unlink(missing_ok=True)


def write_csv(table, path):
    """Write a DataFrame as a CSV file, completely or not at all."""
    with replacing(path) as part:
        part.write_bytes(csv_bytes(table))


def csv_bytes(table):
    """Return a DataFrame as the bytes of a CSV file: UTF-8, without the index."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def file_sha256(path):
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_json(path):
    """Return the content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json(content, path):
    """Write an object as indented JSON, completely or not at all.

    Args:
        content: what `json` supports, and NumPy scalars.
        path: the file to write or replace.
    """
    with replacing(path) as part:
        # NumPy scalars have item(), which returns the Python number.
        text = json.dumps(content, indent=2, ensure_ascii=False, default=lambda x: x.item())
        part.write_text(text + "\n", encoding="utf-8")


CONTENT_SHA256 = "content_sha256"  # the name of the checksum in a JSON file


def add_checksum(content):
    """Return a dict for a JSON file with the SHA-256 of its other content, in order.

    Args:
        content: what `write_json` supports; a checksum that is in it is replaced.
    """
    content = without_checksum(content)
    return content | {CONTENT_SHA256: content_sha256(content)}


def has_checksum(content):
    """Return whether the content of a JSON file matches its checksum; None if it has none."""
    if CONTENT_SHA256 not in content:
        return None
    return content[CONTENT_SHA256] == content_sha256(without_checksum(content))


def without_checksum(content, *names):
    """Return a dict without its checksum and the other `names`."""
    return {name: x for name, x in content.items() if name not in (CONTENT_SHA256, *names)}


def content_sha256(content):
    """Return the SHA-256 of an object as JSON, whatever the indentation of its file."""
    text = json.dumps(content, ensure_ascii=False, default=lambda x: x.item())
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def check_room(folder, size):
    """Check that a disk has room before a large file is written.

    Args:
        folder: where to write; it or a folder above it exists.
        size: bytes that will be written.

    Raises:
        OSError: with errno ENOSPC; `stopping_cleanly` turns it into one line.
    """
    existing = next(
        path for path in [Path(folder), *Path(folder).absolute().parents] if path.exists()
    )
    free = shutil.disk_usage(existing).free
    if free < size:
        needed = f"{size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        raise OSError(errno.ENOSPC, f"No space left on device, {needed}", str(folder))


@contextmanager
def lock_file(path, refusal):
    """Hold a lock during the block; the operating system releases the lock of a killed process.

    Args:
        path: the lock file, which exists as long as the lock is held.
        refusal: the line to exit with if another process holds the lock.

    Raises:
        SystemExit: another process holds the lock.
    """
    from filelock import FileLock, Timeout  # here: the worker processes of step 3 do not need it

    try:
        with FileLock(path, blocking=False):
            try:
                yield
            finally:
                with suppress(OSError):  # Windows cannot delete a file that is open
                    path.unlink()
    except Timeout:
        sys.exit(refusal)
