from functools import partial

from postergenres.training import precision
from postergenres.training.devices import Devices

import keras
import pytest

from model import build_network

BUILD = partial(build_network, "improved", 40, 32, 3)


def test_a_named_precision_is_kept(monkeypatch):
    """The hardware makes no difference."""
    monkeypatch.setattr(precision, "has_bfloat16", None)
    for name in ("float32", "bfloat16"):
        assert precision.choose_precision(name, BUILD, 8) == name
        assert precision.choose_precision(name, BUILD, 8, Devices(hosts=2)) == name
        assert precision.choose_inference_precision(name) == name


def test_of_several_hosts_the_first_one_chooses_on_gpus_and_cpus_compute_in_float32(monkeypatch):
    class Host(Devices):
        def share(self, weights):
            chosen.extend(weights if self.rank == 0 else [])
            return chosen

    chosen, seconds = [], {"float32": 0.2, "bfloat16": 0.1}
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "time_steps", None)  # is not called
    monkeypatch.setattr(precision, "has_gpu", lambda: False)
    assert precision.choose_precision("auto", BUILD, 8, Host(hosts=2)) == "float32"
    monkeypatch.setattr(precision, "has_gpu", lambda: True)
    for rank, times in enumerate([seconds, {"float32": 0.1, "bfloat16": 0.2}]):
        monkeypatch.setattr(precision, "time_steps", lambda build, size, times=times: times)
        host = Host(hosts=2, rank=rank)
        assert precision.choose_precision("auto", BUILD, 8, host) == "bfloat16"


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_auto_is_the_faster_precision_if_the_hardware_has_both(monkeypatch, faster):
    seconds = {"float32": 0.2, "bfloat16": 0.2} | {faster: 0.1}
    monkeypatch.setattr(precision, "time_steps", lambda build, batch_size: seconds)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    assert precision.choose_precision("auto", BUILD, 8) == faster
    assert precision.choose_inference_precision("auto") == "bfloat16"
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "time_steps", None)  # is not called
    assert precision.choose_precision("auto", BUILD, 8) == "float32"
    assert precision.choose_inference_precision("auto") == "float32"


@pytest.mark.slow
def test_steps_are_timed_in_both_precisions():
    built = []
    seconds = precision.time_steps(
        lambda: built.append(BUILD()) or built[-1], 4, warm_up=1, steps=1
    )
    assert set(seconds) == {"float32", "bfloat16"} and min(seconds.values()) > 0
    assert [network.get_layer("hidden").compute_dtype for network in built] == list(seconds)
    assert keras.config.dtype_policy().name == "float32"


def test_weights_and_outputs_stay_float32():
    with precision.computing_in("bfloat16"):
        network = BUILD()
    assert {weight.dtype for weight in network.weights} - {"uint32"} == {"float32"}
    assert (
        network.output.dtype == "float32" and network.get_layer("hidden").output.dtype == "bfloat16"
    )
