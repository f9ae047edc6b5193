"""The check of images; hostile/database_cases.py has more broken bodies, through main()."""

from postergenres.dataset.decoding import try_decode
from postergenres.download.images import check_image
from postergenres.settings import MOST_PIXELS

import pytest
from conftest import image_bytes, progressive
from PIL import Image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_complete_image_has_no_error(form):
    assert check_image(image_bytes(form=form), 10**6, 600) == ""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (image_bytes()[:-4], "too large: 20 x 30 pixels, over 599"),  # not decoded
        (bytes(10**6 + 1), "too large: over 1,000,000 bytes"),
        (image_bytes(size=(10, 10))[:-99], "cut short: OSError: "),
        (b"", "not an image"),
        (b"<html>", "not an image"),
        (image_bytes(size=(10, 10), form="TIFF"), "not an image"),
        (progressive(20, 200), "not an image: over 100 scans"),
    ],
)
def test_other_bytes_have_an_error(body, error):
    assert check_image(body, 10**6, 599).startswith(error)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "L", {}),
        ("PNG", "1", {}),
        ("GIF", "L", {}),
        ("WEBP", "L", {"lossless": True, "method": 0}),
    ],
)
def test_what_step_1_accepts_up_to_the_limit_of_pixels_step_3_decodes(form, mode, options):
    """The image has 89,472,681 pixels, and with one more row too many."""
    body = image_bytes(0, (9459, 9459), mode, form, **options)
    assert 9459 * 9459 <= MOST_PIXELS < 9459 * 9460 and MOST_PIXELS <= Image.MAX_IMAGE_PIXELS
    assert check_image(body, 10**12, 10**12) == ""
    assert try_decode(body, 15, 10)[1] == ""


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_step_3_refuses_for_its_size_step_1_does_not_accept():
    body = image_bytes(0, (9459, 9460), "L")
    size = "9459 x 9460 pixels, over 89,478,485"
    assert check_image(body, 10**12, 10**12) == f"too large: {size}"
    assert try_decode(body, 15, 10)[1] == f"DecompressionBombError: {size}"
