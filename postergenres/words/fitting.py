"""Fit a text model on the posters and titles of training movies; combine it with the network.

The weights of both, and what the words add, come from the validation movies.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from postergenres.dataset.store import Store
from postergenres.scores.bootstrap import bootstrap
from postergenres.scores.calibration import to_logits, weigh_by_genre
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    format_scores,
)
from postergenres.scores.predicted_genres import Thresholds, describe_thresholds, read_thresholds
from postergenres.words.combination import WEIGHTS, combine
from postergenres.words.ngrams import HASHES, count_ngrams
from postergenres.words.reading import CONFIDENCE, Words, describe_reader, select_texts
from postergenres.words.text_model import TextModel, logit, weigh_ngrams

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss

REGULARIZATION = 2.0  # C of the regressions; best on 2,248 validation movies
MIN_POSTERS = 2  # training posters that an n-gram must be on; rarer ones are ignored
LARGEST = 127  # of an int8
CONSTANTS = {  # what a text model depends on beside the words and the labels
    "regularization": REGULARIZATION,
    "min_posters": MIN_POSTERS,
    "hashes": HASHES,
    "confidence": CONFIDENCE,
}
RATIOS = np.linspace(0, 2, 41)  # weights of the words, beside 1 for the network, that are tried


def fit_text_model(
    words: Sequence[Words],
    labels: np.ndarray,
    titles: Sequence[str] = (),
    regularization: float = REGULARIZATION,
) -> TextModel:
    """Fit a text model on those of N training posters that have words; labels are (N, G).

    Titles, one for each poster, are fitted as the words on N more posters; "" is none. Only n-grams
    that are on posters count.
    """
    idf = compute_idf(words)
    if titles:
        words = [*words, *([(title, 1.0)] for title in titles)]
        labels = np.concatenate([labels, labels])
    ngrams = stack_ngrams(words, idf)
    has_words = ngrams.getnnz(axis=1) > 0
    ngrams, labels = ngrams[has_words], labels[has_words]
    prior = estimate_prior(labels)
    weights, bias = np.zeros((ngrams.shape[1], len(prior))), logit(prior)
    for genre, column in enumerate(labels.T):
        if 0 < column.sum() < len(column):  # a regression needs both classes
            model = LogisticRegression(C=regularization, max_iter=1000).fit(ngrams, column)
            weights[:, genre], bias[genre] = model.coef_[0], model.intercept_[0]
    scale = np.abs(weights).max(axis=0, initial=0) / LARGEST
    units = np.rint(weights / np.where(scale, scale, 1)).astype(np.int8)
    scale, bias = scale.astype(np.float32), bias.astype(np.float32)
    return TextModel(weights=units, scale=scale, bias=bias, prior=prior, idf=idf)


def compute_idf(words: Sequence[Words]) -> np.ndarray:
    """Return the inverse document frequency of each n-gram, float32; 0 for rare ones."""
    posters = np.zeros(2 * HASHES, np.int64)
    for lines in words:
        posters[count_ngrams(" ".join(select_texts(lines)))[0]] += 1
    idf = 1 + np.log((1 + len(words)) / (1 + posters))  # as sklearn's TfidfTransformer
    return np.where(posters < MIN_POSTERS, 0, idf).astype(np.float32)


def stack_ngrams(words: Sequence[Words], idf: np.ndarray) -> sparse.csr_matrix:
    """Return the TF-IDF of the n-grams of N posters, (N, U), for the n-grams that have one."""
    rows = [weigh_ngrams(lines, idf) for lines in words]
    columns = np.concatenate([columns for columns, _ in rows])
    weights = np.concatenate([weights for _, weights in rows])
    starts = np.cumsum([0] + [len(columns) for columns, _ in rows])
    shape = len(rows), len(idf)
    return sparse.csr_matrix((weights, columns, starts), shape)[:, np.flatnonzero(idf)]


def fit_words(
    store: Store,
    words: list[Words],
    probabilities: np.ndarray,
    about: dict[str, Any],
    floor: dict[str, Any],
    titles: Mapping[str, str],
) -> tuple[TextModel, dict[str, Any]]:
    """Return a text model of the training movies, and the entry "words" of model.json.

    Args:
        words: for each row of the store its words.
        probabilities: (validation movies, G), of the network.
        about: content of model.json, of which the thresholds are read.
        floor: scores of the prior on the validation movies.
        titles: of movies by id. Only those of training movies are used.
    """
    train, val = store.rows("train"), store.rows("val")
    labels = store.labels[val]
    text_model = fit_text_model(
        [words[row] for row in train],
        store.labels[train],
        [titles.get(movie, "") for movie in store.index["id"].iloc[train]],
    )
    evidence = text_model.weigh_evidence([words[row] for row in val])
    weights = choose_weights_by_genre(labels, probabilities, evidence)
    combined = combine(probabilities, evidence, *weights)
    thresholds = choose_thresholds(labels, combined)
    scores = compute_scores(labels, combined, thresholds)
    gain = measure_gain(labels, (combined, thresholds), (probabilities, read_thresholds(about)))
    return text_model, {
        **{name: values.tolist() for name, values in zip(WEIGHTS, weights, strict=True)},
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


def choose_weights_by_genre(
    labels: np.ndarray, probabilities: np.ndarray, evidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights of the network and of the words, and the offset, of each genre, (G,).

    They have the lowest cross-entropy, shrunken to those of `choose_weights`.
    """
    common = choose_weights(labels, probabilities, evidence)
    inputs = [to_logits(probabilities), evidence]
    (image, text), offset = weigh_by_genre(labels, inputs, common)
    return image, text, offset


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
    image, text = (f"{min(entry[name]):.2f} to {max(entry[name]):.2f}" for name in WEIGHTS[:2])
    weights = f"by genre, {image} x network + {text} x words"
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
