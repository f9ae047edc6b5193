"""Networks that know photographs before they see a poster: transfer learning.

The backbone is EfficientNet-Lite with its weights of ImageNet, the head a sigmoid per genre. They
are fine-tuned in stages, so that what the backbone knows is not spoilt by a head that knows nothing
yet: first the head, then the last blocks, then all (Howard and Ruder 2018, ULMFiT).
"""

import math

import keras
import numpy as np
from keras import layers
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from postergenres.evaluation.inference import predict_batch
from postergenres.evaluation.metrics import estimate_prior
from postergenres.models.efficientnet import (
    FEATURES,
    VARIANTS,
    build_layers,
    find_weights,
    load_weights,
)
from postergenres.models.torch_weights import read_pth

BACKBONES = {f"efficientnet_{variant}": variant for variant in VARIANTS}  # by architecture
REGULARISATION = 5e-4  # C of the regressions of the head, the best on validation movies of 10,494


def build_transfer(architecture, image_height, image_width, genre_count):
    """Build a network by name: "efficientnet_lite0", "efficientnet_lite1" or "efficientnet_lite2".

    Args and returns are those of `model.build_model`. The weights are random: see `load_imagenet`.
    """
    backbone = build_layers(BACKBONES[architecture], image_height, image_width)
    x = layers.Dropout(0.2)(backbone.get_layer("features").output)
    genres = layers.Dense(genre_count, activation="sigmoid", dtype="float32", name="genres")(x)
    return keras.Model(backbone.input, genres, name=architecture)


def feature_extractor(network):
    """The part of a network from posters to features, (batch, 1280); it shares the layers."""
    return keras.Model(network.inputs, network.get_layer("features").output)


def load_imagenet(network):
    """Set the weights of the backbone of `build_transfer`; the head keeps its own.

    Raises:
        SystemExit: the package of this variant is not installed.
    """
    load_weights(feature_extractor(network), read_pth(find_weights(BACKBONES[network.name])))


def choose_layers(network, last_blocks):
    """Say what is trained from here on: the head, and so many of the last blocks; None: all.

    The filters of the depthwise convolutions stay as they are: they are 6 % of the weights, and
    their gradients take a third of the time of a step on a CPU.
    """
    projections = [layer.name for layer in network.layers if "_project_conv" in layer.name]
    is_in = last_blocks is None
    first = f"_blocks.{len(projections) - (last_blocks or 0)}."
    for layer in network.layers:
        is_in = is_in or layer.name.startswith((first, "_conv_head", "genres"))
        layer.trainable = is_in and not isinstance(layer, layers.DepthwiseConv2D)


# --- the head -------------------------------------------------------------------------------------


def fit_head(network, images, labels, sample, batch_size=64):
    """Set the head to logistic regressions on the features, with the backbone as it is.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped or not.
        labels: (N, G).
        sample: row numbers of both; a repeated row counts as often.
    """
    backbone = feature_extractor(network)
    rows, copies = np.unique(sample, return_counts=True)
    features = np.empty((len(rows), FEATURES), np.float32)
    for start in tqdm(range(0, len(rows), batch_size), "features", unit="batch", disable=None):
        batch = rows[start : start + batch_size]
        features[start : start + batch_size] = predict_batch(backbone, images[batch])
    kernel, bias = fit_regressions(features, labels[rows], REGULARISATION, copies)
    head = network.get_layer("genres")
    head.kernel.assign(kernel)
    head.bias.assign(bias)


def fit_regressions(features, labels, regularisation, copies=None):
    """Fit a logistic regression per genre, on features of unit variance in the mean.

    Args:
        features: (N, F).
        labels: (N, G).
        regularisation: C, the inverse of the weight of the penalty.
        copies: (N,), how often each row counts; None: once.

    Returns:
        kernel (F, G) and bias (G,), for the features as they are given.
    """
    mean, scale = features.mean(axis=0), math.sqrt(features.var(axis=0).mean()) or 1.0
    scaled = (features - mean) / scale
    kernel = np.zeros((features.shape[1], labels.shape[1]))
    bias = np.empty(labels.shape[1])
    for column, genre in enumerate(labels.T):
        if 0 < genre.sum() < len(genre):
            model = LogisticRegression(C=regularisation, max_iter=1000)
            model.fit(scaled, genre, sample_weight=copies)
            kernel[:, column], bias[column] = model.coef_[0] / scale, model.intercept_[0]
        else:  # nothing to tell apart
            bias[column] = logit(estimate_prior(genre))
    return kernel, bias - mean @ kernel
