from postergenres.models import efficientnet

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

PHOTOGRAPHS = {  # each with ImageNet classes that a person would name
    "cup of coffee": (data.coffee, {967, 968, 504}),  # espresso, cup, coffee mug
    "cat": (data.cat, {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
    "temple": (
        lambda: load_sample_image("china.jpg"),
        {698, 442, 663},
    ),  # palace, bell cote, monastery
}


@pytest.mark.parametrize(
    "variant",
    ["lite0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lite1", "lite2"))],
)
def test_photographs_are_recognized(variant):
    """The top class and another class among the top five are in the photograph."""
    side = efficientnet.VARIANTS[variant][2]
    images = [
        np.asarray(Image.fromarray(load()).resize((side, side), Image.Resampling.BICUBIC))
        for load, _ in PHOTOGRAPHS.values()
    ]
    network = efficientnet.build_efficientnet(variant, side, side)
    features, logits = network.predict_on_batch(np.stack(images))
    assert features.shape == (3, 1280)
    for (name, (_, classes)), row in zip(PHOTOGRAPHS.items(), logits, strict=True):
        best = np.argsort(-row)[:5].tolist()
        assert len(classes & set(best)) >= 2 and best[0] in classes, (name, best)


@pytest.mark.parametrize("variant, parameters", [("lite1", 5_416_680), ("lite2", 6_092_072)])
def test_the_larger_variants_have_the_published_size(variant, parameters):
    """The authors' table says 5.4 and 6.1 million.

    Batch normalization has two parameters per channel; one of them remains, as a bias.
    """
    network = efficientnet.build_layers(variant, 240, 160)
    convolutions = [layer for layer in network.layers if "_conv" in layer.name]
    channels = sum(layer.bias.shape[0] for layer in convolutions)
    assert network.count_params() + channels == parameters


def test_a_missing_package_is_one_line_with_the_command():
    with pytest.raises(SystemExit, match="b7-pytorch-model is missing.*requirements/transfer.txt"):
        efficientnet.find_weights("b7")
