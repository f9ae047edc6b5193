from postergenres.models import efficientnet, transfer

import keras
import numpy as np
import pytest

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(200, 5)) * 3 + 7
LABELS = (FEATURES[:, :2] + RNG.normal(size=(200, 2)) > 7).astype(int)
POSTERS = RNG.integers(0, 256, (6, 64, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return transfer.build_transfer("efficientnet_lite0", 64, 48, 3)


def test_the_regression_of_a_genre_separates_its_rows():
    kernel, bias = transfer.fit_regressions(FEATURES, LABELS, 1.0)
    assert kernel.shape == (5, 2) and bias.shape == (2,)
    right = (FEATURES @ kernel + bias > 0) == LABELS
    assert (right.mean(axis=0) > 0.8).all()
    assert np.abs(kernel).argmax(axis=0).tolist() == [0, 1]


def test_the_unit_of_the_features_does_not_change_the_predictions():
    kernel, bias = transfer.fit_regressions(FEATURES, LABELS, 0.01)
    other, shift = transfer.fit_regressions(1000 * FEATURES - 500, LABELS, 0.01)
    logits = FEATURES @ kernel + bias
    np.testing.assert_allclose((1000 * FEATURES - 500) @ other + shift, logits, atol=1e-3)


def test_copies_weight_rows_like_repeated_rows():
    copies = RNG.integers(1, 4, len(LABELS))
    mean, scale = FEATURES.mean(axis=0), np.sqrt(FEATURES.var(axis=0).mean())
    scaled = (FEATURES - mean) / scale  # so that the copies do not change the scale
    kernel, bias = transfer.fit_regressions(scaled, LABELS, 1.0, copies)
    model = transfer.LogisticRegression(C=1.0, max_iter=1000)
    model.fit(np.repeat(scaled, copies, axis=0), np.repeat(LABELS[:, 0], copies))
    np.testing.assert_allclose(kernel[:, 0], model.coef_[0], atol=1e-3)
    np.testing.assert_allclose(bias[0], model.intercept_[0], atol=1e-3)


def test_the_backbone_gets_the_imagenet_weights(network):
    transfer.load_imagenet(network)
    whole = efficientnet.build_efficientnet("lite0", 64, 48)
    backbone = keras.Model(network.inputs, network.get_layer("features").output)
    features = backbone.predict_on_batch(POSTERS)
    np.testing.assert_allclose(features, whole.predict_on_batch(POSTERS)[0], atol=1e-4)


def test_the_head_is_fitted_to_the_sample_only(network):
    """Four of the six posters are in the sample; the head predicts the genres of these four."""
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
    before = [layer.get_weights() for layer in network.layers[:-1]]
    transfer.fit_head(network, POSTERS, labels, np.array([0, 1, 2, 3, 3]))
    for layer, weights in zip(network.layers, before, strict=False):
        for one, other in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    probabilities = network.predict_on_batch(POSTERS[:4])
    assert probabilities[0, 0] > probabilities[3, 0] and probabilities[1, 1] > probabilities[3, 1]
    assert (probabilities[:, 2] < 0.15).all()  # no poster of the sample has the third genre
