"""The texts of posters.csv are part of its format: they stay byte for byte as they are."""

from postergenres.download.faults import Fault, exception_line

import pytest

TEXTS = {
    "UNUSABLE_ID": ((), "the id cannot name a file"),
    "NO_IMAGE_IN_FOLDER": (("images",), "no image in images"),
    "NOT_LISTED": ((), "no poster listed"),
    "LONG_URL": ((), "the poster URL is too long"),
    "OTHER_SCHEME": ((), "the poster is listed under another scheme than http"),
    "PATH_WITHOUT_PREFIX": (
        ("POSTER_BASE",),
        "the poster is listed as a path, and POSTER_BASE is no URL",
    ),
    "UNUSABLE_PATH": ((), "the poster path does not name a file"),
    "HOST_UNREACHABLE": ((20,), "not requested: no connection to its host, 20 times in a row"),
    "FIRST_PAGE": ((), "a page, and its host has sent no image"),
    "UNCONFIRMED_PAGE": ((), "a page, as for a poster of its host that came before"),
    "HOST_SENDS_PAGES": ((10,), "not requested: pages instead of images, 10 times in a row"),
    "HTTP_STATUS": ((404,), "HTTP 404"),
    "REDIRECT_SCHEME": (("ftp",), "a redirect to ftp:"),
    "NOT_PUBLIC": (
        (),
        "it leads to this machine or its local network, from where nothing is fetched",
    ),
    "TOO_MANY_REDIRECTS": ((10,), "more than 10 redirects"),
    "TOO_MANY_BYTES": ((20_000_000,), "too large: over 20,000,000 bytes"),
    "TOO_MANY_PIXELS": (("20 x 30", 599), "too large: 20 x 30 pixels, over 599"),
    "NOT_AN_IMAGE": ((), "not an image"),
    "BROKEN_IMAGE": (("over 100 scans",), "not an image: over 100 scans"),
    "CUT_SHORT": (("OSError: x",), "cut short: OSError: x"),
}


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_each_fault_has_its_text(fault):
    details, text = TEXTS[fault.name]
    assert fault.format(*details) == text
    assert fault.is_stated_in(text)


def test_a_fault_is_stated_in_no_text_of_an_exception():
    line = exception_line(ValueError("HTTP  404\nnot an image"))
    assert line == "ValueError: HTTP 404 not an image"
    assert not any(fault.is_stated_in(line) for fault in Fault)


def test_the_line_of_an_exception_is_short():
    assert len(exception_line(ValueError("x" * 1000))) == 200
