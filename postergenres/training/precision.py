"""Choose the precision that training computes in: float32 or bfloat16."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from postergenres.training.devices import ONE_DEVICE, Devices

import keras
import numpy as np

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # names of Keras' dtype policies


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Build layers in this block that compute in "float32" or "bfloat16", with float32 weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def choose_precision(
    precision: str,
    build: Callable[[], keras.Model],
    batch_size: int,
    devices: Devices = ONE_DEVICE,
) -> str:
    """Return the precision to train in; "auto" is the faster one if the hardware has both.

    Of several hosts with GPUs, the first one times the steps for all. Several hosts without GPUs
    compute in float32, because their CPUs may differ.
    """
    if precision != "auto":
        return precision
    if not has_bfloat16() or (devices.hosts > 1 and not has_gpu()):
        return "float32"
    names, faster = list(POLICIES), np.array(0)
    if devices.rank == 0:
        seconds = time_steps(build, batch_size)
        print("  ".join(f"a step in {name}: {1000 * s:.0f} ms" for name, s in seconds.items()))
        faster = np.array(names.index(min(names, key=seconds.__getitem__)))
    return names[int(devices.share([faster])[0])]


def choose_inference_precision(precision: str) -> str:
    """Return the precision to compute features in: "auto" is bfloat16 if the hardware has it."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16() else "float32"


def has_bfloat16() -> bool:
    """Return whether there is a GPU, or a CPU that multiplies in bfloat16 (known on Linux only)."""
    if has_gpu():
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "bf16" in flags  # amx_bf16 and avx512_bf16 on x86, bf16 on ARM


def has_gpu() -> bool:
    """Return whether the backend has a GPU, on any host."""
    return any("gpu" in device.lower() for device in keras.distribution.list_devices())


def time_steps(
    build: Callable[[], keras.Model], batch_size: int, warm_up: int = 3, steps: int = 5
) -> dict[str, float]:
    """Time training steps in each precision, in turns: {precision: seconds of the fastest}."""
    models, seconds = {}, dict.fromkeys(POLICIES, float("inf"))
    for precision in POLICIES:
        with computing_in(precision):
            models[precision] = build()
        models[precision].compile("adamw", "binary_crossentropy")
    height, width, channels = models["float32"].input_shape[1:]
    genres = models["float32"].output_shape[1]
    posters = np.zeros((batch_size, height, width, channels), np.uint8)
    labels = np.zeros((batch_size, genres), np.float32)
    for step in range(warm_up + steps):
        for precision, model in models.items():
            start = time.perf_counter()
            model.train_on_batch(posters, labels)
            if step >= warm_up:
                seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    return seconds
