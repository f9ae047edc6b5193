"""Targets of the training: labels, and the teacher's probabilities and features."""

import keras
import numpy as np
from scipy.special import expit, logit


def make_targets(store, teacher, sample_prior, settings):
    """Return the targets of each output of the network.

    The teacher's probabilities are shifted from the genre shares of the movies that it was fitted
    on to the shares in the sample, which the labels have.

    Args:
        store: `dataset.store.Store`.
        teacher: `distillation.Teacher`; None if "soft_targets" and "hints" are 0.
        sample_prior: (G,) share of the sample in each genre.
        settings: "soft_targets", the share of the teacher's probabilities in the targets; "hints",
            the weight of the loss of the teacher's features.

    Returns:
        train_targets and val_targets, each {output: float32 (N, ...)}.
    """
    labels = store.labels.astype(np.float32)
    train_targets, val_targets = {"genres": labels}, {"genres": labels}
    share = settings["soft_targets"]
    if share:
        shift = logit(sample_prior) - logit(teacher.prior)
        soft = expit(logit(np.clip(teacher.targets, 1e-7, 1 - 1e-7)) + shift)
        train_targets["genres"] = ((1 - share) * labels + share * soft).astype(np.float32)
    if settings["hints"]:
        train_targets["hints"] = val_targets["hints"] = teacher.features
    return train_targets, val_targets


def add_hints(network, train_targets):
    """Return the network with an output that predicts the teacher's features.

    The returned network shares all layers with `network` and is used in training only. Source:
    Romero et al. 2015, FitNets.

    Args:
        network: `keras.Model`, with a layer called "hidden" if there are hints.
        train_targets: see `make_targets`; without "hints" there is no such output.
    """
    outputs = {"genres": network.output}
    if "hints" in train_targets:
        width = train_targets["hints"].shape[1]
        hints = keras.layers.Dense(width, dtype="float32", name="hints")
        outputs["hints"] = hints(network.get_layer("hidden").output)
    return keras.Model(network.input, outputs, name=network.name)
