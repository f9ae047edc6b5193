"""Change batches of posters at random: uint8 (N, H, W, 3) in and out, never in place."""

from dataclasses import dataclass

from postergenres.models.transfer import BACKBONES

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Augmentation:
    """How much each poster is changed, as shares: see the functions below."""

    shift: float = 0.0
    crop: float = 0.0
    color: float = 0.0

    def apply(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the posters of a batch, changed at random."""
        images = mirror_and_shift(images, self.shift, rng)
        if self.crop:
            images = crop_at_random(images, self.crop, rng)
        if self.color:
            images = change_colors(images, self.color, rng)
        return images


def make_augmentation(
    architecture: str,
    shift: float,
    crop: float | None = None,
    color: float | None = None,
) -> Augmentation:
    """Return the augmentation of a network; None is the default of its architecture."""
    usual_crop, usual_color = (0.3, 0.2) if architecture in BACKBONES else (0.0, 0.0)
    return Augmentation(
        shift=shift,
        crop=usual_crop if crop is None else crop,
        color=usual_color if color is None else color,
    )


def mirror_and_shift(images: np.ndarray, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Mirror a random half of the posters and shift each; its edge pixels fill the gap.

    `shift` is the largest shift in either direction, as a share of H and W.
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


def view_pixels(images: np.ndarray) -> np.ndarray:
    """Return uint8 (N, H, W, 3) as (N, H, W) of whole pixels, which are faster to copy."""
    return np.ascontiguousarray(images).view("V3")[..., 0]


def shift_pixels(pixels: np.ndarray, target: np.ndarray, top: int, left: int) -> None:
    """Copy pixels, (H, W), up by `top` and to the left by `left`; the edge pixels fill the gap."""
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


def crop_at_random(images: np.ndarray, crop: float, rng: np.random.Generator) -> np.ndarray:
    """Crop each poster at random and resize all crops to one size, their mean size.

    Objects then have the same mean size as on whole posters. Source: Touvron et al. 2019, Fixing
    the train-test resolution discrepancy. `crop` is the largest part that is cut off, as a share of
    H and W; the crops have 1 - crop / 2 times H and W.
    """
    whole = np.array(images.shape[2:0:-1])  # width, height
    size = np.rint(whole * (1 - crop / 2)).astype(int)
    cropped = np.empty((len(images), size[1], size[0], 3), np.uint8)
    for i, image in enumerate(images):
        part = rng.uniform(1 - crop, 1, size=2) * whole
        corner = rng.uniform(0, whole - part)
        box = (*corner, *np.minimum(corner + part, whole))
        resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=box)
        cropped[i] = np.asarray(resized)
    return cropped


def change_colors(images: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Change the contrast and brightness of each poster, and the brightness of each channel.

    `most` is the largest change of the contrast and of the brightness, as a share. The brightness
    of single channels changes by up to half of it.
    """
    changed = np.empty_like(images)
    for i, tables in enumerate(draw_tables(len(images), most, rng)):
        for channel, table in enumerate(tables):
            # "clip" spares a check of each index: all bytes are in the table.
            changed[i, ..., channel] = table.take(images[i, ..., channel], mode="clip")
    return changed


def draw_tables(count: int, most: float, rng: np.random.Generator) -> np.ndarray:
    """Draw for each poster and channel the new value of each value: uint8 (count, 3, 256)."""
    limits = most * np.array([1, 1, 0.5, 0.5, 0.5])  # contrast, brightness, three channels
    low, high = 1 - limits, 1 + limits
    draws = low + (high - low) * rng.random((count, 5))
    contrast, brightness = draws[:, 0, None, None], draws[:, 1, None, None]
    tables = ((np.arange(256.0) - 127) * contrast + 127) * brightness * draws[:, 2:, None]
    return tables.clip(0, 255).round().astype(np.uint8)
