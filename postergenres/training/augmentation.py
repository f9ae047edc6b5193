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
    corners = rng.integers(0, (2 * down, 2 * right), size=(count, 2), endpoint=True)
    mirrored = rng.random(count) < 0.5
    augmented = np.empty_like(images)
    pixels, target = view_pixels(images), view_pixels(augmented)
    for i, (top, left) in enumerate(corners - (down, right)):
        shift_pixels(pixels[i], target[i, :, ::-1] if mirrored[i] else target[i], top, left)
    return augmented


def view_pixels(images):
    """Return uint8 (N, H, W, 3) as (N, H, W) of whole pixels, which are faster to copy."""
    return np.ascontiguousarray(images).view("V3")[..., 0]


def shift_pixels(pixels, target, top, left):
    """Copy pixels up by `top` and to the left by `left`; the edge pixels fill the gap.

    Args:
        pixels, target: (H, W) of whole pixels, to read and to write.
        top, left: whole numbers, negative to move down and to the right.
    """
    height, width = pixels.shape
    top = min(max(top, 1 - height), height - 1)  # a larger shift leaves only the edge, too
    left = min(max(left, 1 - width), width - 1)
    part = pixels[max(top, 0) : height + min(top, 0), max(left, 0) : width + min(left, 0)]
    first_row, first_column = max(-top, 0), max(-left, 0)
    end_row, end_column = first_row + part.shape[0], first_column + part.shape[1]
    rows = target[first_row:end_row]
    rows[:, first_column:end_column] = part
    rows[:, :first_column] = part[:, :1]
    rows[:, end_column:] = part[:, -1:]
    target[:first_row] = target[first_row]
    target[end_row:] = target[end_row - 1]


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
    changed = np.empty_like(images)
    for i, tables in enumerate(draw_tables(len(images), most, rng)):
        for channel, table in enumerate(tables):
            # "clip" spares a check of each index: all bytes are in the table.
            changed[i, ..., channel] = table.take(images[i, ..., channel], mode="clip")
    return changed


def draw_tables(count, most, rng):
    """Draw for each poster and channel the new value of each value: uint8 (count, 3, 256).

    Args:
        count: number of posters.
        most, rng: see `change_colours`.
    """
    limits = most * np.array([1, 1, 0.5, 0.5, 0.5])  # contrast, brightness, three channels
    low, high = 1 - limits, 1 + limits
    draws = low + (high - low) * rng.random((count, 5))
    contrast, brightness = draws[:, 0, None, None], draws[:, 1, None, None]
    tables = ((np.arange(256.0) - 127) * contrast + 127) * brightness * draws[:, 2:, None]
    return tables.clip(0, 255).round().astype(np.uint8)
