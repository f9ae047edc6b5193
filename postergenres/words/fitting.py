"""Learn from the words on the training posters; measure on the validation movies what they add."""

from postergenres.scores.bootstrap import bootstrap
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    print_scores,
)
from postergenres.scores.predicted_genres import describe_thresholds, read_thresholds
from postergenres.words.combination import combine
from postergenres.words.reading import describe_reader
from postergenres.words.text_model import fit_text_model

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import average_precision_score, log_loss

RATIOS = np.linspace(0, 2, 41)  # weights of the words, beside 1 for the network, that are tried


def fit_words(store, words, probabilities, about, floor):
    """Fit a text model on the training posters, and its weight on the validation movies.

    Args:
        store: `dataset.store.Store`.
        words: for each row of the store a list of (text, confidence), see `reading.read_words`.
        probabilities: (validation movies, G), of the network.
        about: content of model.json.
        floor: scores of the prior on the validation movies.

    Returns:
        The `TextModel`, and the entry "words" of model.json but the checksum of the model.
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


def choose_weights(labels, probabilities, evidence):
    """Return the weights of the network and of the words, for `combine`.

    Their ratio has the highest mean average precision; their size, which changes no ranking, has
    the lowest cross-entropy.

    Args:
        labels: 0 or 1, (N, G), of the validation movies.
        probabilities, evidence: see `combine`.
    """
    present = labels.any(axis=0)

    def mean_average_precision(ratio):
        combined = combine(probabilities, evidence, 1, ratio)
        return average_precision_score(labels[:, present], combined[:, present])

    def cross_entropy(size):
        combined = combine(probabilities, evidence, size, size * ratio)
        return log_loss(labels.ravel(), combined.ravel(), labels=[0, 1])

    ratio = max(RATIOS, key=mean_average_precision)
    size = minimize_scalar(cross_entropy, bounds=(0.1, 2), method="bounded").x
    return float(size), float(size * ratio)


def measure_gain(labels, with_words, without_words):
    """Return how much higher the mAP is with words: the gain, and its 95 % interval.

    The interval has the percentiles of a bootstrap in which both are scored on the same resamples
    of the movies.

    Args:
        labels: 0 or 1, (N, G).
        with_words, without_words: pairs of probabilities, (N, G), and Thresholds.
    """
    scores = [compute_scores(labels, *each)["mAP"] for each in (with_words, without_words)]
    resampled = [bootstrap(labels, *each)["mAP"] for each in (with_words, without_words)]
    low, high = np.percentile(resampled[0] - resampled[1], [2.5, 97.5])
    return {"gain": scores[0] - scores[1], "low": low, "high": high}


def print_words(entry):
    """Print the scores with words, and what the words add.

    Args:
        entry: "words" of model.json.
    """
    weights = f"{entry['image_weight']:.2f} x network + {entry['text_weight']:.2f} x words"
    print(f"with the words on the posters ({weights}):")
    print_scores(entry["scores"])
    gain = entry["mAP_gain"]
    print(
        f"mAP with words minus without: {gain['gain']:+.4f}, 95 % interval "
        f"{gain['low']:+.4f} to {gain['high']:+.4f}"
    )
    if gain["low"] <= 0:
        print(
            "note: the interval is not above 0, so the words may not help; they are used. To train "
            "without them, set WORDS = False in train.py"
        )


def format_words(entry):
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_words(entry)
    return out.getvalue().rstrip("\n")
