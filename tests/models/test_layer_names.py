from typing import get_args

from postergenres.models import layer_names
from postergenres.settings import Architecture

import pytest

from model import build_network

NAMES = {value for name, value in vars(layer_names).items() if name.startswith("GRAD_CAM")}


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_network_names_its_last_feature_maps(architecture):
    network = build_network(architecture, 64, 48, 3)
    named = {layer.name for layer in network.layers} & NAMES
    assert layer_names.GRAD_CAM_MAPS in named
    assert (layer_names.GRAD_CAM_NORMALIZATION in named) == (architecture == "improved")
