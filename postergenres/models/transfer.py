"""Transfer learning: an EfficientNet-Lite backbone with ImageNet weights and a sigmoid per genre.

The network is fine-tuned in stages: first the head, then the last blocks, then all layers (Howard
and Ruder 2018, ULMFiT). A head with random weights would otherwise spoil the backbone's weights.
"""

import math
from collections.abc import Callable

from postergenres.models.efficientnet import VARIANTS, build_layers, find_weights, load_weights
from postergenres.models.saved import predict_batches
from postergenres.models.torch_weights import read_pth
from postergenres.scores.metrics import estimate_prior

import keras
import numpy as np
from keras import layers
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

BACKBONES = {f"efficientnet_{variant}": variant for variant in VARIANTS}
REGULARIZATION = 5e-4  # C of the regressions; best on the validation split of 10,494 movies


def build_transfer(
    architecture: str, height: int | None, width: int | None, genre_count: int
) -> keras.Model:
    """Build a backbone and a head with random weights; `load_imagenet` sets the backbone's.

    The model is from posters, uint8 (batch, H, W, 3), to probabilities, (batch, genre_count);
    height and width are in pixels, None for posters of any size.
    """
    backbone = build_layers(BACKBONES[architecture], height, width)
    x = layers.Dropout(0.2)(backbone.get_layer("features").output)
    genres = layers.Dense(genre_count, activation="sigmoid", dtype="float32", name="genres")(x)
    return keras.Model(backbone.input, genres, name=architecture)


def feature_extractor(network: keras.Model) -> keras.Model:
    """Return the model from posters to features, (batch, 1280); it shares the network's layers."""
    return keras.Model(network.inputs, network.get_layer("features").output)


def build_to_train(build: Callable[..., keras.Model], *size: int | None) -> keras.Model:
    """Build a network that is trained as fast as the backend can; its weights fit the plain one.

    `build` takes the size of the posters and builds the plain network.
    """
    network = build(*size)
    if network.name not in BACKBONES or keras.backend.backend() != "tensorflow":
        return network
    from postergenres.models.frozen_depthwise import with_frozen_depthwise

    return with_frozen_depthwise(network)


def load_imagenet(network: keras.Model) -> None:
    """Set the backbone of a network of `build_transfer` to ImageNet weights; keep the head."""
    load_weights(feature_extractor(network), read_pth(find_weights(BACKBONES[network.name])))


def freeze_layers(network: keras.Model, last_blocks: int | None) -> None:
    """Freeze all layers of a backbone except the head and the last blocks; None trains all blocks.

    Depthwise convolutions stay frozen: they hold 6 % of the weights, but their gradients take a
    third of the time of a training step on a CPU. A network without a backbone stays as it is.
    """
    if network.name not in BACKBONES:
        return
    projections = [layer.name for layer in network.layers if "_project_conv" in layer.name]
    is_trained = last_blocks is None
    first = f"_blocks.{len(projections) - (last_blocks or 0)}."
    for layer in network.layers:
        is_trained = is_trained or layer.name.startswith((first, "_conv_head", "genres"))
        layer.trainable = is_trained and not isinstance(layer, layers.DepthwiseConv2D)


# --- initial weights ------------------------------------------------------------------------------


def initialize_network(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, sample: np.ndarray
) -> None:
    """Set the weights that a network has before its first epoch.

    A backbone gets its ImageNet weights and a head that is fitted to its features, computed in the
    precision of Keras' dtype policy. Another network keeps its random weights and gets output
    biases that predict the genre shares, which saves an epoch. `sample` has the row numbers of
    images, uint8 (N, H, W, 3), and labels, (N, G), to train on; a repeated row counts as often.
    """
    if network.name not in BACKBONES:
        network.get_layer("genres").bias.assign(logit(estimate_prior(labels[sample])))
        return
    height, width = images.shape[1:3]
    side = VARIANTS[BACKBONES[network.name]][2]
    if height * width < side**2 / 2:
        print(
            f"note: {height} x {width} is smaller than recommended for this network, which was "
            f"trained on {side} x {side}; see IMAGE_HEIGHT in preprocessing.py"
        )
    copy = build_transfer(network.name, height, width, labels.shape[1])
    load_imagenet(copy)
    fit_head(copy, images, labels, sample)
    network.set_weights(copy.get_weights())


def fit_head(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, sample: np.ndarray
) -> None:
    """Set the head of a network to regressions on its features; see `initialize_network`."""
    rows, copies = np.unique(sample, return_counts=True)
    extractor = keras.Model(network.inputs, network.get_layer("genres").input)
    batches = predict_batches(extractor, images, rows)
    features = np.concatenate([batch.astype(np.float32) for batch in batches])
    kernel, bias = fit_regressions(features, labels[rows], REGULARIZATION, copies)
    head = network.get_layer("genres")
    head.kernel.assign(kernel)
    head.bias.assign(bias)


def fit_regressions(
    features: np.ndarray,
    labels: np.ndarray,
    regularization: float,
    copies: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression per genre on features, (N, F), and labels, (N, G).

    The features are scaled to a mean variance of 1, but the kernel, (F, G), and bias, (G,), that
    are returned are for unscaled ones. `regularization` is C, the inverse of the penalty's weight;
    `copies`, (N,), weights the rows.
    """
    mean, scale = features.mean(axis=0), math.sqrt(features.var(axis=0).mean()) or 1.0
    scaled = (features - mean) / scale
    kernel = np.zeros((features.shape[1], labels.shape[1]))
    bias = np.empty(labels.shape[1])
    for column, genre in enumerate(labels.T):
        if 0 < genre.sum() < len(genre):
            model = LogisticRegression(C=regularization, max_iter=1000)
            model.fit(scaled, genre, sample_weight=copies)
            kernel[:, column], bias[column] = model.coef_[0] / scale, model.intercept_[0]  # pyright: ignore[reportIndexIssue]
        else:  # a regression needs both classes
            bias[column] = logit(estimate_prior(genre))
    return kernel, bias - mean @ kernel
