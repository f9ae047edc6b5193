"""The progress of long steps in a log file and on a terminal."""

import io
import re
import time
from contextlib import redirect_stderr

from postergenres import progress


def test_a_log_file_gets_lines_instead_of_a_bar(tmp_path):
    log = io.StringIO()
    with progress.ProgressLines(1200, "posters", 0, file=log, disable=False) as lines:
        lines.set_postfix({"ok": 1090, "gone": 8, "failed": 2}, refresh=False)
        time.sleep(0.1)
        lines.update(1100)
    last = log.getvalue().splitlines()[-1]
    assert re.fullmatch(
        r"posters: 1,100 of 1,200 done \(ok=1090, gone=8, failed=2\), "
        r"[\d,]+ per second, 00:0\d left",
        last,
    )
    assert "\r" not in log.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_of_slow_items_has_a_rate_above_zero():
    log = io.StringIO()
    with progress.ProgressLines(9, "epoch 1/2: steps", 0, file=log, disable=False) as lines:
        lines.start_t = lines.last_print_t = lines.last_print_t - 10
        lines.update(3)
    assert "epoch 1/2: steps: 3 of 9 done, 0.3 per second, 00:20 left" in log.getvalue()


def test_a_terminal_gets_a_bar_and_a_log_file_gets_lines():
    with redirect_stderr(io.StringIO()), progress.show_progress(3, "poster") as shown:
        assert isinstance(shown, progress.ProgressLines) and shown.total == 3
    with redirect_stderr(Terminal()), progress.show_progress(3, "poster") as shown:
        assert not isinstance(shown, progress.ProgressLines) and shown.desc == "posters"
