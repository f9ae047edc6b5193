from postergenres.dataset.store import open_store
from postergenres.scores.metrics import estimate_prior
from postergenres.training import input
from postergenres.training.augmentation import Augmentation
from postergenres.training.devices import Devices

import numpy as np
import pytest
from scipy.special import expit, logit

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 20, 12, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (50, 3)).astype(np.float32)
TARGETS = {"genres": LABELS}
ROWS = np.arange(50)


@pytest.fixture
def store(pipeline):
    return open_store(pipeline.data)


def test_the_sample_repeats_training_rows_by_their_copies(store):
    sample = input.draw_sample(store)
    rows, counts = np.unique(sample.rows, return_counts=True)
    np.testing.assert_array_equal(rows, store.rows("train"))
    np.testing.assert_array_equal(counts, store.index["copies"].iloc[rows])
    np.testing.assert_array_equal(sample.val, store.rows("val"))
    np.testing.assert_array_equal(sample.val_labels, store.labels[sample.val])


def test_the_prior_shift_turns_the_prior_of_the_sample_into_that_of_validation(store):
    rows = np.repeat(store.rows("train")[:20], 3)
    sample = input.draw_sample(store, rows)
    assert sample.rows is rows
    shifted = expit(logit(estimate_prior(store.labels[rows])) + sample.prior_shift)
    np.testing.assert_allclose(shifted, estimate_prior(sample.val_labels))


def test_the_floor_is_the_prior_of_all_training_movies(store):
    """It does not depend on the movies of the sample."""
    sample, other = input.draw_sample(store), input.draw_sample(store, store.rows("train")[:20])
    np.testing.assert_allclose(sample.prior, (store.train_counts + 0.5) / (store.train_movies + 1))
    _, scores = sample.score(np.tile(sample.prior, (len(sample.val), 1)))
    assert all(row["score"] == row["floor"] for name, row in scores.items() if name != "mAP")
    assert other.floor["mAP"] == sample.floor["mAP"]


def shuffled(seed=0, **augmentation):
    return input.Shuffle(seed, Augmentation(**augmentation))


def draw(shuffle, epoch=0):
    """Return the images and the targets of all batches of an epoch, concatenated."""
    source = input.Batches(IMAGES, TARGETS, ROWS, 16, shuffle)
    source.start(epoch)
    images, targets = zip(*(source[i] for i in range(len(source))), strict=True)
    return np.concatenate(images), np.concatenate([target["genres"] for target in targets])


def test_without_a_seed_rows_and_posters_stay_unchanged():
    images, labels = draw(None)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_each_row_is_seen_as_often_as_it_is_listed_in_a_new_order_each_epoch():
    rows = np.repeat(np.arange(50), 2)
    orders = []
    for epoch in range(2):
        source = input.Batches(IMAGES, TARGETS, rows, 16, shuffled())
        source.start(epoch)
        orders.append(source.order)
        assert sorted(source.order) == sorted(rows)
        assert sum(len(source[i][0]) for i in range(len(source))) == 100
    assert (orders[0] != orders[1]).any()


def test_several_devices_share_every_batch():
    """Three devices share 48 of 50 posters; each epoch leaves out two others."""
    left_out = []
    for epoch in range(2):
        source = input.Batches(IMAGES, TARGETS, ROWS, 12, shuffled(), Devices(3))
        source.start(epoch)
        assert [len(source[i][0]) for i in range(len(source))] == [12] * 4
        left_out.append(set(range(50)) - set(source.order))
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize("shuffle", [None, shuffled(shift=0.2, crop=0.2, color=0.2)])
def test_the_parts_of_several_hosts_make_up_the_batch_of_one(shuffle):
    def open_batches(devices):
        return input.Batches(IMAGES, TARGETS, np.arange(48), 12, shuffle, devices)

    whole = open_batches(Devices())
    parts = [open_batches(Devices(6, hosts=3, rank=rank)) for rank in range(3)]
    for number in range(len(whole)):
        images, targets = whole[number]
        pieces, genres = zip(*(part[number] for part in parts), strict=True)
        assert [len(piece) for piece in pieces] == [4, 4, 4]
        np.testing.assert_array_equal(np.concatenate(pieces), images)
        genres = np.concatenate([piece["genres"] for piece in genres])
        np.testing.assert_array_equal(genres, targets["genres"])


def test_repeated_validation_rows_do_not_count_in_the_loss():
    """The weighted mean over all batches equals the mean over the 50 posters."""
    source = input.Batches(IMAGES, TARGETS, ROWS, 16, devices=Devices(8))
    images, targets, weights = zip(*(source[i] for i in range(len(source))), strict=True)
    assert [len(batch) for batch in images] == [16, 16, 16, 8]
    weights, labels = np.concatenate(weights), np.concatenate([x["genres"] for x in targets])
    assert (weights[50:] == 0).all() and len(set(weights[:50])) == 1
    np.testing.assert_array_equal(labels[:50], LABELS)
    assert (labels[:, 0] * weights).mean() == pytest.approx(LABELS[:, 0].mean())


def test_an_epoch_depends_only_on_its_number_and_the_seed():
    before = draw(shuffled(shift=0.2), epoch=3)
    for one, other in zip(before, draw(shuffled(shift=0.2), epoch=3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (before[0] != draw(shuffled(shift=0.2), epoch=4)[0]).any()
    assert (before[0] != draw(shuffled(seed=1, shift=0.2), epoch=3)[0]).any()


def test_targets_and_posters_stay_together():
    """All pixels of a poster have the number of its row as their value."""
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 6, 3), np.uint8)
    source = input.Batches(images, TARGETS, ROWS, 16, shuffled(shift=0.3))
    for number in range(len(source)):
        posters, targets = source[number]
        np.testing.assert_array_equal(targets["genres"], LABELS[posters[:, 0, 0, 0]])


def test_crop_and_color_do_not_change_the_random_shift():
    def first_batch(crop, color):
        shuffle = shuffled(shift=0.1, crop=crop, color=color)
        return input.Batches(IMAGES, TARGETS, ROWS, 16, shuffle)[1][0]

    plain = first_batch(0, 0).astype(int)
    assert np.abs(first_batch(1e-6, 1e-6) - plain).max() <= 1
    assert (np.abs(first_batch(0, 0.3) - plain).max(axis=(1, 2, 3)) > 10).all()
    for settings in ((0.3, 0), (0, 0.3)):
        np.testing.assert_array_equal(first_batch(*settings), first_batch(*settings))


@pytest.mark.parametrize("shuffle, devices", [(shuffled(shift=0.2), 1), (None, 8)])
def test_the_dataset_for_keras_has_the_batches_of_each_epoch(shuffle, devices):
    """With eight devices and a fixed order, sample weights are part of each batch."""
    source = input.Batches(IMAGES, TARGETS, ROWS, 16, shuffle, Devices(devices))
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
