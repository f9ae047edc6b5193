"""What can be done to a file or a setting, and what a step may do about it."""

import json
import random
import shutil
from pathlib import Path
from typing import NamedTuple

from postergenres.old_files import CONTENT_SHA256

HOSTILE_VALUES = {
    "True": True,
    "text": "x",
    "None": None,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "10**30": 10**30,
    "bytes": b"bytes",
    "empty list": [],
    "object": object(),
}


class Outcome(NamedTuple):
    """What a step must do with a damaged file.

    Attributes:
        ends: whether it ends with one line and status 1, instead of going on.
        line: regular expression of that line, or of a line of the output.
        is_same: whether the result is that of a healthy run.
    """

    ends: bool
    line: str
    is_same: bool


def stops(line, command):
    """Expect one line that ends with the next command."""
    return Outcome(True, rf"{line}.*[Rr]un: python {command}\.py( --data-dir \S+)?$", False)


def blocked(command):
    """Expect the line for a folder in the place of a file that the step writes."""
    return stops(r"^Stopped: .*Is a directory.* Fix this, then ", command)


def goes_on(line=""):
    """Expect the result of a healthy run, after a line if one is named."""
    return Outcome(False, line, True)


def differs(line):
    """Expect another result, and a line that says so."""
    return Outcome(False, line, False)


# --- harms ----------------------------------------------------------------------------------------


def delete(path, other):
    path.unlink()


def empty(path, other):
    path.write_bytes(b"")


def cut(path, other):
    """Leave half of a file; of a table, with the first letters of a row at the end."""
    content = path.read_bytes()
    half = len(content) // 2
    if path.suffix == ".csv":
        half = content.rfind(b"\n", 0, half) + 3
    path.write_bytes(content[:half])


def flip_bit(path, other):
    """Flip a random bit, the same in every run; in posters.csv, of a genre."""
    content = bytearray(path.read_bytes())
    rng = random.Random(path.name)
    position, bit = rng.randrange(len(content)), rng.randrange(8)
    if path.name == "posters.csv":  # it has paths, which are not the same in every run
        position, bit = content.index(b"Drama") + 2, 1
    content[position] ^= 1 << bit
    path.write_bytes(content)


def overwrite(path, other):
    path.write_text("This is no such file.\n" * 20, encoding="utf-8")


def make_folder(path, other):
    path.unlink()
    path.mkdir()
    (path / "file").write_text("x")


def take_from_other(path, other):
    """Put the file of that name from another data set in its place."""
    shutil.copyfile(other, path)


def strip_checksums(path, other):
    """Leave the content that an older version wrote."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    for name in (CONTENT_SHA256, "files", "model_sha256", "export_sha256", "sha256"):
        content.pop(name, None)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


HARMS = {
    "missing": delete,
    "empty": empty,
    "cut in half": cut,
    "a bit flipped": flip_bit,
    "text": overwrite,
    "folder": make_folder,
    "another data set's": take_from_other,
    "older version's": strip_checksums,
}
EVERY = tuple(HARMS)[:7]  # what can be done to every file


def every(outcome, **others):
    """Return the same outcome for every harm, but for those that are named."""
    outcomes = dict.fromkeys(EVERY, outcome)
    names = {name.replace(" ", "_").replace("'", ""): name for name in HARMS}
    return outcomes | {names[name]: outcome for name, outcome in others.items()}
