from functools import partial

import keras
import pytest
import tensorflow as tf

from model import build_model
from postergenres.training import distributed, precision

BUILD = partial(build_model, "improved", 40, 32, 3)


def test_without_the_hardware_auto_is_float32(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "time_steps", None)  # not asked
    assert precision.choose_precision("auto", BUILD, 8) == "float32"


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_with_the_hardware_auto_is_the_faster_one(monkeypatch, faster):
    seconds = {"float32": 0.2, "bfloat16": 0.2} | {faster: 0.1}
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "time_steps", lambda build, batch_size: seconds)
    assert precision.choose_precision("auto", BUILD, 8) == faster


def test_a_named_precision_is_taken_as_it_is(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", None)
    for name in ("float32", "bfloat16"):
        assert precision.choose_precision(name, BUILD, 8) == name
    with pytest.raises(ValueError, match="precision must be one of .* got 'float64'"):
        precision.choose_precision("float64", BUILD, 8)


def test_steps_are_timed_in_both_precisions():
    built = []
    seconds = precision.time_steps(
        lambda: built.append(BUILD()) or built[-1], 4, warm_up=1, steps=1
    )
    assert set(seconds) == {"float32", "bfloat16"} and min(seconds.values()) > 0
    assert [network.get_layer("hidden").compute_dtype for network in built] == list(seconds)
    assert keras.config.dtype_policy().name == "float32"


def test_weights_and_outputs_stay_in_float32():
    with precision.computing_in("bfloat16"):
        network = BUILD()
    assert {weight.dtype for weight in network.weights} - {"uint32"} == {"float32"}
    assert (
        network.output.dtype == "float32" and network.get_layer("hidden").output.dtype == "bfloat16"
    )


def test_one_device_is_alone():
    assert distributed.distribute() is distributed.ALONE
    with distributed.ALONE.scope():
        assert not tf.distribute.has_strategy()
    assert (distributed.ALONE.size, distributed.ALONE.part) == (1, (0, 1))


def test_statistics_are_shared_in_training_only():
    """The model that is written is another one, and normalises alone wherever it is opened."""
    network = BUILD()
    distributed.share_statistics(network)
    layers = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(layers) == 5 and all(layer.synchronized for layer in layers)
