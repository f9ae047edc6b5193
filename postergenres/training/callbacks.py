"""What happens around the epochs of a training, as Keras callbacks."""

import time

import keras
import numpy as np
from tqdm import tqdm


class EpochStart(keras.callbacks.Callback):
    """Sets by its number what an epoch draws at random: batches and dropout.

    A training that was stopped then draws what it would have drawn.
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
    """Moves the output biases to the genre shares of whole movies, for as long as it validates.

    Oversampling makes rare genres common, and a network trained on it expects them to be common.
    The shift of the logits takes that back (Saerens et al. 2002, Adjusting the Outputs of a
    Classifier to New a Priori Probabilities); only then can a loss be set beside the prior.

    Args:
        shift: (G,) what to add to the logits.
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
    bias = network.get_layer("genres").bias
    bias.assign(bias + shift)


class Progress(keras.callbacks.Callback):
    """A bar for the steps of an epoch, on a terminal, and a line for each epoch.

    Args:
        epochs: of all stages.
        steps: steps per epoch.
        loss: the name of the loss in Keras' logs.
        floor: the validation loss of the prior.
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
