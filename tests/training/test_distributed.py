from postergenres.training import distributed

import keras
import pytest
import tensorflow as tf

from model import build_network


def test_one_device_needs_no_strategy():
    assert distributed.distribute() is distributed.SINGLE_DEVICE
    with distributed.SINGLE_DEVICE.scope():
        assert not tf.distribute.has_strategy()
    assert (distributed.SINGLE_DEVICE.size, distributed.SINGLE_DEVICE.part) == (1, (0, 1))


def test_batch_norm_is_synchronized_in_training_only():
    """The model to be saved is another one; its batch normalization works on any device."""
    network, written = (build_network("improved", 40, 32, 3) for _ in range(2))
    distributed.synchronize_batch_norm(network)
    kind = keras.layers.BatchNormalization
    layers = [layer for layer in network.layers if isinstance(layer, kind)]
    assert len(layers) == 5 and all(layer.synchronized for layer in layers)
    layers = [layer for layer in written.layers if isinstance(layer, kind)]
    assert len(layers) == 5 and not any(layer.synchronized for layer in layers)


@pytest.mark.parametrize("backend, synchronized", [("tensorflow", True), ("jax", False)])
def test_only_tensorflow_needs_synchronized_batch_norm(monkeypatch, backend, synchronized):
    network = build_network("improved", 40, 32, 3)
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    distributed.synchronize_batch_norm(network)
    assert network.get_layer("grad_cam_normalization").synchronized is synchronized
