import numpy as np
import pytest

from postergenres.training import augmentation, input

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 20, 12, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (50, 3)).astype(np.float32)


def generator():
    return np.random.default_rng(0)


def draw(seed=0, shift=0.0, epoch=0):
    """All batches of an epoch: their images and their targets, one after the other."""
    source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 16, seed, shift)
    source.start(epoch)
    images, targets = zip(*(source[i] for i in range(len(source))), strict=True)
    return np.concatenate(images), np.concatenate([target["genres"] for target in targets])


def test_without_a_seed_the_rows_come_as_they_are():
    images, labels = draw(seed=None, shift=0.5)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_each_row_comes_as_often_as_it_is_named_in_a_new_order_each_epoch():
    rows = np.repeat(np.arange(50), 2)
    orders = []
    for epoch in range(2):
        source = input.Batches(IMAGES, {"genres": LABELS}, rows, 16, seed=0)
        source.start(epoch)
        orders.append(source.order)
        assert sorted(source.order) == sorted(rows)
        assert sum(len(source[i][0]) for i in range(len(source))) == 100
    assert (orders[0] != orders[1]).any()


def test_several_devices_share_every_batch():
    """Of 50 posters, 48 make whole shares for three of them; other ones each epoch."""
    left_out = []
    for epoch in range(2):
        source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 12, seed=0, devices=3)
        source.start(epoch)
        assert [len(source[i][0]) for i in range(len(source))] == [12] * 4
        left_out.append(set(range(50)) - set(source.order))
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize("seed", [None, 0])
def test_the_parts_of_several_processes_are_the_batch_of_one(seed):
    def open_batches(devices, part):
        settings = {"shift": 0.2, "crop": 0.2, "colour": 0.2, "devices": devices, "part": part}
        return input.Batches(IMAGES, {"genres": LABELS}, np.arange(48), 12, seed, **settings)

    whole = open_batches(1, (0, 1))
    parts = [open_batches(6, (index, 3)) for index in range(3)]
    for number in range(len(whole)):
        images, targets = whole[number]
        pieces, genres = zip(*(part[number] for part in parts), strict=True)
        assert [len(piece) for piece in pieces] == [4, 4, 4]
        np.testing.assert_array_equal(np.concatenate(pieces), images)
        genres = np.concatenate([piece["genres"] for piece in genres])
        np.testing.assert_array_equal(genres, targets["genres"])


def test_repeats_that_make_whole_shares_do_not_count_in_validation():
    """The mean of a loss with these weights, over all batches, is that over the 50 posters."""
    source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 16, devices=8)
    images, targets, weights = zip(*(source[i] for i in range(len(source))), strict=True)
    assert [len(batch) for batch in images] == [16, 16, 16, 8]
    weights, labels = np.concatenate(weights), np.concatenate([x["genres"] for x in targets])
    assert (weights[50:] == 0).all() and len(set(weights[:50])) == 1
    np.testing.assert_array_equal(labels[:50], LABELS)
    assert (labels[:, 0] * weights).mean() == pytest.approx(LABELS[:, 0].mean())


def test_an_epoch_depends_on_its_number_and_the_seed_alone():
    before = draw(shift=0.2, epoch=3)
    for one, other in zip(before, draw(shift=0.2, epoch=3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (before[0] != draw(shift=0.2, epoch=4)[0]).any()
    assert (before[0] != draw(shift=0.2, seed=1, epoch=3)[0]).any()


def test_the_targets_go_with_the_posters():
    """Each poster of one colour, which tells its row."""
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 6, 3), np.uint8)
    source = input.Batches(images, {"genres": LABELS}, np.arange(50), 16, seed=0, shift=0.3)
    for number in range(len(source)):
        posters, targets = source[number]
        np.testing.assert_array_equal(targets["genres"], LABELS[posters[:, 0, 0, 0]])


def test_half_of_the_posters_are_mirrored():
    augmented = augmentation.mirror_and_shift(
        np.tile(IMAGES[:1], (400, 1, 1, 1)), shift=0, rng=generator()
    )
    mirrored = (augmented == IMAGES[0][:, ::-1]).all(axis=(1, 2, 3))
    assert ((augmented == IMAGES[0]).all(axis=(1, 2, 3)) | mirrored).all()
    assert 140 < mirrored.sum() < 260


@pytest.mark.parametrize("shift", [0.05, 0.25])
def test_posters_are_shifted_up_to_the_limit_and_edges_fill_the_gap(shift):
    """The value of a pixel is its row: a shift by 3 shows as rows 3 4 5 or 0 0 0 0 1 2."""
    rows = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 10, 3), np.uint8)
    augmented = augmentation.mirror_and_shift(np.tile(rows, (300, 1, 1, 1)), shift, rng=generator())
    middle = augmented[:, 20, 5, 0].astype(int) - 20
    assert middle.min() == -round(40 * shift) and middle.max() == round(40 * shift)
    for poster, move in zip(augmented[:, :, 0, 0], middle, strict=True):
        np.testing.assert_array_equal(poster, np.clip(np.arange(40) + move, 0, 39))


def test_crops_are_parts_of_the_poster_scaled_to_their_mean_size():
    """Rows and columns are numbered: what is left of them goes on in even steps."""
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


def test_colours_change_within_the_limit():
    grey = np.full((300, 4, 3, 3), 127, np.uint8)
    changed = augmentation.change_colours(grey, 0.2, generator()).astype(int)
    assert (changed == changed[:, :1, :1]).all()  # of a poster of one colour, another one
    assert 127 * 0.8 * 0.9 - 1 <= changed.min() < 110 and 145 < changed.max() <= 127 * 1.2 * 1.1 + 1
    assert (changed[:, 0, 0, 0] != changed[:, 0, 0, 1]).any()
    extremes = np.array([0, 255], np.uint8).repeat(36).reshape(6, 4, 3, 1) * np.ones(3, np.uint8)
    changed = augmentation.change_colours(extremes, 0.5, generator()).astype(int)
    assert changed[:3].max() < 128 < changed[3:].min() + 64  # clipped, and no number wraps round


def test_crop_and_colour_come_on_top_of_what_is_drawn_without_them():
    def first_batch(crop, colour):
        targets = {"genres": LABELS}
        return input.Batches(IMAGES, targets, np.arange(50), 16, 0, 0.1, crop, colour)[1][0]

    plain = first_batch(0, 0).astype(int)
    assert np.abs(first_batch(1e-6, 1e-6) - plain).max() <= 1
    assert (np.abs(first_batch(0, 0.3) - plain).max(axis=(1, 2, 3)) > 10).all()
    for settings in ((0.3, 0), (0, 0.3)):
        np.testing.assert_array_equal(first_batch(*settings), first_batch(*settings))
