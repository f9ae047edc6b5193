"""Augment batches of posters."""

import numpy as np
from PIL import Image


def mirror_and_shift(images, shift, rng):
    """Mirror a random half of the posters and shift each; its edge pixels fill the gap.

    Args:
        images: uint8 (N, H, W, 3).
        shift: the largest shift in either direction, as a share of H and W.
        rng: a NumPy generator.

    Returns:
        uint8 (N, H, W, 3), a copy.
    """
    count, height, width = images.shape[:3]
    down, right = round(height * shift), round(width * shift)
    padded = np.pad(images, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
    corners = rng.integers(0, (2 * down, 2 * right), size=(count, 2), endpoint=True)
    mirrored = rng.random(count) < 0.5
    augmented = np.empty_like(images)
    for i, (top, left) in enumerate(corners):
        cut = padded[i, top : top + height, left : left + width]
        augmented[i] = cut[:, ::-1] if mirrored[i] else cut
    return augmented


def crop_at_random(images, crop, rng):
    """Crop each poster at random and resize all crops to one size, their mean size.

    Objects then have the same mean size as on whole posters. Source: Touvron et al. 2019, Fixing
    the train-test resolution discrepancy.

    Args:
        images: uint8 (N, H, W, 3).
        crop: the largest part that is cut off, as a share of H and W.
        rng: a NumPy generator.

    Returns:
        uint8 (N, h, w, 3), with h and w of 1 - crop / 2 times H and W.
    """
    whole = np.array(images.shape[2:0:-1])  # width, height
    size = np.rint(whole * (1 - crop / 2)).astype(int)
    cropped = np.empty((len(images), size[1], size[0], 3), np.uint8)
    for i, image in enumerate(images):
        part = rng.uniform(1 - crop, 1, size=2) * whole
        corner = rng.uniform(0, whole - part)
        box = (*corner, *np.minimum(corner + part, whole))
        cropped[i] = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=box)
    return cropped


def change_colours(images, most, rng):
    """Change the contrast and brightness of each poster, and the brightness of each channel.

    Args:
        images: uint8 (N, H, W, 3).
        most: the largest change of the contrast and of the brightness, as a share. The brightness
            of single channels changes by up to half of it.
        rng: a NumPy generator.

    Returns:
        uint8 (N, H, W, 3), a copy.
    """
    values = np.arange(256.0)[:, None]
    changed = np.empty_like(images)
    for i, image in enumerate(images):
        contrast, brightness = rng.uniform(1 - most, 1 + most, size=(2, 1))
        channels = rng.uniform(1 - most / 2, 1 + most / 2, size=3)
        table = ((values - 127) * contrast + 127) * brightness * channels
        table = table.clip(0, 255).round().astype(np.uint8)
        for channel in range(3):
            changed[i, ..., channel] = table[image[..., channel], channel]
    return changed
