"""Show text from outside, such as the name of a file, on a terminal."""

import unicodedata


def escape_controls(text: str) -> str:
    r"""Return text in one line without control characters, which could write anywhere.

    `\x1b` and the like stand for them, and for formatting characters such as those that reverse
    the direction of writing.
    """
    return "".join(
        repr(each)[1:-1] if unicodedata.category(each)[0] == "C" or each in "\u2028\u2029" else each
        for each in text
    )
