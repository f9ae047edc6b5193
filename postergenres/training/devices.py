"""The devices that train a network: all GPUs of this machine, or those of several hosts with JAX.

Keras 3 cannot `fit` on several hosts with TensorFlow (keras issue 20585), but with JAX it can. All
hosts see the same DATA_DIR. The first process writes; the others wait and read. If one process
ends, JAX ends the others, and the next run resumes after the last complete epoch.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.settings import SettingError

import keras
import numpy as np


@dataclass(frozen=True)
class Devices:
    """The devices that train one network: each has all weights and a share of each batch."""

    count: int = 1  # over all hosts
    hosts: int = 1  # each of which runs one process and feeds its part of each batch
    rank: int = 0  # of this process
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext  # to build and train in
    name: str = "CPU"  # to print

    def share(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Return the weights of the first process."""
        if self.hosts == 1:
            return weights
        from jax.experimental.multihost_utils import broadcast_one_to_all  # pyright: ignore[reportMissingImports]

        return broadcast_one_to_all(weights)


ONE_DEVICE = Devices()


def is_first() -> bool:
    """Return whether this process writes: of several hosts, only the first one does."""
    if keras.backend.backend() != "jax":
        return True
    import jax  # pyright: ignore[reportMissingImports]

    return jax.process_index() == 0


def find_rank(hosts: Sequence[str] | None) -> int:
    """Return the rank of this process, from the environment variable PROCESS_ID; 0 if alone."""
    if not hosts:
        return 0
    rank, last = os.environ.get("PROCESS_ID", ""), len(hosts) - 1
    if keras.backend.backend() != "jax" or not rank.isdecimal() or int(rank) > last:
        message = f"needs JAX (requirements/hosts.txt) and a PROCESS_ID from 0 to {last}. On the"
        message += " first host run: KERAS_BACKEND=jax PROCESS_ID=0 python train.py"
        raise SettingError("hosts", message)
    return int(rank)


def open_devices(hosts: Sequence[str] | None, batch_size: int, kind: str = "GPU") -> Devices:
    """Return the devices to train on; with several hosts, wait until all have joined.

    `hosts` has an address for each process, the first with a port. `kind` is that of the devices to
    use with TensorFlow; JAX uses its devices of all hosts.
    """
    is_jax = keras.backend.backend() == "jax"
    devices = (
        open_jax_devices(hosts) if is_jax else open_tensorflow_devices(kind, has_nvidia_driver())
    )
    if batch_size % devices.count:
        needed = f"must be a multiple of the number of devices, {devices.count}"
        raise SettingError("batch_size", f"{needed}, got {batch_size}")
    return devices


def open_jax_devices(hosts: Sequence[str] | None) -> Devices:
    import jax  # pyright: ignore[reportMissingImports]
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # TensorFlow writes TensorBoard's files only
    if hosts:
        jax.config.update("jax_enable_preemption_service", False)  # SIGTERM would have no effect
        print("waiting for the other processes of HOSTS", flush=True)
        jax.distributed.initialize(hosts[0], len(hosts), find_rank(hosts))
    devices = keras.distribution.list_devices()
    name = join_names([device.device_kind for device in jax.devices()])
    if len(devices) == 1:
        return Devices(name=name)
    parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    return Devices(
        len(devices), jax.process_count(), jax.process_index(), parallel.scope, name=name
    )


def open_tensorflow_devices(kind: str, has_driver: bool) -> Devices:
    import tensorflow as tf  # here, because JAX trains without it

    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if not devices:
        if has_driver:
            print(
                "note: TensorFlow does not find the GPU of this machine. To train on it, run: "
                f'python -m pip install "tensorflow[and-cuda]=={tf.__version__}" (docs/gpu.md)'
            )
        return ONE_DEVICE
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices(kind))
    name = join_names([x.get("device_name", kind) for x in details])
    if len(devices) == 1:
        return Devices(name=name)
    return Devices(len(devices), scope=tf.distribute.MirroredStrategy(devices).scope, name=name)


def join_names(names: list[str]) -> str:
    """Return the names of devices as "2 x NVIDIA L4"."""
    return ", ".join(f"{count} x {name}" for name, count in Counter(names).items())


def has_nvidia_driver() -> bool:
    """Return whether there is an NVIDIA driver that TensorFlow could use: on Linux, also in WSL."""
    is_there = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()
    return sys.platform == "linux" and bool(is_there)


def synchronize_batch_norm(network: keras.Model) -> None:
    """Make batch normalization use the statistics of whole batches on several devices.

    TensorFlow's default is to normalize the share of each device; JAX always uses whole batches.
    """
    if keras.backend.backend() == "tensorflow":
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
