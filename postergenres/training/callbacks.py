"""Keras callbacks of the training."""

import time
from collections.abc import Iterable
from typing import Any

from postergenres.progress import show_progress
from postergenres.training.input import Batches

import keras
import numpy as np
from tqdm import tqdm

LINE_SECONDS = 120  # between two lines on the progress of an epoch, where there is no terminal
POSTERS = 1024  # to estimate the statistics of batch normalization from, after each epoch
Logs = Any  # of Keras: {name: loss}, or None


class Callback(keras.callbacks.Callback):
    """Keras' callback, whose stub knows no model."""

    model: keras.Model  # pyright: ignore[reportIncompatibleMethodOverride]


class EpochStart(Callback):
    """Seed the random draws of each epoch, batches and dropout, by the number of the epoch.

    A resumed training then draws the same numbers as one that was never stopped.
    """

    def __init__(self, batches: Batches, seed: int) -> None:
        super().__init__()
        self.batches, self.seed = batches, seed

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.batches.start(epoch)
        for number, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout):
                state = np.random.SeedSequence((self.seed, epoch, number)).generate_state(2)
                layer.seed_generator.state.assign(state)


class PriorShift(Callback):
    """Shift the output biases to the genre shares of the dataset during each validation.

    A network that is trained on an oversampled dataset predicts rare genres too often. Only with
    shifted biases can its loss be compared with the loss of the prior. Source: Saerens et al. 2002,
    Adjusting the Outputs of a Classifier to New a Priori Probabilities.
    """

    def __init__(self, shift: np.ndarray) -> None:
        super().__init__()
        self.shift = shift

    def on_test_begin(self, logs: Logs = None) -> None:
        self.bias = keras.ops.copy(self.model.get_layer("genres").bias)
        shift_priors(self.model, self.shift)

    def on_test_end(self, logs: Logs = None) -> None:
        self.model.get_layer("genres").bias.assign(self.bias)


def shift_priors(network: keras.Model, shift: np.ndarray) -> None:
    """Add `shift`, (G,), to the output biases of a network."""
    bias = network.get_layer("genres").bias
    bias.assign(bias + shift)


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Keep the moving average of the weights in the model from each validation to the next epoch.

    It comes before `PriorShift` in the list of callbacks, so that the shift is of the averaged
    biases. The callbacks of the end of an epoch then save and keep averaged weights; the last
    weights wait in the optimizer. Source: Polyak and Juditsky 1992, Acceleration of Stochastic
    Approximation by Averaging. `start` is the number of the first epoch of the stage, from 0;
    `batches` are those of the training.
    """

    model: keras.Model  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, start: int, batches: Batches) -> None:
        super().__init__()
        self.start, self.batches = start, batches

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if epoch > self.start:  # also if the training was resumed
            self._swap_variables()

    def on_test_begin(self, logs: Logs = None) -> None:
        self._swap_variables()
        rows = self.batches.order[:POSTERS]
        parts = np.array_split(rows, -(-len(rows) // self.batches.batch_size))
        estimate_statistics(self.model, (self.batches.images[part] for part in parts))

    def on_test_end(self, logs: Logs = None) -> None:
        pass  # the average stays

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        pass


def estimate_statistics(network: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Set the statistics of batch normalization to their means over batches of posters.

    During training they follow the weights of each step, to which averaged weights do not belong.
    Frozen layers keep theirs. Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima
    and Better Generalization.
    """
    kind = keras.layers.BatchNormalization
    layers = [x for x in network.layers if isinstance(x, kind) and x.trainable]
    momenta = [layer.momentum for layer in layers]
    for number, batch in enumerate(batches if layers else ()):
        for layer in layers:
            layer.momentum = number / (number + 1)  # the mean of all batches so far
        network(batch, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


class Progress(Callback):
    """Show the progress of each epoch, and after it a line with the time left for the others.

    There are `epochs` in all stages; `loss` is its name in Keras' logs, `floor` that of the prior.
    """

    def __init__(self, epochs: int, steps: int, loss: str, floor: float) -> None:
        super().__init__()
        self.epochs, self.steps, self.loss, self.floor = epochs, steps, loss, floor

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.start = time.perf_counter()
        self.name = f"epoch {epoch + 1}/{self.epochs}"
        self.bar = show_progress(self.steps, "step", self.name, seconds=LINE_SECONDS)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.bar.set_postfix(loss=f"{logs[self.loss]:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.bar.close()
        seconds = time.perf_counter() - self.start
        left = tqdm.format_interval((self.epochs - epoch - 1) * seconds)
        print(
            f"{self.name}  loss {logs[self.loss]:.4f}  validation loss "
            f"{logs[f'val_{self.loss}']:.4f} (floor {self.floor:.4f})  {seconds:.0f} s"
            + (f", {left} left" if epoch + 1 < self.epochs else ""),
            flush=True,
        )
