"""Draw and save figures with Matplotlib, for all steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from postergenres.files import replacing
from postergenres.terminal import escape_controls

import numpy as np

if TYPE_CHECKING:  # modules that draw nothing import this one
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Fonts of Linux, Windows and macOS with the scripts that Matplotlib's own font lacks; the installed
# ones are used. No package on PyPI ships a font of all scripts.
FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
    "Noto Sans Thai",
    "Nirmala UI",
    "Leelawadee UI",
    "Arial Unicode MS",
    "Unifont",
)


def escape_label(name: str) -> str:
    """Return a genre or title so that Matplotlib shows it literally.

    A `$` would start a formula. A character that no installed font has would be an empty box and a
    warning: its number stands for it, such as `\\u52d5`.
    """
    name = escape_controls(name).replace("$", r"\$")
    if name.isascii():
        return name
    characters = set().union(*load_fonts(FALLBACK_FONTS).values())
    return "".join(
        each if ord(each) in characters else each.encode("unicode_escape").decode() for each in name
    )


@lru_cache
def load_fonts(fallbacks: tuple[str, ...]) -> dict[str, set[int]]:
    """Return {name: code points} of Matplotlib's font, the first, and of installed fallbacks."""
    from matplotlib import font_manager, rcParams
    from matplotlib.font_manager import FontProperties

    installed = {font.name for font in font_manager.fontManager.ttflist}
    names = [*rcParams["font.family"], *(name for name in fallbacks if name in installed)]
    paths = {name: font_manager.findfont(FontProperties(family=[name])) for name in names}
    return {name: set(font_manager.get_font(path).get_charmap()) for name, path in paths.items()}


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Save a figure as PNG, complete or not at all; equal figures give equal bytes.

    Texts that Matplotlib's own font can show use no other, so that they look alike everywhere.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            fonts = load_fonts(FALLBACK_FONTS)
            own, *_ = fonts.values()
            if not own.issuperset(map(ord, text.get_text())):
                text.set_fontfamily(list(fonts))
    with replacing(path) as part:
        figure.savefig(part, dpi=dpi, metadata={"Software": None})


def draw_heat_map(
    axes: Axes, percentages: np.ndarray, row_names: Sequence[str], column_names: Sequence[str]
) -> None:
    """Draw percentages, with a number in each cell of at least 0.5; a nan stays empty."""
    axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(percentages >= 0.5), strict=True):
        percentage = percentages[row, column]
        color = "white" if percentage > 50 else "black"
        axes.text(column, row, f"{percentage:.0f}", ha="center", va="center", size=7, color=color)
    axes.set_xticks(range(len(column_names)), map(escape_label, column_names), rotation=90)
    axes.set_yticks(range(len(row_names)), map(escape_label, row_names))
