"""Draw posters of invented movies, as data/sample/draw.py does."""

from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parents[2] / "data" / "sample" / "draw.py"  # an installed package has none


def draw_examples(count, seed=None):
    """Return drawn posters, a list of (title and genres, the bytes of a JPEG).

    Args:
        count: the number of posters.
        seed: of what is drawn; None for other posters each time.
    """
    draw, rng = load_script(), np.random.default_rng(seed)
    examples = []
    for number in range(1, count + 1):  # these numbers have none of the flaws of real metadata
        movie = draw.invent_movie(number, rng)
        image = draw.draw_poster(movie["title"], movie["looks"], rng)
        name = f"{movie['title']}, drawn as {', '.join(movie['looks'])}"
        examples.append((name, draw.encode(image, "plain")))
    return examples


@lru_cache
def load_script():
    """Return data/sample/draw.py as a module."""
    spec = spec_from_file_location("draw", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
