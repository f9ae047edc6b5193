from postergenres.settings import SettingError
from postergenres.training import devices

import keras
import pytest
import tensorflow as tf

from model import build_network

HOSTS = ("10.0.0.1:9999", "10.0.0.2")


def test_one_device_needs_no_strategy():
    assert devices.open_devices(None, batch_size=15) is devices.ONE_DEVICE and devices.is_first()
    assert devices.ONE_DEVICE.share([1, 2]) == [1, 2]
    with devices.ONE_DEVICE.scope():
        assert not tf.distribute.has_strategy()


def test_the_batch_size_must_be_a_multiple_of_the_devices(monkeypatch):
    monkeypatch.setattr(devices, "open_tensorflow_devices", lambda *x: devices.Devices(3))
    with pytest.raises(SettingError, match="batch_size must be .* of devices, 3, got 16"):
        devices.open_devices(None, batch_size=16)
    assert devices.open_devices(None, batch_size=15).count == 3


def test_a_driver_whose_gpu_tensorflow_does_not_find_is_one_line(capsys):
    assert devices.open_tensorflow_devices("no device", has_driver=False) is devices.ONE_DEVICE
    assert capsys.readouterr().out == ""
    assert devices.open_tensorflow_devices("no device", has_driver=True) is devices.ONE_DEVICE
    command = f'python -m pip install "tensorflow[and-cuda]=={tf.__version__}" (docs/gpu.md)\n'
    assert capsys.readouterr().out.endswith(command)


def test_devices_have_a_name():
    assert devices.open_tensorflow_devices("CPU", has_driver=True).name == "1 x CPU"
    assert devices.join_names(["L4", "L4", "T4"]) == "2 x L4, 1 x T4"


def test_batch_norm_is_synchronized_in_training_only():
    """The model to be saved is another one; its batch normalization works on any device."""
    network, written = (build_network("improved", 40, 32, 3) for _ in range(2))
    devices.synchronize_batch_norm(network)
    kind = keras.layers.BatchNormalization
    layers = [layer for layer in network.layers if isinstance(layer, kind)]
    assert len(layers) == 5 and all(layer.synchronized for layer in layers)
    layers = [layer for layer in written.layers if isinstance(layer, kind)]
    assert len(layers) == 5 and not any(layer.synchronized for layer in layers)


@pytest.mark.parametrize("rank", [None, "", "2", "-1", "one", "1"])
def test_several_hosts_need_jax_and_a_rank(monkeypatch, rank):
    assert devices.find_rank(None) == 0
    with pytest.raises(SettingError, match="hosts needs JAX .requirements/hosts.txt. .* 0 to 1"):
        devices.find_rank(HOSTS)  # the backend is TensorFlow
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.delenv("PROCESS_ID", raising=False)
    if rank is not None:
        monkeypatch.setenv("PROCESS_ID", rank)
    if rank == "1":
        assert devices.find_rank(HOSTS) == 1
    else:
        with pytest.raises(SettingError, match="KERAS_BACKEND=jax PROCESS_ID=0 python train.py"):
            devices.find_rank(HOSTS)
