"""Show the progress of a long step."""

import sys

from tqdm import tqdm


def show_progress(total, what):
    """Return a progress bar for a terminal, or one that prints lines if stderr is a log file.

    Args:
        total: the number of items.
        what: the name of one item: "poster".

    Returns:
        A tqdm object; call its `update(count)` once `count` more items are done.
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=f"{what}s", unit=what, miniters=0)
    return ProgressLines(total, what)


class ProgressLines(tqdm):
    """A tqdm that prints a line every `seconds` seconds in place of a bar.

    Args:
        total: the number of items.
        what: the name of one item: "poster".
        seconds: the least time between two lines.
        options: further arguments of tqdm.
    """

    def __init__(self, total, what, seconds=10, **options):
        pace = {"mininterval": seconds, "delay": seconds, "miniters": 0}
        super().__init__(total=total, desc=f"{what}s", leave=False, **pace, **options)

    def display(self, msg=None, pos=None):
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
