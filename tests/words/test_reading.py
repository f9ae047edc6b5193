from postergenres.words import reading

import numpy as np
import pytest
from conftest import encode_poster, image_bytes
from PIL import Image, ImageDraw, ImageFont

RED = image_bytes((220, 40, 40), (40, 60))


@pytest.fixture
def title():
    """A poster of 182 x 268 pixels: a title of two lines and smaller words, on noise."""
    noise = np.random.default_rng(0).integers(0, 60, (268, 182, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    draw.text((91, 30), "they never sleep", "yellow", ImageFont.load_default(14), "mm")
    draw.text((91, 190), "HAUNTED", "white", ImageFont.load_default(32), "mm")
    draw.text((91, 225), "MANSION", "white", ImageFont.load_default(32), "mm")
    return image


@pytest.mark.parametrize("size", [(182, 268), (500, 736)])
def test_the_words_on_a_poster_are_read_from_top_to_bottom(title, size):
    pytest.importorskip("rapidocr")
    words = reading.read_words(encode_poster(title.resize(size, Image.Resampling.LANCZOS)))
    texts = [text.lower() for text, confidence in words if confidence > 0.5]
    assert texts == ["they never sleep", "haunted", "mansion"]


def test_a_poster_without_words_has_none():
    pytest.importorskip("rapidocr")
    assert reading.read_words(RED) == []


def test_a_file_that_cannot_be_decoded_has_no_words(tmp_path, fake_reader):
    assert reading.read_words(b"no image") == reading.read_words(tmp_path / "missing.jpg") == []
    assert reading.read_words(RED) == [("explosion", 0.9), ("explosion", 0.9)]


def test_a_poster_on_which_the_reader_fails_has_no_words(fake_reader):
    assert reading.read_words(image_bytes((255, 255, 255))) == []


def test_a_missing_package_is_one_line_with_the_command(monkeypatch):
    reading.open_reader.cache_clear()
    monkeypatch.setattr(reading.importlib.util, "find_spec", lambda name: None)
    assert not reading.can_read()
    with pytest.raises(SystemExit, match="Run: python -m pip install -r requirements/text.txt$"):
        reading.read_words(RED)
