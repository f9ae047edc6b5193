import base64
import io

from postergenres.report.pages import encode, render

import jinja2
import numpy as np
import pytest
from PIL import Image


def test_pixels_become_the_data_url_of_a_jpeg():
    url = encode(np.full((30, 20, 3), 99, np.uint8))
    kind, _, content = url.partition(",")
    assert kind == "data:image/jpeg;base64" and encode(None) is None
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (20, 30) and image.format == "JPEG"


def test_a_page_is_complete_or_not_written(tmp_path):
    """A variable that a template needs is missing."""
    with pytest.raises(jinja2.UndefinedError):
        render("predictions.html", tmp_path / "page.html", count=1)
    assert list(tmp_path.iterdir()) == []
