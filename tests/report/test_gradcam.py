from postergenres.report.gradcam import overlay

import numpy as np
from matplotlib import colormaps
from PIL import Image


def test_the_heat_map_is_scaled_to_the_poster_and_its_maximum_to_one():
    poster = np.full((40, 30, 3), 90, np.uint8)
    heat = np.array([[0, 2], [4, 8]], np.float32)
    shown = overlay(poster, heat)
    assert shown.shape == (40, 30, 3) and shown.dtype == np.uint8
    scaled = np.asarray(Image.fromarray(heat / 8).resize((30, 40), Image.Resampling.BILINEAR))
    opacity = 0.75 * scaled[..., None]
    expected = (1 - opacity) * 90 + opacity * 255 * colormaps["inferno"](scaled)[..., :3]
    assert abs(shown - expected).max() <= 0.51
    assert abs(overlay(poster, 5 * heat).astype(int) - shown).max() <= 1


def test_a_poster_without_heat_becomes_gray():
    poster = np.full((40, 30, 3), (30, 60, 90), np.uint8)
    assert (overlay(poster, np.zeros((2, 2), np.float32)) == 60).all()
