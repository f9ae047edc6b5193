"""Draw Grad-CAM heat maps: which parts of a poster raise the probability of a genre.

The exported network computes them: see `models.export`.
"""

import numpy as np
from matplotlib import colormaps
from PIL import Image


def overlay(poster: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a poster in gray under a heat map, uint8 (H, W, 3).

    Args:
        poster: uint8 (H, W, 3).
        heat: float32 (rows, columns), at least 0; it is scaled to a maximum of 1.
    """
    height, width = poster.shape[:2]
    resized = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    heat = resized / max(resized.max(), 1e-12)
    gray = poster.mean(axis=2, keepdims=True) / 255
    colors = colormaps["inferno"](heat)[..., :3]
    opacity = 0.75 * heat[..., None]
    return (255 * ((1 - opacity) * gray + opacity * colors)).round().astype(np.uint8)
