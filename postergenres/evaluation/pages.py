"""Write the two pages of step 5, report.html and predictions.html.

Each page is one file that contains its pictures and needs no network. Jinja2 makes the pages from
the files in templates/.
"""

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from postergenres.files import replacing

HERE = Path(__file__).resolve().parent


def render(template, path, **content):
    """Write a page from a template in templates/ and its variables."""
    loader = FileSystemLoader(HERE / "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["format_score"] = lambda value: "–" if value is None else f"{value:.3f}"
    with replacing(path) as part:
        text = environment.get_template(template).render(**content)
        part.write_text(text, encoding="utf-8")


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
