"""Add the evidence of the words on a poster to what the network sees."""

from pathlib import Path
from typing import Any, NamedTuple

from postergenres.models.description import check_model
from postergenres.words.reading import Words, describe_reader, uses_words
from postergenres.words.text_model import TextModel, load_text_model

import numpy as np
from scipy.special import expit, logit

FILE = "words.npz"  # in the folder of a model


class WordsModel(NamedTuple):
    """What a model of train.py knows about words.

    Attributes:
        text_model: from words to genres.
        image_weight: see `combine`, as for `text_weight`.
        thresholds: the entries of model.json that belong to the combination.
    """

    text_model: TextModel
    image_weight: float
    text_weight: float
    thresholds: dict[str, Any]

    def add_words(self, probabilities: np.ndarray, words: list[Words]) -> np.ndarray:
        """Return the network's probabilities of N posters, (N, G), with the evidence of words."""
        evidence = self.text_model.weigh_evidence(words)
        return combine(probabilities, evidence, self.image_weight, self.text_weight)


def combine(
    probabilities: np.ndarray, evidence: np.ndarray, image_weight: float, text_weight: float
) -> np.ndarray:
    """Return the probabilities of the network and the words together, (N, G).

    Args:
        probabilities: (N, G), of the network.
        evidence: (N, G), see `TextModel.weigh_evidence`.
        image_weight: factor of the network's logits.
        text_weight: factor of the evidence.
    """
    image = logit(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))
    return expit(image_weight * image + text_weight * evidence)


def open_words(folder: Path, about: dict[str, Any]) -> WordsModel | None:
    """Open what a model knows about words, and print whether words are used.

    Args:
        folder: of the model.
        about: content of model.json.

    Returns:
        None if the model was trained without words, or if no reader is installed.

    Raises:
        SystemExit: words.npz is missing or damaged.
    """
    if not uses_words(about):
        return None
    check_model(folder, [FILE])
    entry = about["words"]
    print("the words on the posters are used, too")
    if entry["reader"] != describe_reader():
        print(f"note: words are read by {describe_reader()}; in training, by {entry['reader']}")
    return WordsModel(
        text_model=load_text_model(folder / FILE),
        image_weight=entry["image_weight"],
        text_weight=entry["text_weight"],
        thresholds={name: entry[name] for name in ("thresholds", "shared_thresholds")},
    )
