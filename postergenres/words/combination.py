"""Combine what the network sees on a poster with the evidence of its words.

The text model is fitted on the training posters; the weights of both, and what the words add, come
from the validation movies.
"""

from pathlib import Path
from typing import Any, NamedTuple

from postergenres.dataset.store import Store
from postergenres.models.description import check_model
from postergenres.scores.bootstrap import bootstrap
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    format_scores,
)
from postergenres.scores.predicted_genres import Thresholds, describe_thresholds, read_thresholds
from postergenres.words.reading import Words, describe_reader, uses_words
from postergenres.words.text_model import FILE, TextModel, fit_text_model, load_text_model

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, log_loss

RATIOS = np.linspace(0, 2, 41)  # weights of the words, beside 1 for the network, that are tried


def combine(
    probabilities: np.ndarray, evidence: np.ndarray, image_weight: float, text_weight: float
) -> np.ndarray:
    """Return the probabilities of the network and the words together; all arrays are (N, G).

    The weights are factors of the network's logits and of the evidence, `TextModel.weigh_evidence`.
    """
    image = logit(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))
    return expit(image_weight * image + text_weight * evidence)


def fit_words(
    store: Store,
    words: list[Words],
    probabilities: np.ndarray,
    about: dict[str, Any],
    floor: dict[str, Any],
) -> tuple[TextModel, dict[str, Any]]:
    """Return a text model of the training posters, and the entry "words" of model.json.

    Args:
        words: for each row of the store its words.
        probabilities: (validation movies, G), of the network.
        about: content of model.json, of which the thresholds are read.
        floor: scores of the prior on the validation movies.
    """
    train, val = store.rows("train"), store.rows("val")
    labels = store.labels[val]
    text_model = fit_text_model([words[row] for row in train], store.labels[train])
    evidence = text_model.weigh_evidence([words[row] for row in val])
    image_weight, text_weight = choose_weights(labels, probabilities, evidence)
    combined = combine(probabilities, evidence, image_weight, text_weight)
    thresholds = choose_thresholds(labels, combined)
    scores = compute_scores(labels, combined, thresholds)
    gain = measure_gain(labels, (combined, thresholds), (probabilities, read_thresholds(about)))
    return text_model, {
        "image_weight": image_weight,
        "text_weight": text_weight,
        "reader": describe_reader(),
        **describe_thresholds(thresholds, store.genres),
        "scores": {"split": "val"} | beside_floor(scores, floor),
        "mAP_gain": gain,
    }


def choose_weights(
    labels: np.ndarray, probabilities: np.ndarray, evidence: np.ndarray
) -> tuple[float, float]:
    """Return the weights of the network and of the words that suit N movies best, for `combine`.

    Their ratio has the highest mean average precision; their size, which changes no ranking, has
    the lowest cross-entropy. All arrays are (N, G).
    """
    present = labels.any(axis=0)

    def mean_average_precision(ratio: float) -> float:
        combined = combine(probabilities, evidence, 1, ratio)
        return float(average_precision_score(labels[:, present], combined[:, present]))

    def cross_entropy(size: float) -> float:
        combined = combine(probabilities, evidence, size, size * ratio)
        return log_loss(labels.ravel(), combined.ravel(), labels=[0, 1])

    ratio = max(RATIOS, key=mean_average_precision)
    found: Any = minimize_scalar(cross_entropy, bounds=(0.1, 2), method="bounded")
    return float(found.x), float(found.x * ratio)


def measure_gain(
    labels: np.ndarray,
    with_words: tuple[np.ndarray, Thresholds],
    without_words: tuple[np.ndarray, Thresholds],
) -> dict[str, float]:
    """Return how much higher the mAP is with words: the gain, and its 95 % interval.

    The interval has the percentiles of a bootstrap in which both are scored on the same resamples
    of the movies. Labels and probabilities are (N, G).
    """
    scores = [compute_scores(labels, *each)["mAP"] for each in (with_words, without_words)]
    resampled = [bootstrap(labels, *each)["mAP"] for each in (with_words, without_words)]
    low, high = np.percentile(resampled[0] - resampled[1], [2.5, 97.5])
    return {"gain": scores[0] - scores[1], "low": low, "high": high}


def format_words(entry: dict[str, Any]) -> str:
    """Return lines with the scores with words, and what they add; of "words" in model.json."""
    weights = f"{entry['image_weight']:.2f} x network + {entry['text_weight']:.2f} x words"
    gain = entry["mAP_gain"]
    lines = [
        f"with the words on the posters ({weights}):",
        format_scores(entry["scores"]),
        f"mAP with words minus without: {gain['gain']:+.4f}, 95 % interval "
        f"{gain['low']:+.4f} to {gain['high']:+.4f}",
    ]
    if gain["low"] <= 0:
        lines.append(
            "note: the interval is not above 0, so the words may not help; they are used. To train "
            "without them, set WORDS = False in train.py"
        )
    return "\n".join(lines)


# --- a model that was trained with words ----------------------------------------------------------


class WordsModel(NamedTuple):
    """What a model of train.py knows about words."""

    text_model: TextModel
    image_weight: float  # see `combine`
    text_weight: float
    thresholds: dict[str, Any]  # the entries of model.json that belong to the combination

    def add_words(self, probabilities: np.ndarray, words: list[Words]) -> np.ndarray:
        """Return the network's probabilities of N posters, (N, G), with the evidence of words."""
        evidence = self.text_model.weigh_evidence(words)
        return combine(probabilities, evidence, self.image_weight, self.text_weight)


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
        image_weight=entry["image_weight"],
        text_weight=entry["text_weight"],
        thresholds={name: entry[name] for name in ("thresholds", "shared_thresholds")},
    )
