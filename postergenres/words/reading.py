"""Read the words on posters with RapidOCR, which requirements/text.txt installs.

RapidOCR runs PP-OCR in ONNX Runtime: a network finds the lines of text, another reads each line.
With its default settings it enlarges a small poster to a width of 736 pixels, which takes a second;
with the settings below it takes a quarter of that, and reads as many words of the titles of 60
posters of 182 x 268 pixels.

Pool workers import this module.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import try_decode
from postergenres.files import write_json

import numpy as np

Words = Sequence[tuple[str, float]]  # the lines of text on a poster, each with a confidence
PACKAGES = ("rapidocr", "onnxruntime")
INSTALL = "python -m pip install -r requirements/text.txt"
CONFIDENCE = 0.5  # the least of a line that is used
HEIGHT, WIDTH = 768, 512  # pixels of the poster from which lines are cut out
FOUND_AT = 480  # pixels of the height at which lines are found
PARAMETERS = {
    "Global.log_level": "critical",
    "Global.use_cls": False,  # whether a line is upside down
    "Global.text_score": 0.0,  # no line is left out
    "Det.limit_type": "max",
    "Det.limit_side_len": FOUND_AT,
    "Rec.rec_batch_num": 1,  # in a larger batch, all lines are as wide as the widest
    "Rec.rec_img_shape": [3, 48, 48],  # channels, height and least width of a line
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # posters are read in parallel
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,  # faster
}


def can_read() -> bool:
    """Return whether the packages of requirements/text.txt are installed."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


def uses_words(about: dict[str, Any]) -> bool:
    """Return whether a model, `about` is its model.json, uses words, and they can be read."""
    return "words" in about and can_read()


def find_fault(about: dict[str, Any]) -> str:
    """Return a note if the words for a model are not read as in its training; else nothing."""
    if "words" not in about:
        return ""
    if not can_read():
        return (
            "note: the model was trained with the words on posters, but their reader is missing: "
            f"words are not used. To use them, run: {INSTALL}"
        )
    trained, today = about["words"]["reader"], describe_reader()
    return "" if trained == today else f"note: words are read by {today}; in training, by {trained}"


def require_reader() -> None:
    """Exit with a line that names the command to install the packages, if they are missing."""
    if not can_read():
        sys.exit(f"The package rapidocr or onnxruntime is missing. Run: {INSTALL}")


def describe_reader() -> str:
    """Return the versions and settings that the words depend on, in a line."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{versions}; {HEIGHT} x {WIDTH} pixels, lines found at {FOUND_AT}"


@cache
def open_reader() -> Any:
    """Return a RapidOCR that has loaded its networks; exit if the packages are missing."""
    require_reader()
    from rapidocr import RapidOCR

    reader = RapidOCR(params=PARAMETERS)
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for finds_lines in (False, True):  # an error here is one of the installation
        reader(blank, use_det=finds_lines)
    return reader


def read_words(source: bytes | str | Path) -> Words:
    """Return the words on a poster, from top to bottom; none if it cannot be decoded.

    Threads may share the reader. Confidences are from 0 to 1.
    """
    reader = open_reader()
    pixels, _ = try_decode(source, HEIGHT, WIDTH)
    if pixels is None:
        return []
    try:
        result = reader(np.ascontiguousarray(pixels[:, :, ::-1]), use_det=True)  # BGR, as OpenCV
    except Exception:  # RapidOCR fails on some odd shapes, with errors of many types
        return []
    confidences = [round(float(score), 3) for score in result.scores or ()]
    return list(zip(result.txts or (), confidences, strict=True))


def select_texts(words: Words) -> list[str]:
    """Return the texts of a poster that are used."""
    return [text for text, confidence in words if confidence >= CONFIDENCE]


def write_chunk(posters: dict[str, Path], folder: Path) -> tuple[str, str]:
    """Read posters, {SHA-256: path}, and write their words into a file of a folder.

    Return the name of the file, and why a poster cannot be read, "" if the file is written.
    """
    words = {}
    for checksum, path in posters.items():
        try:
            body = path.read_bytes()
        except OSError as error:
            return "", f"{path}: {error.strerror}"
        if hashlib.sha256(body).hexdigest() != checksum:
            return "", f"{path} has changed"
        words[checksum] = read_words(body)
    name = hashlib.sha256("".join(words).encode()).hexdigest()[:16] + ".json"
    write_json(words, folder / name)
    return name, ""
