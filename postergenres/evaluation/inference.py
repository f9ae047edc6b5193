"""Probabilities of posters."""

import numpy as np
from tqdm import tqdm


def predict_probabilities(model, images, rows, batch_size=64):
    """Predict the posters in these rows of an array, batch by batch, so that memory stays flat.

    Args:
        images: (N, H, W, 3) of 0 to 255, memory-mapped or not.
        rows: (M,) row numbers.

    Returns:
        (M, G) probabilities, float64.
    """
    starts = range(0, len(rows), batch_size)
    shown = tqdm(starts, desc="predicting", unit="batch", leave=False, disable=None)  # in no log
    return np.concatenate([predict_batch(model, images[rows[i : i + batch_size]]) for i in shown])


def predict_batch(model, posters):
    """Mean outputs for posters and their mirror images, probabilities: (batch, G), float64."""
    views = (posters, np.ascontiguousarray(posters[:, :, ::-1]))
    return np.mean([model.predict_on_batch(view) for view in views], axis=0, dtype=np.float64)
