"""Write a file or a folder completely or not at all, with checksums; check it when it is opened.

A folder of this project has a `checksums.json`: the version of its format, and the size and the
XXH3 of every file. XXH3 finds damage and mixed-up files, not forgery, at the speed of memory.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of all folders; raise it if a reader of today cannot use the folders of before
CHECKSUMS = "checksums.json"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file or folder in an `OSError` of the block that names none: a write names no file."""
    try:
        yield
    except OSError as error:
        if re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # NumPy's, for a full disk
            code = errno.ENOSPC
            raise OSError(code, os.strerror(code), str(path)) from error
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, and rename it to `path` if the block ends without an error.

    The path to write to keeps the suffix of `path`. A killed run leaves the file, and the next one
    replaces it. Only one process may write a file at a time: `step.step` holds the lock.
    """
    part = path.with_suffix(f".part{path.suffix}")
    try:
        with naming(path):
            yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a DataFrame as a CSV file: UTF-8, without the index; completely or not at all."""
    with replacing(path) as part:
        part.write_bytes(table.to_csv(index=False, lineterminator="\n").encode())


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(content: Any, path: Path) -> None:
    """Write what `json` supports, and NumPy scalars, as indented JSON, completely or not at all."""
    with replacing(path) as part:
        part.write_text(format_json(content), encoding="utf-8")


def format_json(content: Any) -> str:
    # NumPy scalars have item(), which returns the Python number.
    return json.dumps(content, indent=2, ensure_ascii=False, default=lambda x: x.item()) + "\n"


# --- folders --------------------------------------------------------------------------------------


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which replaces it if the block ends without an error.

    The new folder gets its checksums first. A kill between the two renames leaves the old folder
    under another name; `restore_folder` renames it back.
    """
    restore_folder(folder)
    part, old = folder.with_name(f"{folder.name}.part"), folder.with_name(f"{folder.name}.old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with naming(folder):
            yield part
        record_checksums(part, [path.name for path in sorted(part.iterdir()) if path.is_file()])
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Rename the old folder back, if a kill came between the two renames of `writing_folder`."""
    old = folder.with_name(f"{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def record_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of some files of a folder; those of its other files stay.

    Args:
        folder: its files must be complete.
        names: of the files.
    """
    files = read_checksums(folder)
    files |= {name: describe_file(folder / name) for name in names}
    write_json({"format": FORMAT, "files": files}, folder / CHECKSUMS)


def read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {name of a file: its size and XXH3}; empty if there are none that can be used."""
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8")
        content = json.loads(text)
        is_whole = content["format"] == FORMAT and text == format_json(content)
        return content["files"] if is_whole else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def find_damage(folder: Path, names: Iterable[str] | None = None) -> str | None:
    """Return why files of a folder cannot be used, for a message; None if they are as written.

    Args:
        folder: written with `writing_folder` or `record_checksums`.
        names: of files that must be there; None for all that have a checksum.

    Returns:
        The start of a sentence: "data/store/images.npy was changed or damaged".
    """
    restore_folder(folder)
    if not (folder / CHECKSUMS).is_file():
        return f"{folder / CHECKSUMS if folder.is_dir() else folder} is missing"
    files = read_checksums(folder)
    if not files:
        return f"{folder / CHECKSUMS} is damaged or of another version of this project"
    for name in files if names is None else names:
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        if files.get(name) != describe_file(folder / name):
            return f"{folder / name} was changed or damaged"
    return None


def describe_file(path: Path) -> dict[str, Any]:
    """Return the size of a file in bytes and its XXH3, as 16 hexadecimal digits."""
    digest = xxhash.xxh3_64()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return {"size": path.stat().st_size, "xxh3": digest.hexdigest()}


def identify_folder(folder: Path) -> str:
    """Return a checksum that changes with every byte of a folder's files: its identity."""
    return xxhash.xxh3_64_hexdigest((folder / CHECKSUMS).read_bytes())


# --- the disk -------------------------------------------------------------------------------------


def check_room(folder: Path, size: int) -> None:
    """Check that a disk has room before a large file is written.

    Args:
        folder: where to write; it or a folder above it exists.
        size: bytes that will be written.

    Raises:
        OSError: with errno ENOSPC; `step.step` turns it into one line.
    """
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        needed = f"{size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        raise OSError(errno.ENOSPC, f"No space left on device, {needed}", str(folder))
