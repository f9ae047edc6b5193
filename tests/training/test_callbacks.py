from postergenres.training import callbacks

import keras
import numpy as np
import pytest

IMAGES = np.random.default_rng(0).random((32, 8)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 2, (32, 3)).astype(np.float32)


def build_dropout_network():
    inputs = keras.Input((8,))
    x = keras.layers.Dropout(0.5)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid", name="genres")(x))


class Starts:
    """Stands in for `input.Batches`: lists the epochs that were started."""

    images, order, batch_size = IMAGES, np.arange(32), 8

    def __init__(self):
        self.epochs = []

    def start(self, epoch):
        self.epochs.append(epoch)


def masks_of(epochs, seed):
    """Return the dropout mask of the first step of each epoch, in the order of `epochs`."""
    network, batches = build_dropout_network(), Starts()
    callback = callbacks.EpochStart(batches, seed)
    callback.set_model(network)
    masks = []
    for epoch in epochs:
        callback.on_epoch_begin(epoch)
        masks.append(np.array(network.layers[1](np.ones((4, 8)), training=True)))
    assert batches.epochs == list(epochs)
    return masks


def test_dropout_depends_only_on_the_epoch_and_the_seed():
    whole, resumed, other = masks_of([0, 1, 2], 0), masks_of([2], 0), masks_of([2], 1)
    np.testing.assert_array_equal(whole[2], resumed[0])
    assert (whole[2] != whole[1]).any() and (whole[2] != other[0]).any()


def test_biases_are_shifted_only_during_validation():
    network = build_dropout_network()
    network.compile("sgd", "binary_crossentropy")
    bias = network.get_layer("genres").bias
    bias.assign([0.5, 0.0, -0.5])
    shift = np.array([2.0, -1.0, 0.25])
    expected = network.evaluate(IMAGES, LABELS, verbose=0)
    shifted = network.evaluate(IMAGES, LABELS, verbose=0, callbacks=[callbacks.PriorShift(shift)])
    np.testing.assert_array_equal(bias, np.float32([0.5, 0.0, -0.5]))
    callbacks.shift_priors(network, shift)
    np.testing.assert_array_equal(bias, np.float32([2.5, -1.0, -0.25]))
    assert network.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(shifted, abs=1e-6)
    assert shifted != pytest.approx(expected, abs=1e-3)


class Watch(keras.callbacks.Callback):
    """Note the output biases after each step and at each end of an epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.ends = [], []

    def bias(self):
        return np.array(self.model.get_layer("genres").bias)

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.bias())

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(self.bias())


def test_the_average_is_in_the_model_from_validation_to_the_next_epoch():
    inputs = keras.Input((8,))
    network = keras.Model(inputs, keras.layers.Dense(3, "sigmoid", name="genres")(inputs))
    initial, momentum = network.get_weights(), 0.8
    plain, averaged = Watch(), Watch()
    for watch, use_ema in ((plain, False), (averaged, True)):
        network.set_weights(initial)
        optimizer = keras.optimizers.SGD(1.0, use_ema=use_ema, ema_momentum=momentum)
        network.compile(optimizer, "binary_crossentropy")
        averaging = [callbacks.AveragedWeights(0, Starts())] if use_ema else []
        network.fit(
            IMAGES,
            LABELS,
            batch_size=8,
            epochs=2,
            shuffle=False,
            validation_data=(IMAGES, LABELS),
            callbacks=[*averaging, callbacks.PriorShift(np.ones(3)), watch],
            verbose=0,
        )
    np.testing.assert_allclose(averaged.steps, plain.steps, atol=1e-5)  # the training is the same
    average, expected = averaged.steps[0], []
    for number, bias in enumerate(averaged.steps):
        average = momentum * average + (1 - momentum) * bias
        if number % 4 == 3:
            expected.append(average)
    np.testing.assert_allclose(averaged.ends, expected, atol=1e-5)
    assert abs(averaged.ends[1] - averaged.steps[-1]).max() > 1e-3


@pytest.mark.parametrize("trainable", [True, False])
def test_averaged_weights_have_their_own_statistics_of_batch_normalization(trainable):
    """Those of a frozen layer stay as they were, 0 and 1."""
    inputs = keras.Input((8,))
    dense = keras.layers.Dense(4, use_bias=False)
    normalization = keras.layers.BatchNormalization(trainable=trainable)
    genres = keras.layers.Dense(3, "sigmoid", name="genres")
    network = keras.Model(inputs, genres(normalization(dense(inputs))))
    network.compile(keras.optimizers.SGD(1.0, use_ema=True), "binary_crossentropy")

    def check(epoch, logs):
        hidden = (IMAGES @ dense.kernel.numpy()).reshape(4, 8, 4)  # of four batches
        mean, variance = hidden.mean(axis=(0, 1)), hidden.var(axis=1).mean(axis=0)
        expected = (mean, variance) if trainable else (np.zeros(4), np.ones(4))
        found = (normalization.moving_mean.numpy(), normalization.moving_variance.numpy())
        np.testing.assert_allclose(found, expected, atol=1e-5)
        checked.append(epoch)

    checked, momentum = [], normalization.momentum
    averaging = callbacks.AveragedWeights(0, Starts())
    network.fit(
        IMAGES,
        LABELS,
        batch_size=8,
        epochs=2,
        validation_data=(IMAGES, LABELS),
        callbacks=[averaging, keras.callbacks.LambdaCallback(on_epoch_end=check)],
        verbose=0,
    )
    assert checked == [0, 1] and normalization.momentum == momentum


def test_each_epoch_prints_its_losses_beside_the_floor(capsys):
    progress = callbacks.Progress(epochs=9, steps=2, loss="genres_loss", floor=0.25)
    progress.on_epoch_begin(3)
    progress.on_train_batch_end(0, {"genres_loss": 0.5})
    progress.on_epoch_end(3, {"genres_loss": 0.125, "val_genres_loss": 0.375})
    line = capsys.readouterr().out
    assert line.startswith("epoch 4/9  loss 0.1250  validation loss 0.3750 (floor 0.2500)  ")


@pytest.mark.parametrize("epoch, end", [(3, "  60 s, 05:00 left\n"), (8, "  60 s\n")])
def test_the_time_of_an_epoch_is_the_estimate_for_the_others(capsys, epoch, end):
    progress = callbacks.Progress(epochs=9, steps=2, loss="loss", floor=0.25)
    progress.on_epoch_begin(epoch)
    progress.start -= 60
    progress.on_epoch_end(epoch, {"loss": 0.125, "val_loss": 0.375})
    assert capsys.readouterr().out.endswith(end)
