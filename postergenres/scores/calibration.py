"""Calibrate logits on the validation movies: each genre gets its own scale and offset.

Source: Platt 1999, Probabilistic Outputs for Support Vector Machines. A genre's numbers are
shrunken to common ones, the more the fewer movies have it, since chance decides about a rare genre.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

SHRINKAGE = 100.0  # weight of the squared deviations; see docs/training.md


def to_logits(probabilities: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, which are first clipped as Keras clips them."""
    return logit(np.clip(probabilities, 1e-7, 1 - 1e-7))


def weigh_by_genre(
    labels: np.ndarray, inputs: Sequence[np.ndarray], common: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, (K, G), and offsets, (G,), that make logits of K inputs.

    They have the lowest cross-entropy on N movies plus SHRINKAGE / 2 times the squared deviations
    from the `common` weights, of each input one, and from an offset of 0 at the inputs' means.
    Labels and each of the inputs are (N, G).
    """
    weights = np.empty((len(inputs), labels.shape[1]))
    offsets = np.empty(labels.shape[1])
    for genre, column in enumerate(labels.T.astype(np.float64)):
        columns = np.column_stack([values[:, genre] for values in inputs])
        means = columns.mean(axis=0)
        changes = fit_changes(column, columns @ common, columns - means)
        weights[:, genre] = common + changes[:-1]
        offsets[genre] = changes[-1] - means @ changes[:-1]
    return weights, offsets


def fit_changes(truth: np.ndarray, logits: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the changes of the weights of columns, (N, K), and of the offset, (K + 1,).

    The truth, 0 or 1, and the logits to which the changes are added are (N,).
    """
    columns = np.column_stack([columns, np.ones(len(columns))])

    def penalized(changes: np.ndarray) -> tuple[float, np.ndarray]:
        changed = logits + columns @ changes
        loss = (np.logaddexp(0, changed) - truth * changed).sum()
        slope = columns.T @ (expit(changed) - truth)
        return loss + SHRINKAGE / 2 * changes @ changes, slope + SHRINKAGE * changes

    return minimize(penalized, np.zeros(columns.shape[1]), jac=True, method="BFGS").x
