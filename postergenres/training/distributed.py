"""What the training runs on: the precision that this machine is fast in, and all of its GPUs."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Team:
    """The devices that train together.

    Each has the whole network and computes a share of each batch; gradients are averaged.

    Attributes:
        size: how many there are, of all processes.
        part: of every batch that this process feeds: (its number, number of processes).
        scope: a function that returns the context to build and to train the network in.
    """

    size: int = 1
    part: tuple = (0, 1)
    scope: Callable = nullcontext


ALONE = Team()


def distribute(part=(0, 1), kind="GPU"):
    """The `Team` of all devices: on TensorFlow those of a kind, on JAX those of all processes."""
    if keras.backend.backend() == "jax":
        hide_gpus()
        devices = keras.distribution.list_devices()
        if len(devices) == 1:
            return ALONE
        parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        return Team(len(devices), part, parallel.scope)
    import tensorflow as tf

    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        return ALONE
    return Team(len(devices), part, tf.distribute.MirroredStrategy(devices).scope)


def hide_gpus():
    """Keep the GPUs from TensorFlow, which would take their memory to write TensorBoard's files."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def share_statistics(network):
    """Have several devices of TensorFlow normalise whole batches; by itself each does its share."""
    if keras.backend.backend() == "tensorflow":
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
