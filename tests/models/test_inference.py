from postergenres.models.inference import (
    add_features,
    predict_batch,
    predict_probabilities,
    predict_with_features,
)

import numpy as np

from model import build_network

RNG = np.random.default_rng(0)


def test_a_poster_and_its_mirror_image_have_the_same_prediction():
    network = build_network("improved", 40, 32, 3)
    posters = RNG.integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    mirrored = posters[:, :, ::-1]
    alone = [network.predict_on_batch(np.ascontiguousarray(x)) for x in (posters, mirrored)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    predicted = predict_batch(network, posters)
    np.testing.assert_allclose(predicted, (alone[0] + alone[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(predict_batch(network, mirrored), predicted, atol=1e-6)


def test_rows_are_predicted_in_their_order_whatever_the_batch_size():
    network = build_network("improved", 40, 32, 3)
    images = RNG.integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    probabilities = predict_probabilities(network, images, rows, batch_size=3)
    assert probabilities.shape == (4, 3) and probabilities.dtype == np.float64
    assert (probabilities[1] == probabilities[2]).all()
    np.testing.assert_allclose(probabilities, predict_batch(network, images[rows]), atol=1e-6)


def test_features_are_the_input_of_the_last_layer_averaged_like_the_probabilities():
    network = build_network("improved", 40, 32, 3)
    images = RNG.integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows, is_kept = np.array([7, 2, 5, 2, 9]), np.array([True, False, True, True, False])
    both = add_features(network)
    probabilities, features = predict_with_features(both, images, rows, is_kept, batch_size=2)
    alone = predict_probabilities(network, images, rows, batch_size=2)
    np.testing.assert_allclose(probabilities, alone, atol=1e-6)
    assert features.shape == (3, 256) and features.dtype == np.float32
    expected = predict_batch(both, images[rows[is_kept]])[1]
    np.testing.assert_allclose(features, expected, atol=1e-5)
    views = [images[rows[is_kept]][:, :, ::step] for step in (1, -1)]
    hidden = [both.predict_on_batch(np.ascontiguousarray(view))[1] for view in views]
    np.testing.assert_allclose(features, np.mean(hidden, axis=0), atol=1e-5)
    kernel, bias = network.get_layer("genres").get_weights()
    first = both.predict_on_batch(images[:2])
    np.testing.assert_allclose(first[0], 1 / (1 + np.exp(-first[1] @ kernel - bias)), atol=1e-5)
    _, none = predict_with_features(both, images, rows, np.zeros(5, bool))
    assert none.shape == (0, 256)
