from types import SimpleNamespace

from postergenres.scores.metrics import choose_thresholds, compute_scores
from postergenres.scores.predicted_genres import describe_thresholds
from postergenres.words.combination import WEIGHTS, combine
from postergenres.words.fitting import (
    RATIOS,
    choose_weights,
    fit_words,
    format_words,
    measure_gain,
)

import numpy as np
import pandas as pd
import pytest
from conftest import draw_predictions
from scipy.special import expit, logit


def draw_evidence(labels, strength, seed=1):
    noise = np.random.default_rng(seed).normal(0, 1, labels.shape)
    return strength * (labels - labels.mean(axis=0)) + noise


def score(labels, probabilities):
    return compute_scores(labels, probabilities, choose_thresholds(labels, probabilities))


def test_helpful_words_get_a_weight_that_lowers_the_loss_and_raises_the_map():
    labels, probabilities, _ = draw_predictions()
    evidence = draw_evidence(labels, 2)
    weights = choose_weights(labels, probabilities, evidence)
    assert min(weights) > 0.1
    alone, both = (
        score(labels, probabilities),
        score(labels, combine(probabilities, evidence, *weights)),
    )
    assert both["mAP"] > alone["mAP"] + 0.05
    assert both["binary_cross_entropy"] < alone["binary_cross_entropy"]


def test_the_size_of_the_weights_corrects_overconfidence():
    labels, probabilities, _ = draw_predictions()
    overconfident = expit(3 * logit(probabilities))
    once = choose_weights(labels, probabilities, 0 * probabilities)
    thrice = choose_weights(labels, overconfident, 0 * probabilities)
    assert thrice[0] == pytest.approx(once[0] / 3, abs=0.01)
    assert once[1] == thrice[1] == 0  # equal scores: the smallest weight
    evidence = 3 * draw_evidence(labels, 2)
    image, words = choose_weights(labels, overconfident, evidence)
    assert image != 1 and abs(RATIOS - words / image).min() < 1e-9  # their ratio is the best one


def test_words_of_the_wrong_sign_get_no_weight():
    labels, probabilities, _ = draw_predictions()
    assert choose_weights(labels, probabilities, -draw_evidence(labels, 2))[1] == 0


def test_the_gain_is_paired_and_its_interval_contains_it():
    labels, probabilities, thresholds = draw_predictions()
    alone = probabilities, thresholds
    assert measure_gain(labels, alone, alone) == {"gain": 0, "low": 0, "high": 0}
    better = combine(probabilities, draw_evidence(labels, 2), 1, 1), thresholds
    gain = measure_gain(labels, better, alone)
    assert 0 < gain["low"] < gain["gain"] < gain["high"]
    assert gain["gain"] == pytest.approx(
        compute_scores(labels, *better)["mAP"] - compute_scores(labels, *alone)["mAP"]
    )


def draw_store(texts):
    """A store of 400 movies with words that tell genre A if texts do, and predictions for it."""
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 2)) < [0.3, 0.6]).astype(np.uint8)
    words = [[(texts[x], 0.9)] for x in labels[:, 0]]
    rows = {"train": np.arange(200), "val": np.arange(200, 400)}
    index = pd.DataFrame({"id": [f"tt{row:07d}" for row in range(400)]})
    store = SimpleNamespace(labels=labels, rows=rows.get, genres=["A", "B"], index=index)
    probabilities = np.clip(0.4 + rng.normal(0, 0.1, (200, 2)), 0.1, 0.9)
    thresholds = choose_thresholds(labels[200:], probabilities, 1)
    about = {"genres": ["A", "B"]} | describe_thresholds(thresholds, ["A", "B"])
    floor = score(labels[200:], np.full((200, 2), 0.4))
    return store, words, probabilities, about, floor


@pytest.mark.parametrize("texts", [("nothing", "blood"), ("nothing", "nothing")])
def test_the_entry_of_model_json_says_what_the_words_add(fake_reader, texts):
    arguments = draw_store(texts)
    text_model, entry = fit_words(*arguments, titles={})
    assert entry["reader"].startswith("rapidocr 0, onnxruntime 0; ")
    assert set(entry["thresholds"]) == {"A", "B"}
    evidence = text_model.weigh_evidence(arguments[1][200:])
    both = combine(arguments[2], evidence, *(np.array(entry[x]) for x in WEIGHTS))
    mean = entry["scores"]["mAP"]
    assert mean["score"] == pytest.approx(score(arguments[0].labels[200:], both)["mAP"])
    assert mean["floor"] == arguments[4]["mAP"] and entry["scores"]["split"] == "val"
    out = format_words(entry)
    has_helped = texts[1] == "blood"
    assert (entry["mAP_gain"]["low"] > 0.1) == has_helped
    assert ("so the words may not help; they are used." in out) != has_helped
    assert f"mAP with words minus without: {entry['mAP_gain']['gain']:+.4f}, 95 % interval" in out


def test_titles_of_validation_movies_are_not_used(fake_reader):
    arguments = draw_store(("nothing", "blood"))
    ids, is_bloody = arguments[0].index["id"], arguments[0].labels[:, 0]
    titles = {movie: ("Nothing", "Blood")[x] for movie, x in zip(ids, is_bloody, strict=True)}
    of_training = {movie: titles[movie] for movie in ids[:200]}
    models = [fit_words(*arguments, titles=x)[0] for x in ({}, of_training, titles)]
    without, trained, both = (model.weigh_evidence([[("blood", 0.9)]]) for model in models)
    np.testing.assert_array_equal(trained, both)
    assert trained[0, 0] > without[0, 0] + 0.1
