"""Batches of posters and targets, read from the memory map on demand."""

from postergenres.training.augmentation import change_colours, crop_at_random, mirror_and_shift

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Batches of posters and targets; with a seed they are shuffled each epoch and augmented.

    A batch depends only on the seed, the epoch and its number, so that a resumed training sees the
    same batches as one that was never stopped.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped.
        targets: {output: float32 (N, ...)}.
        rows: row numbers of both; a repeated row is seen again in each epoch.
        batch_size: posters per batch; the last batch may be smaller.
        seed: of the order and the augmentation; None keeps the order and the posters unchanged.
        shift: the largest shift of a poster, as a share of its height and width.
        crop: the largest part of its height and width that is cut off: see `crop_at_random`.
        colour: the largest change of contrast and brightness, as a share: see `change_colours`.
        devices: how many devices share each batch. All of them need a share of the last batch:
            with a seed a few random rows of each epoch are left out; without a seed a few rows are
            repeated, and sample weights remove the repeats from the mean loss.
        part: (index, count): the part of each batch to return, of so many. The whole batch is
            drawn and augmented for each part, so that it does not depend on their count.
    """

    def __init__(
        self,
        images,
        targets,
        rows,
        batch_size,
        seed=None,
        shift=0.0,
        crop=0.0,
        colour=0.0,
        devices=1,
        part=(0, 1),
    ):
        super().__init__()
        self.images, self.targets, self.rows = images, targets, rows
        self.batch_size, self.seed, self.part = batch_size, seed, part
        self.shift, self.crop, self.colour = shift, crop, colour
        self.weights = None
        self.count = len(rows) - len(rows) % devices
        if seed is None and self.count < len(rows):
            self.count += devices
            self.rows = np.resize(rows, self.count)  # repeats the first rows
            self.weights = np.zeros(self.count, np.float32)
            self.weights[: len(rows)] = self.count / len(rows)
        self.start(epoch=0)

    def start(self, epoch):
        """Draw the order of the rows for an epoch, counted from 0."""
        self.epoch, self.order = epoch, self.rows
        if self.seed is not None:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            self.order = order[: self.count]

    def __len__(self):
        return -(-self.count // self.batch_size)

    def __getitem__(self, number):
        batch = slice(number * self.batch_size, (number + 1) * self.batch_size)
        rows = self.order[batch]
        images = self.images[rows]
        if self.seed is not None:
            images = self.augment(images, np.random.default_rng((self.seed, self.epoch, number)))
        index, parts = self.part
        part = slice(index * len(rows) // parts, (index + 1) * len(rows) // parts)
        targets = {name: values[rows[part]] for name, values in self.targets.items()}
        if self.weights is None:
            return images[part], targets
        return images[part], targets, self.weights[batch][part]

    def augment(self, images, rng):
        """Return the posters of a batch, uint8 (B, H, W, 3), augmented with draws from `rng`."""
        images = mirror_and_shift(images, self.shift, rng)
        if self.crop:
            images = crop_at_random(images, self.crop, rng)
        if self.colour:
            images = change_colours(images, self.colour, rng)
        return images


def feed(batches):
    """Return what `fit` gets: on TensorFlow a dataset that prepares two batches during a step.

    Keras would make a dataset with TensorFlow's autotuning, which sleeps after each epoch, for 7 s
    after an epoch of 13 s: the end of its thread waits for a timer whose period doubles.

    Args:
        batches: `Batches`.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf  # here, because JAX trains without it

    def describe(array):
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    def generate():
        return (batches[number] for number in range(len(batches)))

    signature = tf.nest.map_structure(describe, batches[0])
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return dataset.with_options(options)
