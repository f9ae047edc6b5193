from postergenres.models import frozen_depthwise

import keras
import numpy as np
import pytest
import tensorflow as tf

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (5, 12), (1, 2)])
def test_outputs_and_gradient_are_those_of_tensorflow(size, kernel, stride):
    inputs = tf.constant(RNG.normal(size=(2, *size, 3)))
    filters = tf.constant(RNG.normal(size=(kernel, kernel, 3, 1)))
    results = []
    for convolve in (
        lambda x: tf.nn.depthwise_conv2d(x, filters, [1, stride, stride, 1], "SAME"),
        lambda x: frozen_depthwise.convolve(x, filters, stride),
    ):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = convolve(inputs)
            weighted = outputs * tf.reshape(
                tf.range(tf.size(outputs), dtype=tf.float64), outputs.shape
            )
        results.append((outputs, tape.gradient(weighted, inputs)))
    (expected, expected_gradient), (actual, gradient) = results
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-9)


def build_network():
    inputs = keras.Input((None, None, 4))
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(inputs)
    x = keras.layers.Conv2D(5, 1)(keras.layers.ReLU(6.0)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="sigmoid")(x))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_copy_is_trained_like_the_network_with_frozen_filters(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network = build_network()
    finally:
        keras.config.set_dtype_policy(before)
    copy = frozen_depthwise.with_frozen_depthwise(network)
    copy.set_weights(network.get_weights())
    for model in (network, copy):
        network.layers[1].trainable = False
        model.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
    posters, labels = RNG.random((8, 9, 7, 4)), RNG.integers(0, 2, (8, 2))
    losses = [[m.train_on_batch(posters, labels) for _ in range(5)] for m in (network, copy)]
    assert losses[0][0] > losses[0][-1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-2 if "16" in policy else 1e-5)
    assert copy.layers[1].compute_dtype == network.layers[1].compute_dtype
