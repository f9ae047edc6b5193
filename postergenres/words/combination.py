"""Combine what the network sees on a poster with the evidence of its words."""

from pathlib import Path
from typing import Any, NamedTuple

from postergenres.models.description import check_model
from postergenres.words.reading import Words, uses_words
from postergenres.words.text_model import FILE, TextModel, load_text_model, logit

import numpy as np

WEIGHTS = ("image_weight", "text_weight", "offset")  # in model.json, lists of all genres
ByGenre = float | np.ndarray  # of all genres, or (G,)


def combine(
    probabilities: np.ndarray,
    evidence: np.ndarray,
    image_weight: ByGenre,
    text_weight: ByGenre,
    offset: ByGenre = 0.0,
) -> np.ndarray:
    """Return the probabilities of the network and the words together; all arrays are (N, G).

    The weights are factors of the network's logits and of the evidence, `TextModel.weigh_evidence`.
    """
    image = logit(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))
    return 1 / (1 + np.exp(-image_weight * image - text_weight * evidence - offset))


class WordsModel(NamedTuple):
    """What a model of train.py knows about words."""

    text_model: TextModel
    weights: tuple[ByGenre, ...]  # of image and text, and the offset: see `combine`
    thresholds: dict[str, Any]  # the entries of model.json that belong to the combination

    def add_words(self, probabilities: np.ndarray, words: list[Words]) -> np.ndarray:
        """Return the network's probabilities of N posters, (N, G), with the evidence of words."""
        evidence = self.text_model.weigh_evidence(words)
        return combine(probabilities, evidence, *self.weights)

    def show(self, words: Words) -> str:
        """Return the words on a poster that mean something to the model, for people."""
        return " / ".join(self.text_model.select_known(words))


def open_words(folder: Path, about: dict[str, Any]) -> WordsModel | None:
    """Open what a model knows about words.

    None if the model, `about` is its model.json, was trained without words, or if no reader is
    installed; exit with a line if words.npz is missing or damaged.
    """
    if not uses_words(about):
        return None
    check_model(folder, [FILE])
    entry = about["words"]
    return WordsModel(
        text_model=load_text_model(folder),
        # Older models have one number for all genres, and no offset.
        weights=tuple(np.array(entry.get(name, 0.0)) for name in WEIGHTS),
        thresholds={name: entry[name] for name in ("thresholds", "shared_thresholds")},
    )
