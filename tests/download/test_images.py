"""The check of images; test_hostile.py has many more broken bodies, through main()."""

from postergenres.dataset.decoding import try_decode
from postergenres.download.faults import Fault
from postergenres.download.images import check_image
from postergenres.old_settings import MOST_PIXELS, RULES

import pytest
from conftest import image_bytes, progressive
from PIL import Image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_complete_image_has_no_fault(form):
    assert check_image(image_bytes(form=form), 600) == (None, "")


def test_an_image_of_too_many_pixels_is_not_decoded():
    expected = Fault.TOO_MANY_PIXELS, "too large: 20 x 30 pixels, over 599"
    assert check_image(image_bytes()[:-4], 599) == expected


def test_a_jpeg_without_its_end_is_cut_short():
    fault, error = check_image(image_bytes()[:-99], 600)
    assert fault is Fault.CUT_SHORT and error.startswith("cut short: OSError: ")


def test_bytes_of_no_known_format_are_not_an_image():
    assert check_image(b"<html>", 600) == (Fault.NOT_AN_IMAGE, "not an image")
    assert check_image(b"", 600) == check_image(b"text", 600) == check_image(b"<html>", 600)


@pytest.mark.parametrize("form", ["BMP", "TIFF", "ICO", "PDF", "EPS", "AVIF"])
def test_an_image_of_a_kind_that_is_not_read_is_named(form):
    expected = Fault.BROKEN_IMAGE, f"not an image: it begins like a {form} file"
    assert check_image(image_bytes(form=form, size=(32, 32)), 2000) == expected


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WebP"])
def test_the_first_bytes_of_an_image_are_not_taken_for_a_page(form):
    expected = Fault.BROKEN_IMAGE, f"not an image: it begins like a {form} file"
    assert check_image(image_bytes(form=form.upper())[:4] + bytes(1000), 600) == expected


def test_a_jpeg_of_too_many_scans_is_not_decoded():
    expected = Fault.BROKEN_IMAGE, "not an image: over 100 scans"
    assert check_image(progressive(99, 200), 10_000) == expected


def test_the_limit_of_pixels_is_not_above_the_limit_of_pillow():
    assert MOST_PIXELS <= Image.MAX_IMAGE_PIXELS
    assert RULES["database"]["max_pixels"].allows(MOST_PIXELS)


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
    assert 9459 * 9459 <= MOST_PIXELS < 9459 * 9460
    assert check_image(body, 10**12) == (None, "")
    assert try_decode(body, 15, 10)[1] == ""


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_what_step_3_refuses_for_its_size_step_1_does_not_accept(form):
    body = image_bytes(0, (9459, 9460), "L", form)
    size = "9459 x 9460 pixels, over 89,478,485"
    assert check_image(body, 10**12) == (Fault.TOO_MANY_PIXELS, f"too large: {size}")
    assert try_decode(body, 15, 10)[1] == f"DecompressionBombError: {size}"
