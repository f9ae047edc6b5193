"""The movies to train on, and their batches, read from the memory map on demand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from postergenres.dataset.store import Store
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    prior_of_counts,
    score_prior,
)
from postergenres.scores.predicted_genres import Thresholds
from postergenres.training.augmentation import Augmentation
from postergenres.training.devices import ONE_DEVICE, Devices

import keras
import numpy as np
from scipy.special import logit


@dataclass(frozen=True)
class Sample:
    """The movies to train on and to validate on, and what is known of them without any poster."""

    rows: np.ndarray  # of the store, to train on; a repeated row is seen again in each epoch
    val: np.ndarray  # rows of the store, to validate on
    val_labels: np.ndarray  # of these, (M, G)
    shares: np.ndarray  # (G,) share of the rows to train on in each genre
    prior_shift: np.ndarray  # (G,), moves logits from these shares to those of the val movies
    prior: np.ndarray  # (G,) genre shares of all training movies
    floor: dict[str, Any]  # scores of the prior on the validation movies

    def score(self, probabilities: np.ndarray) -> tuple[Thresholds, dict[str, Any]]:
        """Return thresholds and scores, beside their floor, of the validation movies, (M, G)."""
        thresholds = choose_thresholds(self.val_labels, probabilities)
        scores = compute_scores(self.val_labels, probabilities, thresholds)
        return thresholds, beside_floor(scores, self.floor)


def draw_sample(store: Store, rows: np.ndarray | None = None) -> Sample:
    """Return the sample of a store: each training row with its copies, or the rows given."""
    val = store.rows("val")
    if rows is None:
        train = store.rows("train")
        rows = np.repeat(train, store.index["copies"].iloc[train])
    val_labels, shares = store.labels[val], estimate_prior(store.labels[rows])
    prior = prior_of_counts(store.train_counts, store.train_movies)
    return Sample(
        rows=rows,
        val=val,
        val_labels=val_labels,
        shares=shares,
        prior_shift=logit(estimate_prior(val_labels)) - logit(shares),
        prior=prior,
        floor=score_prior(prior, val_labels),
    )


# --- batches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shuffle:
    """In each epoch the posters have a new order and are changed, both drawn with the seed."""

    seed: int
    augmentation: Augmentation = Augmentation()


class Batches(keras.utils.PyDataset):
    """Batches of posters and targets.

    A batch depends only on the seed, the epoch and its number, so that a resumed training sees the
    same batches as one that was never stopped.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped.
        targets: {output: float32 (N, ...)}.
        rows: row numbers of both; a repeated row is seen again in each epoch.
        batch_size: in posters; the last batch may be smaller.
        shuffle: None keeps the order and the posters unchanged.
        devices: those that share each batch. All of them need a share of the last batch: shuffled,
            a few random rows of each epoch are left out; in order, a few rows are repeated, and
            sample weights remove the repeats from the mean loss. Each host draws the whole batch
            and returns its part, so that the batch does not depend on the number of hosts.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: dict[str, np.ndarray],
        rows: np.ndarray,
        batch_size: int,
        shuffle: Shuffle | None = None,
        devices: Devices = ONE_DEVICE,
    ) -> None:
        super().__init__()
        self.images, self.targets, self.rows = images, targets, rows
        self.batch_size, self.shuffle, self.devices = batch_size, shuffle, devices
        self.weights = None
        self.count = len(rows) - len(rows) % devices.count
        if shuffle is None and self.count < len(rows):
            self.count += devices.count
            self.rows = np.resize(rows, self.count)  # repeats the first rows
            self.weights = np.zeros(self.count, np.float32)
            self.weights[: len(rows)] = self.count / len(rows)
        self.start(epoch=0)

    def start(self, epoch: int) -> None:
        """Draw the order of the rows for an epoch, counted from 0."""
        self.epoch, self.order = epoch, self.rows
        if self.shuffle:
            order = np.random.default_rng((self.shuffle.seed, epoch)).permutation(self.rows)
            self.order = order[: self.count]

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        batch = slice(number * self.batch_size, (number + 1) * self.batch_size)
        rows = self.order[batch]
        images = self.images[rows]
        if self.shuffle:
            rng = np.random.default_rng((self.shuffle.seed, self.epoch, number))
            images = self.shuffle.augmentation.apply(images, rng)
        rank, hosts = self.devices.rank, self.devices.hosts
        part = slice(rank * len(rows) // hosts, (rank + 1) * len(rows) // hosts)
        targets = {name: values[rows[part]] for name, values in self.targets.items()}
        if self.weights is None:
            return images[part], targets
        return images[part], targets, self.weights[batch][part]


def feed(batches: Batches) -> Any:
    """Return what `fit` gets: on TensorFlow a dataset that prepares two batches during a step.

    Keras would make a dataset with TensorFlow's autotuning, which sleeps after each epoch, for 7 s
    after an epoch of 13 s: the end of its thread waits for a timer whose period doubles.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf  # here, because JAX trains without it

    def describe(array: np.ndarray) -> Any:
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    def generate() -> Iterator[tuple[Any, ...]]:
        return (batches[number] for number in range(len(batches)))

    signature = tf.nest.map_structure(describe, batches[0])
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return dataset.with_options(options)
