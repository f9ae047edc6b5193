from postergenres.terminal import escape_controls

import pytest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("poster é 电影.jpg", "poster é 电影.jpg"),
        ("a\x1b[2J\n\r\tb", r"a\x1b[2J\n\r\tb"),
        ("gpj.\u202excod", r"gpj.\u202excod"),  # right-to-left override
        ("\x9b31m\x7f\u2028", r"\x9b31m\x7f\u2028"),
        ("\ud83d", r"\ud83d"),  # half a character, of a file name that is not UTF-8
        ("C:\\new\\x1b.jpg", "C:\\new\\x1b.jpg"),
    ],
)
def test_control_characters_are_escaped_and_nothing_else(text, shown):
    assert escape_controls(text) == shown
