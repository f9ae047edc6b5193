"""Train on all GPUs of a host, or on the devices of several hosts."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class DeviceGroup:
    """The devices that train one network together.

    Each device has all weights and computes its share of each batch; gradients are averaged.

    Attributes:
        size: the number of devices, over all processes.
        part: the part of every batch that this process feeds: (rank, number of processes).
        scope: a function that returns the context to build and train the network in.
    """

    size: int = 1
    part: tuple = (0, 1)
    scope: Callable = nullcontext


SINGLE_DEVICE = DeviceGroup()


def distribute(part=(0, 1), kind="GPU"):
    """Return the `DeviceGroup` of all devices.

    Args:
        part: (rank, number of processes).
        kind: the kind of devices to use with TensorFlow. JAX uses its devices of all processes.

    Returns:
        `SINGLE_DEVICE` if there are fewer than two devices.
    """
    if keras.backend.backend() == "jax":
        hide_gpus()
        devices = keras.distribution.list_devices()
        if len(devices) == 1:
            return SINGLE_DEVICE
        parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        return DeviceGroup(len(devices), part, parallel.scope)
    import tensorflow as tf  # here, because JAX trains without it

    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        return SINGLE_DEVICE
    return DeviceGroup(len(devices), part, tf.distribute.MirroredStrategy(devices).scope)


def hide_gpus():
    """Hide the GPUs from TensorFlow, which writes TensorBoard's files and would take GPU memory."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def synchronize_batch_norm(network):
    """Make batch normalization use the statistics of whole batches on several devices.

    TensorFlow's default is to normalize the share of each device; JAX always uses whole batches.
    """
    if keras.backend.backend() == "tensorflow":
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
