from postergenres import old_settings as settings
from postergenres.training import schedule

import keras
import numpy as np
import pytest

import model


def test_the_first_stage_trains_the_last_blocks_without_their_depthwise_filters():
    network = model.build_network("efficientnet_lite0", 64, 48, 3)
    first, rest = schedule.plan_stages("efficientnet_lite0", 8, 1e-3)
    trained = {}
    for stage in (first, rest):
        schedule.freeze_layers(network, stage)
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
    assert [(s.start, s.end) for s in schedule.plan_stages("efficientnet_lite2", 8, 1)] == [
        (0, 1),
        (1, 8),
    ]
    (only,) = schedule.plan_stages("efficientnet_lite2", 1, 1)
    assert only.last_blocks == schedule.LAST_BLOCKS
    (only,) = schedule.plan_stages("improved", 8, 1)
    assert (only.start, only.end, only.last_blocks) == (0, 8, None)


@pytest.mark.parametrize("warm_up, highest", [(0.0, 0), (0.1, 10)])
def test_the_learning_rate_rises_linearly_and_falls_to_zero(warm_up, highest):
    stage = schedule.Stage("", start=1, end=3, learning_rate=2.0, warm_up=warm_up)
    rate = schedule.schedule_learning_rate(stage, steps_per_epoch=50)
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates.argmax() == highest and rates.max() == pytest.approx(2)
    np.testing.assert_allclose(np.diff(rates[: highest + 1]), 0.2, atol=1e-5)
    assert (np.diff(rates[highest:]) < 0).all() and rates[-1] == pytest.approx(0, abs=1e-6)


def test_every_architecture_has_a_recipe():
    assert set(schedule.RECIPES) == set(settings.ARCHITECTURES)
    names = {"epochs", "learning_rate", "crop", "colour", "ema_momentum"}
    assert all(set(recipe) == names for recipe in schedule.RECIPES.values())


CHECKED = {  # the arguments of train.main, as far as the defaults depend on them
    "data_dir": "data",
    "architecture": "efficientnet_lite0",
    "epochs": None,
    "learning_rate": 0.5,
    "crop": None,
    "colour": 0.0,
    "soft_targets": 0.0,
    "hints": 0.0,
    "precision": "auto",
    "hosts": None,
    "fine_tuned": "elsewhere/model",
    "teachers": ("efficientnet_lite2",),
}


def test_the_recipe_fills_only_settings_that_are_none():
    filled = schedule.fill_defaults(CHECKED)
    assert (filled["epochs"], filled["crop"]) == (8, 0.3)
    assert (filled["learning_rate"], filled["colour"]) == (0.5, 0.0)
    assert list(filled) == [
        name for name in CHECKED if name not in ("data_dir", "hosts", "fine_tuned", "teachers")
    ]


def test_several_hosts_compute_in_float32_unless_another_precision_is_set():
    hosts = {"hosts": ("10.0.0.1:9999", "10.0.0.2")}
    assert schedule.fill_defaults(CHECKED)["precision"] == "auto"
    assert schedule.fill_defaults(CHECKED | hosts)["precision"] == "float32"
    named = CHECKED | hosts | {"precision": "bfloat16"}
    assert schedule.fill_defaults(named)["precision"] == "bfloat16"


@pytest.mark.parametrize("use", [{"soft_targets": 0.5}, {"hints": 0.1}])
def test_the_teacher_is_recorded_only_if_it_is_used(use):
    assert not {"fine_tuned", "teachers"} & set(schedule.fill_defaults(CHECKED))
    filled = schedule.fill_defaults(CHECKED | use)
    assert filled["fine_tuned"] == "elsewhere/model" and "teachers" not in filled
    filled = schedule.fill_defaults(CHECKED | use | {"fine_tuned": None})
    assert filled["teachers"] == ["efficientnet_lite2"] and "fine_tuned" not in filled
