"""Predict the genre probabilities of posters."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

BATCH = 64  # posters per prediction


def predict_probabilities(
    model: keras.Model, images: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> np.ndarray:
    """Predict rows of an array of posters in batches, so that memory use stays constant.

    Args:
        model: a network of `model.build_network`.
        images: pixels of 0 to 255, (N, H, W, 3), may be memory-mapped.
        rows: row numbers, (M,).
        batch_size: posters per prediction.

    Returns:
        float64 (M, G).
    """
    return np.concatenate(list(predict_batches(model, images, rows, batch_size)))


def predict_with_features(
    model: keras.Model,
    images: np.ndarray,
    rows: np.ndarray,
    is_kept: np.ndarray,
    batch_size: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict posters with a model of `add_features`, and keep the features of some of them.

    Returns:
        Probabilities, float64 (M, G), as `predict_probabilities`; and features, float32 (K, F), of
        the K rows that `is_kept`, (M,), has.
    """
    probabilities, features = [], []
    for batch in predict_batches(model, images, rows, batch_size):
        kept = is_kept[len(probabilities) * batch_size :][: len(batch[0])]
        probabilities.append(batch[0])
        features.append(batch[1][kept].astype(np.float32))
    return np.concatenate(probabilities), np.concatenate(features)


def predict_batches(
    model: keras.Model, images: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> Iterator[Any]:
    """Yield what `predict_batch` returns for each batch; see `predict_probabilities`."""
    starts = range(0, len(rows), batch_size)
    # disable=None hides the progress bar if the output is not a terminal.
    for i in tqdm(starts, desc="predicting", unit="batch", leave=False, disable=None):
        yield predict_batch(model, images[rows[i : i + batch_size]])


def predict_batch(model: keras.Model, posters: np.ndarray) -> Any:
    """Return the mean outputs of a model for posters, (N, H, W, 3), and for their mirror images.

    Returns:
        float64 (N, number of outputs); a list of arrays if the model has a list of outputs.
    """
    views = (posters, np.ascontiguousarray(posters[:, :, ::-1]))
    outputs = [model.predict_on_batch(view) for view in views]
    if isinstance(outputs[0], list):
        return [np.mean(pair, axis=0, dtype=np.float64) for pair in zip(*outputs, strict=True)]
    return np.mean(outputs, axis=0, dtype=np.float64)


def add_features(model: keras.Model) -> keras.Model:
    """Return a model with the outputs probabilities and features, of one forward pass.

    The features are the input of the last Dense layer, which predicts the genres.
    """
    head = next(x for x in reversed(model.layers) if isinstance(x, keras.layers.Dense))
    return keras.Model(model.inputs, [model.outputs[0], head.input])
