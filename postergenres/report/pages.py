"""Write the two pages of step 5, report.html and predictions.html.

Each page is one file that contains its pictures and needs no network. Jinja2 makes the pages from
the files in templates/.
"""

import base64
import io
from functools import lru_cache
from pathlib import Path

from postergenres.old_files import replacing

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(template, path, **content):
    """Write a page from a template in templates/ and its variables."""
    with replacing(path) as part:
        part.write_text(fill(template, **content), encoding="utf-8")


def fill(template, folder=TEMPLATES, **content):
    """Return the text of a template.

    Args:
        template: name of the file.
        folder: of the template; it can include and import those in `TEMPLATES`.
        content: the variables of the template.
    """
    return open_templates(folder).get_template(template).render(**content)


@lru_cache
def open_templates(folder):
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


def encode(pixels):
    """Return pixels as the data URL of a JPEG; None for None."""
    if pixels is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "JPEG", quality=85)
    return data_url(buffer.getvalue(), "jpeg")


def data_url(content, kind):
    """Return the bytes of an image as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
