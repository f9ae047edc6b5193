"""Make training targets from labels and from the features of a teacher: arrays in, arrays out.

The teacher's probabilities (SOFT_TARGETS) and features (HINTS) are targets of the student, which
does not need the teacher after training (knowledge distillation, Hinton et al. 2015).

Arrays have a row for each of the N posters of a store: labels of 0 and 1 and probabilities, (N, G),
and features, (N, F). `train` has the row numbers of the training posters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from postergenres.models.transfer import fit_regressions
from postergenres.words.combination import combine
from postergenres.words.fitting import choose_weights
from postergenres.words.reading import Words
from postergenres.words.text_model import fit_text_model

import keras
import numpy as np
from scipy.special import expit, logit
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

FOLDS = 5  # of the posters: a training poster is predicted by a model that has not seen it


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
    train_targets, val_targets = {"genres": labels}, {"genres": labels}
    if teacher and soft_targets:
        shift = logit(sample_prior) - logit(teacher.prior)
        soft = expit(logit(np.clip(teacher.targets, 1e-7, 1 - 1e-7)) + shift)
        mixed = (1 - soft_targets) * labels + soft_targets * soft
        train_targets["genres"] = mixed.astype(np.float32)
    if teacher and hints:
        train_targets["hints"] = val_targets["hints"] = teacher.features
    return Targets(
        train_targets,
        val_targets,
        soft_targets=soft_targets,
        hints=hints,
        teacher=teacher.about if teacher else None,
    )


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


# --- the teacher ----------------------------------------------------------------------------------


def reduce_features(features: np.ndarray, train: np.ndarray, components: int) -> np.ndarray:
    """Return the first principal components of the training posters, float32 (N, components).

    Their mean variance is 1. There are never more components than training posters.
    """
    pca = PCA(min(components, len(train)), svd_solver="covariance_eigh").fit(features[train])
    reduced = pca.transform(features) / np.sqrt(pca.explained_variance_.mean())
    return reduced.astype(np.float32)


def fit_targets(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, regularization: float, seed: int
) -> np.ndarray:
    """Return probabilities by logistic regression on the features, float32 (N, G)."""

    def predict(fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
        head = fit_regressions(features[fit], labels[fit], regularization)
        return apply_head(features[rows], *head)

    return cross_fit(predict, labels.shape, train, seed)


def add_words(
    targets: np.ndarray, words: list[Words], labels: np.ndarray, train: np.ndarray, seed: int
) -> np.ndarray:
    """Return the probabilities of `fit_targets` with the evidence of the words, float32 (N, G)."""

    def weigh(fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
        model = fit_text_model([words[row] for row in fit], labels[fit])
        return model.weigh_evidence([words[row] for row in rows])

    evidence = cross_fit(weigh, labels.shape, train, seed)
    weights = choose_weights(labels[train], targets[train], evidence[train])
    return combine(targets, evidence, *weights).astype(np.float32)


def cross_fit(
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    train: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Return what models predict that are fitted on the training posters, float32 (N, G).

    A training poster is predicted by a model that was fitted without it: one that was fitted with
    it would repeat its labels. `predict` takes the rows to fit on and the rows to predict; `shape`
    is (N, G), and `seed` of the folds.
    """
    predicted = np.empty(shape, np.float32)
    rest = np.setdiff1d(np.arange(shape[0]), train)
    predicted[rest] = predict(train, rest)
    for fit, rows in KFold(FOLDS, shuffle=True, random_state=seed).split(train):
        predicted[train[rows]] = predict(train[fit], train[rows])
    return predicted


def apply_head(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the probabilities of a sigmoid layer: features (N, F) to (N, G)."""
    return expit(features @ kernel + bias)
