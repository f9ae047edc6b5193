from typing import get_args

from postergenres.models.transfer import freeze_layers
from postergenres.settings import Architecture, SettingError
from postergenres.training import schedule
from postergenres.training.schedule import make_schedule, plan_stages

import keras
import numpy as np
import pytest

import model


def test_the_first_stage_trains_the_last_blocks_without_their_depthwise_filters():
    network = model.build_network("efficientnet_lite0", 64, 48, 3)
    first, rest = plan_stages(make_schedule("efficientnet_lite0"))
    trained = {}
    for stage in (first, rest):
        freeze_layers(network, stage.last_blocks)
        layers = [layer for layer in network.layers if layer.weights]
        trained[stage.name] = {layer.name for layer in layers if layer.trainable}
        frozen = [layer for layer in layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
        assert len(frozen) == 16 and not any(layer.trainable for layer in frozen)
    names = {layer.name for layer in network.layers}
    last = {
        name for name in names if name.startswith(tuple(f"_blocks.{i}." for i in range(10, 16)))
    }
    pointwise = {name for name in last if "_expand_conv" in name or "_project_conv" in name}
    assert trained["last-blocks"] == pointwise | {"_conv_head", "genres"}
    assert trained["all"] > trained["last-blocks"] | {"_conv_stem", "_blocks.1._expand_conv"}


def test_the_stages_of_a_backbone_share_its_epochs():
    stages = plan_stages(make_schedule("efficientnet_lite2", epochs=8))
    assert [(stage.start, stage.end) for stage in stages] == [(0, 1), (1, 8)]
    (only,) = plan_stages(make_schedule("efficientnet_lite2", epochs=1))
    assert only.last_blocks == schedule.LAST_BLOCKS
    (only,) = plan_stages(make_schedule("improved", epochs=8))
    assert (only.start, only.end, only.last_blocks) == (0, 8, None)


@pytest.mark.parametrize("warm_up, highest", [(0.0, 0), (0.1, 10)])
def test_the_learning_rate_rises_linearly_and_falls_to_zero(warm_up, highest):
    stage = schedule.Stage("", start=1, end=3, learning_rate=2.0, warm_up=warm_up)
    rate = schedule.schedule_learning_rate(stage, steps_per_epoch=50)
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates.argmax() == highest and rates.max() == pytest.approx(2)
    np.testing.assert_allclose(np.diff(rates[: highest + 1]), 0.2, atol=1e-5)
    assert (np.diff(rates[highest:]) < 0).all() and rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_architecture_has_defaults(architecture):
    made = make_schedule(architecture)
    rates = {"study": 1e-4, "improved": 1e-3}
    assert made.learning_rate == rates.get(architecture, 2e-4)
    assert made.epochs == (15 if architecture in rates else 8) and made.ema_momentum == 0
    continued = make_schedule(architecture, is_continued=True)
    assert continued.learning_rate == (1e-4 if architecture in rates else 5e-5)


def test_a_default_fills_only_a_setting_that_is_none():
    made = make_schedule("improved", epochs=2, learning_rate=0.5, ema_momentum=0.9)
    assert (made.epochs, made.learning_rate, made.ema_momentum) == (2, 0.5, 0.9)


def test_settings_that_rule_each_other_out_are_refused():
    alone = {"crop": 0.0, "hints": 0.0, "words": False, "hosts": None}
    schedule.check_together("improved", **alone | {"hints": 0.1, "words": True})
    schedule.check_together("efficientnet_lite0", **alone | {"crop": 0.1})
    for architecture, name, changes in (
        ("improved", "crop", {"crop": 0.1}),
        ("efficientnet_lite0", "hints", {"hints": 0.1}),
        ("improved", "words", {"words": True, "hosts": ("10.0.0.1:9999",)}),
    ):
        with pytest.raises(SettingError, match=f"^{name} "):
            schedule.check_together(architecture, **alone | changes)
