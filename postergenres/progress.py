"""Show the progress of a long step."""

import sys
from typing import Any

from tqdm import tqdm


def show_progress(total: int, what: str) -> tqdm:
    """Return a progress bar for a terminal, or one that prints lines if stderr is a log file.

    Call its `update(count)` once `count` more of the `total` items are done; `what` is the name of
    one of them, such as "poster".
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=f"{what}s", unit=what, miniters=0)
    return ProgressLines(total, what)


class ProgressLines(tqdm):
    """A tqdm that prints a line every `seconds` seconds in place of a bar."""

    def __init__(self, total: int, what: str, seconds: float = 10, **options: Any) -> None:
        pace = {"mininterval": seconds, "delay": seconds, "miniters": 0}
        super().__init__(total=total, desc=f"{what}s", leave=False, **pace, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the line; tqdm calls this method in place of drawing its bar."""
        state = self.format_dict
        if msg is not None or not state["elapsed"]:
            return  # tqdm erases its bar with an empty message
        rate = state["rate"] or state["n"] / state["elapsed"]  # tqdm has no rate at the first line
        counts = f" ({state['postfix']})" if state["postfix"] else ""
        left = self.format_interval((state["total"] - state["n"]) / rate) if rate else "?"
        print(
            f"{state['prefix']}: {state['n']:,} of {state['total']:,} done{counts}, "
            f"{rate:,.0f} per second, {left} left",
            file=self.fp,
            flush=True,
        )
