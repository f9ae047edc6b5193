"""Show how far a long step has come."""

import sys

from tqdm import tqdm


def show_progress(total, what):
    """A tqdm bar on a terminal; in a log file, where a bar is a mess, a line every ten seconds.

    Args:
        total: how many there are to do; `update(count)` of what is returned counts them.
        what: one of them, in words: "poster".
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=f"{what}s", unit=what, miniters=0)
    return ProgressLines(total, what)


class ProgressLines(tqdm):
    """tqdm, but for its display: a line every so many seconds."""

    def __init__(self, total, what, seconds=10, **options):
        pace = {"mininterval": seconds, "delay": seconds, "miniters": 0}
        super().__init__(total=total, desc=f"{what}s", leave=False, **pace, **options)

    def display(self, msg=None, pos=None):
        state = self.format_dict
        if msg is not None or not state["elapsed"]:
            return  # tqdm clears its bar with an empty message
        rate = state["rate"] or state["n"] / state["elapsed"]  # smoothed, once there were two lines
        counts = f" ({state['postfix']})" if state["postfix"] else ""
        left = self.format_interval((state["total"] - state["n"]) / rate) if rate else "?"
        print(
            f"{state['prefix']}: {state['n']:,} of {state['total']:,} done{counts}, "
            f"{rate:,.0f} per second, {left} left",
            file=self.fp,
            flush=True,
        )
