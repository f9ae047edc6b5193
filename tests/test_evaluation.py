import numpy as np
import pytest
from sklearn import metrics

import evaluation


def draw_predictions(movies=400, genres=7, seed=0):
    """Labels, probabilities that know something of them (with ties), and thresholds."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(0.03, 0.5, genres)
    labels = (rng.random((movies, genres)) < shares).astype(np.uint8)
    labels[labels.sum(axis=1) == 0, -1] = 1
    noisy = np.clip(shares + 0.15 * labels + rng.normal(0, 0.1, labels.shape), 0.01, 0.99)
    probabilities = noisy.round(2)
    return labels, probabilities, evaluation.choose_thresholds(labels, probabilities)


def test_the_vectorised_scores_agree_with_scikit_learn_on_every_resample():
    labels, probabilities, thresholds = draw_predictions()
    labels[:, 0] = 0  # a genre that nobody carries
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(labels), size=(5, len(labels)))
    weights = np.stack([np.bincount(row, minlength=len(labels)) for row in rows])
    fast = evaluation.score_weighted(labels, probabilities, thresholds, weights)
    for i, row in enumerate(rows):
        slow = evaluation.score(labels[row], probabilities[row], thresholds)
        for name in slow:
            np.testing.assert_allclose(fast[name][i], slow[name], atol=1e-9, err_msg=name)


def test_scores_by_hand():
    labels = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], dtype=np.uint8)
    probabilities = np.array([[0.9, 0.2, 0.4, 0.3], [0.6, 0.5, 0.1, 0.2]])
    scores = evaluation.score(labels, probabilities, np.full(4, 0.5))
    assert scores["precision_at_1"] == 0.5
    assert scores["top3_success"] == 1.5  # 2 of the first movie's genres, 1 of the second's
    assert scores["hamming_loss"] == pytest.approx(2 / 8)
    entropy = [np.log(x).sum() for x in ([0.9, 0.8, 0.4, 0.7], [0.4, 0.5, 0.9, 0.8])]
    assert scores["binary_cross_entropy"] == pytest.approx(-np.sum(entropy) / 8)
    assert np.isnan(scores["average_precision"][3]) and scores["mAP"] == 1


def test_a_model_that_says_the_prior_scores_exactly_the_floor():
    labels, _, _ = draw_predictions()
    prior = evaluation.estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    thresholds = evaluation.choose_thresholds(labels, constant)
    overall, per_genre = evaluation.compare_with_prior(
        labels, constant, thresholds, prior, thresholds
    )
    assert (overall["score"] == overall["floor"]).all()
    assert (per_genre["score"] == per_genre["floor"]).all()
    assert overall.loc["macro_roc_auc", "floor"] == 0.5
    assert overall.loc["mAP", "floor"] == pytest.approx(labels.mean())
    commonest = labels.sum(axis=0).argmax()
    assert overall.loc["precision_at_1", "floor"] == pytest.approx(labels[:, commonest].mean())


def test_a_model_that_knows_scores_one_and_the_interval_holds_the_score():
    labels, probabilities, thresholds = draw_predictions()
    known = np.clip(labels.astype(float), 1e-7, 1 - 1e-7)
    scores = evaluation.score(labels, known, evaluation.choose_thresholds(labels, known))
    for name in ("mAP", "macro_roc_auc", "micro_roc_auc", "macro_f1", "micro_f1", "samples_f1"):
        assert scores[name] == pytest.approx(1)
    assert scores["hamming_loss"] == 0 and scores["binary_cross_entropy"] < 1e-6

    prior = evaluation.estimate_prior(labels)
    overall, _ = evaluation.compare_with_prior(labels, probabilities, thresholds, prior, prior)
    assert (overall["low"] < overall["score"]).all() and (overall["score"] < overall["high"]).all()


def test_the_interval_has_the_width_that_theory_gives():
    labels, probabilities, thresholds = draw_predictions()
    hits = evaluation.score_movies(labels, probabilities, probabilities >= thresholds)
    hits = hits["precision_at_1"]
    resampled = evaluation.bootstrap(labels, probabilities, thresholds)["precision_at_1"]
    assert resampled.std() == pytest.approx(hits.std() / np.sqrt(len(hits)), rel=0.1)


def test_thresholds_maximise_f1():
    labels, probabilities, thresholds = draw_predictions()
    for genre, threshold in enumerate(thresholds):
        truth, scores = labels[:, genre], probabilities[:, genre]
        best = max(metrics.f1_score(truth, scores >= t) for t in np.unique(scores))
        assert metrics.f1_score(truth, scores >= threshold) == pytest.approx(best)
    labels[:, 2] = 0
    assert evaluation.choose_thresholds(labels, probabilities)[2] == 1


def test_the_prior_is_never_zero_or_one():
    prior = evaluation.estimate_prior(np.array([[0, 1, 1], [0, 1, 0]]))
    assert prior == pytest.approx([0.5 / 3, 2.5 / 3, 0.5])
