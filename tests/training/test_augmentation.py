from postergenres.training import augmentation

import numpy as np
import pytest

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 20, 12, 3), dtype=np.uint8)


def generator():
    return np.random.default_rng(0)


def test_about_half_of_the_posters_are_mirrored():
    augmented = augmentation.mirror_and_shift(
        np.tile(IMAGES[:1], (400, 1, 1, 1)), shift=0, rng=generator()
    )
    mirrored = (augmented == IMAGES[0][:, ::-1]).all(axis=(1, 2, 3))
    assert ((augmented == IMAGES[0]).all(axis=(1, 2, 3)) | mirrored).all()
    assert 140 < mirrored.sum() < 260


@pytest.mark.parametrize("shift", [0.05, 0.25])
def test_posters_are_shifted_up_to_the_limit_and_edge_pixels_fill_the_gap(shift):
    """Pixel values are row numbers: a shift by 3 gives rows 3 4 5 or 0 0 0 0 1 2."""
    rows = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 10, 3), np.uint8)
    augmented = augmentation.mirror_and_shift(np.tile(rows, (300, 1, 1, 1)), shift, rng=generator())
    middle = augmented[:, 20, 5, 0].astype(int) - 20
    assert middle.min() == -round(40 * shift) and middle.max() == round(40 * shift)
    for poster, move in zip(augmented[:, :, 0, 0], middle, strict=True):
        np.testing.assert_array_equal(poster, np.clip(np.arange(40) + move, 0, 39))


def test_crops_are_parts_of_the_poster_resized_to_their_mean_size():
    """Pixel values are row and column numbers, so that a crop has evenly spaced values."""
    rows = np.arange(0, 200, 2, dtype=np.uint8)[:, None] * np.ones((100, 60), np.uint8)
    columns = np.arange(60, dtype=np.uint8) * np.ones((100, 60), np.uint8)
    posters = np.tile(np.stack([rows, columns, rows], axis=2), (200, 1, 1, 1))
    cropped = augmentation.crop_at_random(posters, 0.4, generator()).astype(int)
    assert cropped.shape == (200, 80, 48, 3)
    heights = (cropped[:, -1, 24, 0] - cropped[:, 0, 24, 0]) / 198
    widths = (cropped[:, 40, -1, 1] - cropped[:, 40, 0, 1]) / 59
    for sizes in (heights, widths):
        assert 0.55 < sizes.min() < 0.65 and 0.93 < sizes.max() <= 1
    assert np.ptp(cropped[:, 0, 24, 0]) > 50 and np.ptp(cropped[:, 40, 0, 1]) > 15
    assert (np.diff(cropped[..., 0], axis=1) >= 0).all() and (cropped[..., 0].std(axis=2) < 1).all()


def test_colors_change_within_the_limit():
    gray = np.full((300, 4, 3, 3), 127, np.uint8)
    changed = augmentation.change_colors(gray, 0.2, generator()).astype(int)
    assert (changed == changed[:, :1, :1]).all()  # a poster of one color keeps one color
    assert 127 * 0.8 * 0.9 - 1 <= changed.min() < 110 and 145 < changed.max() <= 127 * 1.2 * 1.1 + 1
    assert (changed[:, 0, 0, 0] != changed[:, 0, 0, 1]).any()
    extremes = np.array([0, 255], np.uint8).repeat(36).reshape(6, 4, 3, 1) * np.ones(3, np.uint8)
    changed = augmentation.change_colors(extremes, 0.5, generator()).astype(int)
    assert (
        changed[:3].max() < 128 < changed[3:].min() + 64
    )  # values are clipped and do not wrap around


def test_each_poster_is_changed_by_draws_of_its_own_in_turn():
    """The draws of a batch are the draws for one poster after the other."""
    for change in (augmentation.change_colors, augmentation.crop_at_random):
        rng = generator()
        one_by_one = [change(IMAGES[i : i + 1], 0.3, rng) for i in range(len(IMAGES))]
        np.testing.assert_array_equal(
            np.concatenate(one_by_one), change(IMAGES, 0.3, rng=generator())
        )


def test_a_backbone_is_cropped_and_recolored_unless_the_settings_say_otherwise():
    made = augmentation.make_augmentation("efficientnet_lite2", shift=0.1, crop=None, color=0.0)
    assert made == augmentation.Augmentation(shift=0.1, crop=0.3, color=0.0)
    made = augmentation.make_augmentation("improved", shift=0.1, crop=None, color=None)
    assert made == augmentation.Augmentation(shift=0.1)


@pytest.mark.parametrize("shift", [0, 0.05, 0.3, 1])
def test_mirroring_and_shifting_equal_a_cut_out_of_the_padded_poster(shift):
    augmented = augmentation.mirror_and_shift(IMAGES, shift, generator())
    rng, (down, right) = generator(), (round(20 * shift), round(12 * shift))
    corners = rng.integers(0, (2 * down, 2 * right), size=(len(IMAGES), 2), endpoint=True)
    mirrored = rng.random(len(IMAGES)) < 0.5
    for i, (top, left) in enumerate(corners):
        padded = np.pad(IMAGES[i], ((down, down), (right, right), (0, 0)), mode="edge")
        cut = padded[top : top + 20, left : left + 12]
        np.testing.assert_array_equal(augmented[i], cut[:, ::-1] if mirrored[i] else cut)


def test_augmentation_leaves_the_posters_that_it_reads_unchanged():
    images = IMAGES.copy()
    images.flags.writeable = False  # as in a memory map
    augmentation.mirror_and_shift(images, 0.2, generator())
    augmentation.change_colors(images, 0.2, generator())
    np.testing.assert_array_equal(images, IMAGES)
