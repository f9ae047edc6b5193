"""Show the progress of a long step."""

import sys
from typing import Any

from tqdm import tqdm


def show_progress(total: int, what: str, title: str | None = None, seconds: float = 10) -> tqdm:
    """Return a progress bar for a terminal, or one that prints lines if stderr is a log file.

    Call its `update(count)` once `count` more of the `total` items are done; `what` is the name of
    one of them, such as "poster". A bar with a `title`, such as "epoch 3/15", is erased at its end.
    A line is printed every `seconds` seconds.
    """
    if sys.stderr.isatty():
        name, stays = title or f"{what}s", title is None
        return tqdm(total=total, desc=name, unit=what, miniters=0, leave=stays)
    return ProgressLines(total, f"{title}: {what}s" if title else f"{what}s", seconds)


class ProgressLines(tqdm):
    """A tqdm that prints a line every `seconds` seconds in place of a bar."""

    def __init__(self, total: int, name: str, seconds: float = 10, **options: Any) -> None:
        pace = {"mininterval": seconds, "delay": seconds, "miniters": 0}
        super().__init__(total=total, desc=name, leave=False, **pace, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the line; tqdm calls this method in place of drawing its bar."""
        state = self.format_dict
        if msg is not None or not state["elapsed"]:
            return  # tqdm erases its bar with an empty message
        rate = state["rate"] or state["n"] / state["elapsed"]  # tqdm has no rate at the first line
        counts = f" ({state['postfix']})" if state["postfix"] else ""
        left = self.format_interval((state["total"] - state["n"]) / rate) if rate else "?"
        digits = 0 if rate >= 10 else 1
        print(
            f"{state['prefix']}: {state['n']:,} of {state['total']:,} done{counts}, "
            f"{rate:,.{digits}f} per second, {left} left",
            file=self.fp,
            flush=True,
        )
