"""Predict the genre probabilities of posters."""

import numpy as np
from tqdm import tqdm


def predict_probabilities(model, images, rows, batch_size=64):
    """Predict rows of an array of posters in batches, so that memory use stays constant.

    Args:
        model: a network of `model.build_network`.
        images: pixels of 0 to 255, (N, H, W, 3), may be memory-mapped.
        rows: row numbers, (M,).
        batch_size: posters per prediction.

    Returns:
        Probabilities, float64 (M, G).
    """
    starts = range(0, len(rows), batch_size)
    # disable=None hides the progress bar if the output is not a terminal.
    shown = tqdm(starts, desc="predicting", unit="batch", leave=False, disable=None)
    return np.concatenate([predict_batch(model, images[rows[i : i + batch_size]]) for i in shown])


def predict_batch(model, posters):
    """Return the mean outputs of a model for posters and for their mirror images.

    Args:
        model: a network with one output.
        posters: pixels of 0 to 255, (batch, H, W, 3).

    Returns:
        float64, (batch, number of outputs).
    """
    views = (posters, np.ascontiguousarray(posters[:, :, ::-1]))
    return np.mean([model.predict_on_batch(view) for view in views], axis=0, dtype=np.float64)
