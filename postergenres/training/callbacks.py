"""Keras callbacks of the training."""

import time

import keras
import numpy as np
from tqdm import tqdm


class EpochStart(keras.callbacks.Callback):
    """Seed the random draws of each epoch, batches and dropout, by the number of the epoch.

    A resumed training then draws the same numbers as one that was never stopped.

    Args:
        batches: `input.Batches` to train on.
        seed: a whole number.
    """

    def __init__(self, batches, seed):
        super().__init__()
        self.batches, self.seed = batches, seed

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start(epoch)
        for number, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout):
                state = np.random.SeedSequence((self.seed, epoch, number)).generate_state(2)
                layer.seed_generator.state.assign(state)


class PriorShift(keras.callbacks.Callback):
    """Shift the output biases to the genre shares of the dataset during each validation.

    A network that is trained on an oversampled dataset predicts rare genres too often. Only with
    shifted biases can its loss be compared with the loss of the prior. Source: Saerens et al. 2002,
    Adjusting the Outputs of a Classifier to New a Priori Probabilities.

    Args:
        shift: (G,) to add to the logits.
    """

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def on_test_begin(self, logs=None):
        self.bias = keras.ops.copy(self.model.get_layer("genres").bias)
        shift_priors(self.model, self.shift)

    def on_test_end(self, logs=None):
        self.model.get_layer("genres").bias.assign(self.bias)


def shift_priors(network, shift):
    """Add `shift`, (G,), to the output biases of a network."""
    bias = network.get_layer("genres").bias
    bias.assign(bias + shift)


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Keep the moving average of the weights in the model from each validation to the next epoch.

    It comes before `PriorShift` in the list of callbacks, so that the shift is of the averaged
    biases. The callbacks of the end of an epoch then save and keep averaged weights; the last
    weights wait in the optimizer. Source: Polyak and Juditsky 1992, Acceleration of Stochastic
    Approximation by Averaging.

    Args:
        start: number of the first epoch of the stage, from 0.
    """

    def __init__(self, start):
        super().__init__()
        self.start = start

    def on_epoch_begin(self, epoch, logs=None):
        if epoch > self.start:  # also if the training was resumed
            self._swap_variables()

    def on_test_begin(self, logs=None):
        self._swap_variables()

    def on_test_end(self, logs=None):
        pass  # the average stays

    def on_epoch_end(self, epoch, logs=None):
        pass


class Progress(keras.callbacks.Callback):
    """Show a bar of the steps of an epoch on a terminal, and print a line after each epoch.

    Args:
        epochs: number of epochs over all stages.
        steps: steps per epoch.
        loss: name of the loss in Keras' logs.
        floor: validation loss of the prior.
    """

    def __init__(self, epochs, steps, loss, floor):
        super().__init__()
        self.epochs, self.steps, self.loss, self.floor = epochs, steps, loss, floor

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
        self.name = f"epoch {epoch + 1}/{self.epochs}"
        self.bar = tqdm(total=self.steps, desc=self.name, unit="step", leave=False, disable=None)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix(loss=f"{logs[self.loss]:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        print(
            f"{self.name}  loss {logs[self.loss]:.4f}  validation loss "
            f"{logs[f'val_{self.loss}']:.4f} (prior {self.floor:.4f})  "
            f"{time.perf_counter() - self.start:.0f} s",
            flush=True,
        )
