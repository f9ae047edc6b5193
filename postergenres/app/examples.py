"""Draw posters of invented movies, as data/sample/draw.py does."""

import runpy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

SCRIPT = Path(__file__).parents[2] / "data" / "sample" / "draw.py"  # an installed package has none


def draw_examples(count: int, seed: int | None = None) -> list[tuple[str, bytes]]:
    """Return drawn posters: title and genres, and the bytes of a JPEG.

    Args:
        count: the number of posters.
        seed: of what is drawn; None for other posters each time.
    """
    draw, rng = run_script(), np.random.default_rng(seed)
    examples = []
    for number in range(1, count + 1):  # these numbers have none of the flaws of real metadata
        movie = draw["invent_movie"](number, rng)
        image = draw["draw_poster"](movie["title"], movie["looks"], rng)
        name = f"{movie['title']}, drawn as {', '.join(movie['looks'])}"
        examples.append((name, draw["encode"](image, "plain")))
    return examples


@lru_cache
def run_script() -> dict[str, Any]:
    """Return the names in data/sample/draw.py."""
    return runpy.run_path(str(SCRIPT))
