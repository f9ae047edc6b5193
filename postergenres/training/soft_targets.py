"""Make the targets of the network from labels and from what a teacher says: arrays in, arrays out.

The teacher's probabilities (SOFT_TARGETS) and features (HINTS) are targets of the student, which
does not need the teacher after training (knowledge distillation, Hinton et al. 2015). Arrays have a
row for each of the N posters of a store.
"""

from dataclasses import dataclass
from typing import Any

from postergenres.scores.calibration import to_logits

import keras
import numpy as np
from scipy.special import expit, logit


@dataclass(frozen=True)
class Teacher:
    """What a teacher says about the posters."""

    targets: np.ndarray  # float32 (N, G), probabilities of the genres
    prior: np.ndarray  # (G,), genre shares that the probabilities are calibrated for
    features: np.ndarray  # float32 (N, F); mean variance 1 on the training posters
    about: dict[str, Any] | None = None  # what it was made from, as JSON types


@dataclass(frozen=True)
class Targets:
    """What the outputs of the network should be: "genres", and "hints" if there are any."""

    train: dict[str, np.ndarray]  # {output: float32 (N, ...)}
    val: dict[str, np.ndarray]
    soft_targets: float = 0.0  # share of the teacher's probabilities in the train targets
    hints: float = 0.0  # weight of the loss on the teacher's features
    teacher: dict[str, Any] | None = None  # what it was made from

    @property
    def loss(self) -> str:
        """The name in Keras' logs of the cross-entropy to the genre targets."""
        return "genres_loss" if "hints" in self.train else "loss"


def make_targets(
    labels: np.ndarray,
    sample_prior: np.ndarray,
    teacher: Teacher | None = None,
    soft_targets: float = 0.0,
    hints: float = 0.0,
) -> Targets:
    """Return the targets of each output of the network.

    The teacher's probabilities are shifted from the genre shares of the movies that it was fitted
    on to `sample_prior`, (G,), the shares in the sample, which the labels have.
    """
    labels = labels.astype(np.float32)
    train, val = {"genres": labels}, {"genres": labels}
    if teacher and soft_targets:
        shift = logit(sample_prior) - logit(teacher.prior)
        soft = expit(to_logits(teacher.targets) + shift)
        mixed = (1 - soft_targets) * labels + soft_targets * soft
        train["genres"] = mixed.astype(np.float32)
    if teacher and hints:
        train["hints"] = val["hints"] = teacher.features
    about = teacher.about if teacher else None
    return Targets(train, val, soft_targets=soft_targets, hints=hints, teacher=about)


def add_hints(network: keras.Model, train_targets: dict[str, np.ndarray]) -> keras.Model:
    """Return the network with an output that predicts the teacher's features, for training only.

    It shares all layers with `network`. Source: Romero et al. 2015, FitNets.
    """
    outputs = {"genres": network.output}
    if "hints" in train_targets:
        width = train_targets["hints"].shape[1]
        hints = keras.layers.Dense(width, dtype="float32", name="hints")
        outputs["hints"] = hints(network.get_layer("hidden").output)
    return keras.Model(network.input, outputs, name=network.name)
