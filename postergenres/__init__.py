"""Predict the genres of movies from their posters: `load_model("efficientnet_lite2").predict(...)`.

The rooms of the package, which the scripts stand on: download, dataset, models, words, training,
scores, report, app.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postergenres.poster_model import PosterModel

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # silence TensorFlow's CPU messages


def load_model(model: str | Path = "efficientnet_lite2", words: bool = True) -> PosterModel:
    """Open a trained model: `load_model().predict("poster.jpg")` returns a table of its genres.

    Args:
        model: name of a pretrained model, "efficientnet_lite2" or the faster "improved", or the
            folder of a model that train.py wrote.
        words: read the words on posters, too, if the model was trained with words and RapidOCR is
            installed.

    Raises:
        ValueError: there is no such model, or a file of it is missing or damaged.
    """
    # Here, because every process of a pool imports this file.
    from postergenres.models.description import find_model
    from postergenres.poster_model import PosterModel

    try:
        return PosterModel(find_model(model), words)
    except SystemExit as error:  # which ends a script with this line
        raise ValueError(str(error)) from None
