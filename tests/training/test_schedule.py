import keras
import numpy as np
import pytest

import model
from postergenres.training import schedule


def test_the_last_blocks_are_trained_first_but_not_their_depthwise_filters():
    network = model.build_network("efficientnet_lite0", 64, 48, 3)
    first, rest = schedule.plan_stages("efficientnet_lite0", 8, 1e-3)
    trained = {}
    for stage in (first, rest):
        schedule.choose_stage(network, stage)
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
def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing(warm_up, highest):
    stage = schedule.Stage("", start=1, end=3, learning_rate=2.0, warm_up=warm_up)
    rate = schedule.schedule_rate(stage, steps=50)
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates.argmax() == highest and rates.max() == pytest.approx(2)
    np.testing.assert_allclose(np.diff(rates[: highest + 1]), 0.2, atol=1e-5)
    assert (np.diff(rates[highest:]) < 0).all() and rates[-1] == pytest.approx(0, abs=1e-6)
