"""The check of images; test_hostile.py has many more broken bodies, through main()."""

import pytest
from conftest import image_bytes, progressive

from postergenres.download.faults import Fault
from postergenres.download.images import check_image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_complete_image_has_no_fault(form):
    assert check_image(image_bytes(form=form), 600) == (None, "")


def test_an_image_of_too_many_pixels_is_not_decoded():
    expected = Fault.TOO_MANY_PIXELS, "too large: 20 x 30 pixels"
    assert check_image(image_bytes()[:-4], 599) == expected


def test_a_jpeg_without_its_end_is_cut_short():
    fault, error = check_image(image_bytes()[:-99], 600)
    assert fault is Fault.CUT_SHORT and error.startswith("cut short: OSError: ")


def test_bytes_of_no_known_format_are_not_an_image():
    assert check_image(b"<html>", 600) == (Fault.NOT_AN_IMAGE, "not an image")
    assert check_image(image_bytes(form="BMP"), 600) == (Fault.NOT_AN_IMAGE, "not an image")


def test_a_jpeg_of_too_many_scans_is_not_decoded():
    expected = Fault.BROKEN_IMAGE, "not an image: over 100 scans"
    assert check_image(progressive(99, 200), 10_000) == expected
