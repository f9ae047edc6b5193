"""The reasons why a movie has no poster, as the column `error` of posters.csv states them."""

from enum import Enum


class Fault(Enum):
    """A reason why a movie has no poster. The values are the texts in posters.csv.

    An exception has no member: posters.csv states its `exception_line`.
    """

    # Found in the metadata; no request is sent.
    UNUSABLE_ID = "the id cannot name a file"
    NO_IMAGE_IN_FOLDER = "no image in {}"
    NOT_LISTED = "no poster listed"
    LONG_URL = "the poster URL is too long"
    OTHER_SCHEME = "the poster is listed under another scheme than http"
    PATH_WITHOUT_PREFIX = "the poster is listed as a path, and {} is no URL"
    UNUSABLE_PATH = "the poster path does not name a file"
    # Found while fetching.
    HOST_UNREACHABLE = "not requested: no connection to its host, {} times in a row"
    FIRST_PAGE = "a page, and its host has sent no image"
    UNCONFIRMED_PAGE = "a page, as for a poster of its host that came before"
    HOST_SENDS_PAGES = "not requested: pages instead of images, {} times in a row"
    HTTP_STATUS = "HTTP {}"
    REDIRECT_SCHEME = "a redirect to {}:"
    NOT_PUBLIC = "it leads to this machine or its local network, from where nothing is fetched"
    TOO_MANY_REDIRECTS = "more than {} redirects"
    # Found in the file.
    TOO_MANY_BYTES = "too large: over {:,} bytes"
    TOO_MANY_PIXELS = "too large: {} pixels, over {:,}"
    NOT_AN_IMAGE = "not an image"
    BROKEN_IMAGE = "not an image: {}"
    CUT_SHORT = "cut short: {}"

    def format(self, *details):
        """Return the text in posters.csv, with `details` in the places of its braces."""
        return self.value.format(*details)

    def is_stated_in(self, error):
        """Return whether `error`, a text in posters.csv, states this fault."""
        return error.startswith(self.value.partition("{")[0])


def exception_line(error):
    """Return an exception as one line of at most 200 characters, its class first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
