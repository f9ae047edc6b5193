"""Batches of posters and targets, read from the memory map when they are needed."""

import keras
import numpy as np

from postergenres.training.augmentation import change_colours, crop_at_random, mirror_and_shift


class Batches(keras.utils.PyDataset):
    """Batches of posters and targets; in training in a new order each epoch, and augmented.

    A batch depends on the seed, the epoch and its number alone, so that a training that was stopped
    goes on as if it had not been. On TensorFlow Keras makes the next batches while a step is
    computed.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped.
        targets: {name of an output: float32 (N, ...)}.
        rows: row numbers of both; a repeated row is seen again in each epoch.
        batch_size: posters per batch; the last one may be smaller.
        seed: of the order and the augmentation; None keeps the order and the posters as they are.
        shift: how far a poster may be shifted, as a share of its height and width.
        crop: how much of its height and width may be cut off: see `crop_at_random`.
        colour: how far its contrast and the brightness of each channel may change, as a share.
        devices: that share the batches. Each needs its part of the last batch, too: in training
            some of the rows, other ones each epoch, may be left out; without a seed some are
            repeated, and a batch has weights, which leave the repeats out of the mean loss.
        part: of each batch that is to be returned: (its number, number of parts). All of a batch is
            drawn and augmented for any of them, so that it does not depend on their number.
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
            self.rows = np.resize(rows, self.count)  # begins again where it ends
            self.weights = np.zeros(self.count, np.float32)
            self.weights[: len(rows)] = self.count / len(rows)
        self.start(epoch=0)

    def start(self, epoch):
        """Go to the start of an epoch, counted from 0."""
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
            rng = np.random.default_rng((self.seed, self.epoch, number))
            images = mirror_and_shift(images, self.shift, rng)
            if self.crop:
                images = crop_at_random(images, self.crop, rng)
            if self.colour:
                images = change_colours(images, self.colour, rng)
        index, parts = self.part
        part = slice(index * len(rows) // parts, (index + 1) * len(rows) // parts)
        targets = {name: values[rows[part]] for name, values in self.targets.items()}
        if self.weights is None:
            return images[part], targets
        return images[part], targets, self.weights[batch][part]
