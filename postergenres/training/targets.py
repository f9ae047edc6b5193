"""What a network is taught: labels, and beside them what a teacher says and sees."""

import keras
import numpy as np
from scipy.special import expit, logit


def make_targets(store, teacher, sample_prior, settings):
    """What the outputs should be: {output: float32 (N, ...)}, in training and in validation.

    The teacher knows the genre shares of what it has learnt from; its probabilities are shifted to
    those of the sample, which the labels have.

    Args:
        teacher: of `distillation.open_teacher`; unused, and None, where neither is wanted.
        sample_prior: (G,) share of the sample in each genre.
        settings: "soft_targets", the share of the teacher's probabilities in the targets, and
            "hints", whether its features are guessed.
    """
    labels = store.labels.astype(np.float32)
    lessons, exams = {"genres": labels}, {"genres": labels}
    share = settings["soft_targets"]
    if share:
        shift = logit(sample_prior) - logit(teacher.prior)
        soft = expit(logit(np.clip(teacher.targets, 1e-7, 1 - 1e-7)) + shift)
        lessons["genres"] = ((1 - share) * labels + share * soft).astype(np.float32)
    if settings["hints"]:
        lessons["hints"] = exams["hints"] = teacher.features
    return lessons, exams


def add_hints(network, lessons):
    """The network with an output that guesses the teacher's features (Romero et al. 2015, FitNets).

    It shares all layers with the network, and is there in training only.

    Args:
        network: with a layer called "hidden" where there are hints.
        lessons: of `make_targets`.
    """
    outputs = {"genres": network.output}
    if "hints" in lessons:
        guess = keras.layers.Dense(lessons["hints"].shape[1], dtype="float32", name="hints")
        outputs["hints"] = guess(network.get_layer("hidden").output)
    return keras.Model(network.input, outputs, name=network.name)
