"""Write pages from the templates in templates/, such as report.html and predictions.html.

Each page is one file that contains its pictures and needs no network.
"""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from postergenres.files import replacing
from postergenres.terminal import escape_controls

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_CHARACTERS = 100  # of a title


def render(template: str, path: Path, **content: Any) -> None:
    """Write a page from a template and its variables."""
    with replacing(path) as part:
        part.write_text(fill(template, **content), encoding="utf-8")


def fill(template: str, folder: Path = TEMPLATES, **content: Any) -> str:
    """Return the text of a template, which can include and import those in `TEMPLATES`, too."""
    return open_templates(folder).get_template(template).render(**content)


@lru_cache
def open_templates(folder: Path) -> Environment:
    """Return the Jinja2 environment of the templates in a folder and in `TEMPLATES`."""
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["format_score"] = lambda value: "–" if value is None else f"{value:.3f}"
    return environment


def encode(pixels: np.ndarray | None) -> str | None:
    """Return pixels as the data URL of a JPEG; None for None."""
    if pixels is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "JPEG", quality=85)
    return data_url(buffer.getvalue(), "jpeg")


def data_url(content: bytes, kind: str) -> str:
    """Return the bytes of an image as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def shorten_title(title: str) -> str:
    """Return a title without control characters, and of at most MOST_CHARACTERS characters."""
    title = escape_controls(title)
    return title if len(title) <= MOST_CHARACTERS else f"{title[: MOST_CHARACTERS - 1]}…"
