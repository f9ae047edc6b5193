"""Depthwise convolutions with fixed filters, whose gradient is computed by a convolution.

The gradient to the inputs of a convolution is the convolution of the gradient of the outputs,
spread by the stride, with the mirrored filters. TensorFlow's operation for it is slow on a CPU: a
training step of EfficientNet-Lite2 in bfloat16 takes 2.5 times as long with it.
"""

from typing import Any

import keras
import tensorflow as tf


class FrozenDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with padding "same" and odd filters that are not trained."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel, bias = map(tf.convert_to_tensor, (self.kernel, self.bias))
        return convolve(inputs, kernel, self.strides[0]) + bias


def with_frozen_depthwise(network: keras.Model) -> keras.Model:
    """Return a copy of a network, with random weights, whose depthwise filters are frozen."""
    return keras.models.clone_model(network, clone_function=clone_layer)


def clone_layer(layer: keras.Layer) -> keras.Layer:
    if type(layer) is keras.layers.DepthwiseConv2D:
        return FrozenDepthwiseConv2D.from_config(layer.get_config() | {"trainable": False})
    return layer.__class__.from_config(layer.get_config())


def convolve(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Convolve inputs, (N, H, W, C), with kernels, (K, K, C, 1), K odd, and padding "same".

    Only the inputs have a gradient. Outputs: (N, ceil(H / stride), ceil(W / stride), C).
    """

    @tf.custom_gradient
    def with_gradient(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
            return convolve_back(upstream, kernel, stride, tf.shape(inputs)), None

        outputs = tf.nn.depthwise_conv2d(inputs, kernel, [1, stride, stride, 1], "SAME")
        return outputs, gradient

    return with_gradient(inputs, kernel)


def convolve_back(
    upstream: tf.Tensor, kernel: tf.Tensor, stride: int, shape: tf.Tensor
) -> tf.Tensor:
    """Return the gradient to the inputs of `convolve`, of a shape, from that to its outputs."""
    mirrored, ones = tf.reverse(kernel, [0, 1]), [1, 1, 1, 1]
    if stride == 1:
        return tf.nn.depthwise_conv2d(upstream, mirrored, ones, "SAME")
    size, last = tf.shape(upstream)[1:3], kernel.shape[0] - 1  # pyright: ignore[reportOptionalOperand]
    before = tf.maximum((size - 1) * stride + last + 1 - shape[1:3], 0) // 2  # padding of "SAME"
    zeros = [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, stride - 1], [0, 0]]
    spread = tf.pad(upstream[:, :, None, :, None], zeros)
    spread = tf.reshape(spread, [shape[0], *tf.unstack(size * stride), upstream.shape[3]])
    after = tf.maximum(shape[1:3] + before - size * stride, 0)
    padding = tf.concat([[[0, 0]], tf.stack([last - before, after], 1), [[0, 0]]], 0)
    height, width = tf.unstack(shape[1:3] + last)
    spread = tf.pad(spread, padding)[:, :height, :width]
    return tf.nn.depthwise_conv2d(spread, mirrored, ones, "VALID")
