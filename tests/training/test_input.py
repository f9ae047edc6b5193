from postergenres.training import input

import numpy as np
import pytest

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 20, 12, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (50, 3)).astype(np.float32)


def draw(seed=0, shift=0.0, epoch=0):
    """Return the images and the targets of all batches of an epoch, concatenated."""
    source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 16, seed, shift)
    source.start(epoch)
    images, targets = zip(*(source[i] for i in range(len(source))), strict=True)
    return np.concatenate(images), np.concatenate([target["genres"] for target in targets])


def test_without_a_seed_rows_and_posters_stay_unchanged():
    images, labels = draw(seed=None, shift=0.5)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_each_row_is_seen_as_often_as_it_is_listed_in_a_new_order_each_epoch():
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
    """Three devices share 48 of 50 posters; each epoch leaves out two others."""
    left_out = []
    for epoch in range(2):
        source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 12, seed=0, devices=3)
        source.start(epoch)
        assert [len(source[i][0]) for i in range(len(source))] == [12] * 4
        left_out.append(set(range(50)) - set(source.order))
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize("seed", [None, 0])
def test_the_parts_of_several_processes_make_up_the_batch_of_one(seed):
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


def test_repeated_validation_rows_do_not_count_in_the_loss():
    """The weighted mean over all batches equals the mean over the 50 posters."""
    source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 16, devices=8)
    images, targets, weights = zip(*(source[i] for i in range(len(source))), strict=True)
    assert [len(batch) for batch in images] == [16, 16, 16, 8]
    weights, labels = np.concatenate(weights), np.concatenate([x["genres"] for x in targets])
    assert (weights[50:] == 0).all() and len(set(weights[:50])) == 1
    np.testing.assert_array_equal(labels[:50], LABELS)
    assert (labels[:, 0] * weights).mean() == pytest.approx(LABELS[:, 0].mean())


def test_an_epoch_depends_only_on_its_number_and_the_seed():
    before = draw(shift=0.2, epoch=3)
    for one, other in zip(before, draw(shift=0.2, epoch=3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (before[0] != draw(shift=0.2, epoch=4)[0]).any()
    assert (before[0] != draw(shift=0.2, seed=1, epoch=3)[0]).any()


def test_targets_and_posters_stay_together():
    """All pixels of a poster have the number of its row as their value."""
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 6, 3), np.uint8)
    source = input.Batches(images, {"genres": LABELS}, np.arange(50), 16, seed=0, shift=0.3)
    for number in range(len(source)):
        posters, targets = source[number]
        np.testing.assert_array_equal(targets["genres"], LABELS[posters[:, 0, 0, 0]])


def test_crop_and_colour_do_not_change_the_random_shift():
    def first_batch(crop, colour):
        targets = {"genres": LABELS}
        return input.Batches(IMAGES, targets, np.arange(50), 16, 0, 0.1, crop, colour)[1][0]

    plain = first_batch(0, 0).astype(int)
    assert np.abs(first_batch(1e-6, 1e-6) - plain).max() <= 1
    assert (np.abs(first_batch(0, 0.3) - plain).max(axis=(1, 2, 3)) > 10).all()
    for settings in ((0.3, 0), (0, 0.3)):
        np.testing.assert_array_equal(first_batch(*settings), first_batch(*settings))


@pytest.mark.parametrize("seed, devices", [(0, 1), (None, 8)])
def test_the_dataset_for_keras_has_the_batches_of_each_epoch(seed, devices):
    """With eight devices and no seed, sample weights are part of each batch."""
    source = input.Batches(
        IMAGES, {"genres": LABELS}, np.arange(50), 16, seed, 0.2, devices=devices
    )
    dataset = input.feed(source)
    assert dataset.cardinality() == len(source) == 4
    assert not dataset.options().autotune.enabled
    for epoch in (0, 3):
        source.start(epoch)
        fed = list(dataset.as_numpy_iterator())
        for number, batch in enumerate(fed):
            expected = source[number]
            assert len(batch) == len(expected) == (2 if devices == 1 else 3)
            np.testing.assert_array_equal(batch[0], expected[0])
            np.testing.assert_array_equal(batch[1]["genres"], expected[1]["genres"])
            if devices > 1:
                np.testing.assert_array_equal(batch[2], expected[2])


def test_only_tensorflow_needs_a_dataset(monkeypatch):
    source = input.Batches(IMAGES, {"genres": LABELS}, np.arange(50), 16)
    monkeypatch.setattr(input.keras.backend, "backend", lambda: "jax")
    assert input.feed(source) is source
