"""Add the evidence of the words on a poster to what the network sees."""

from typing import NamedTuple

from postergenres.models.description import refuse
from postergenres.old_files import file_sha256
from postergenres.words.reading import describe_reader, uses_words
from postergenres.words.text_model import TextModel, load_text_model

import numpy as np
from scipy.special import expit, logit

FILE = "words.npz"  # in the folder of a model


class WordsModel(NamedTuple):
    """What a model of train.py knows about words.

    Attributes:
        text_model: from words to genres.
        image_weight, text_weight: see `combine`.
        thresholds: the entries of model.json that belong to the combination.
    """

    text_model: TextModel
    image_weight: float
    text_weight: float
    thresholds: dict

    def add_words(self, probabilities, words):
        """Return the probabilities of posters with the evidence of their words, (N, G).

        Args:
            probabilities: (N, G), of the network.
            words: for each poster a list of (text, confidence), see `reading.read_words`.
        """
        evidence = self.text_model.weigh_evidence(words)
        return combine(probabilities, evidence, self.image_weight, self.text_weight)


def combine(probabilities, evidence, image_weight, text_weight):
    """Return the probabilities of the network and the words together, (N, G).

    Args:
        probabilities: (N, G), of the network.
        evidence: (N, G), see `TextModel.weigh_evidence`.
        image_weight, text_weight: factors of the network's logits and of the evidence.
    """
    image = logit(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))
    return expit(image_weight * image + text_weight * evidence)


def open_words(folder, about):
    """Open what a model knows about words, and print whether words are used.

    Args:
        folder: of the model.
        about: content of model.json.

    Returns:
        A `WordsModel`; None if the model was trained without words, or if no reader is installed.

    Raises:
        SystemExit: words.npz is missing, damaged, or from an older version.
    """
    if not uses_words(about):
        return None
    path, entry = folder / FILE, about["words"]
    if not path.is_file() or file_sha256(path) != entry["sha256"]:
        refuse(path, "is missing or damaged")
    try:
        model = load_text_model(path)
    except TypeError as error:
        refuse(path, "was written by an older version", error)
    print("the words on the posters are used, too")
    if entry["reader"] != describe_reader():
        print(f"note: words are read by {describe_reader()}; in training, by {entry['reader']}")
    thresholds = {name: entry[name] for name in ("thresholds", "shared_thresholds")}
    return WordsModel(model, entry["image_weight"], entry["text_weight"], thresholds)
