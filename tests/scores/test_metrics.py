from itertools import combinations

from postergenres.scores import metrics

import numpy as np
import pytest
from conftest import draw_predictions
from sklearn import metrics as sklearn_metrics


def test_scores_equal_a_calculation_by_hand():
    labels = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], dtype=np.uint8)
    probabilities = np.array([[0.9, 0.2, 0.4, 0.3], [0.6, 0.5, 0.1, 0.2]])
    thresholds = metrics.Thresholds(np.full(4, 0.5), micro=0.4, samples=0.5)
    scores = metrics.compute_scores(labels, probabilities, thresholds)
    assert scores["precision_at_1"] == 0.5
    assert scores["top3_success"] == 1.5  # 2 of the first movie's genres, 1 of the second's
    assert scores["hamming_loss"] == pytest.approx(2 / 8)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores["micro_f1"] == pytest.approx(2 * 3 / (3 + 4))
    assert scores["samples_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    entropy = [np.log(x).sum() for x in ([0.9, 0.8, 0.4, 0.7], [0.4, 0.5, 0.9, 0.8])]
    assert scores["binary_cross_entropy"] == pytest.approx(-np.sum(entropy) / 8)
    assert np.isnan(scores["average_precision"][3]) and scores["mAP"] == 1


def test_thresholds_maximize_f1():
    labels, probabilities, thresholds = draw_predictions()
    for genre, threshold in enumerate(thresholds.genres):
        truth, scores = labels[:, genre], probabilities[:, genre]
        best = max(sklearn_metrics.f1_score(truth, scores >= t) for t in np.unique(scores))
        assert sklearn_metrics.f1_score(truth, scores >= threshold) == pytest.approx(best)
    candidates = np.unique(probabilities)
    for average in ("micro", "samples"):
        reached, *all_f1 = [
            sklearn_metrics.f1_score(labels, probabilities >= t, average=average, zero_division=0)
            for t in (getattr(thresholds, average), *candidates)
        ]
        assert reached == pytest.approx(max(all_f1))


def test_a_genre_with_few_movies_gets_the_shared_threshold():
    labels, probabilities, thresholds = draw_predictions()
    counts = labels.sum(axis=0)
    labels[:, 2] = 0
    some = metrics.choose_thresholds(labels, probabilities, min_support=int(counts[4]))
    assert (some.genres[:4] == some.micro).all() and (
        some.genres[4:] == thresholds.genres[4:]
    ).all()


def test_the_floors_of_f1_are_the_best_f1_of_a_constant_prediction():
    smoothed = metrics.estimate_prior(np.array([[0, 1, 1], [0, 1, 0]]))
    assert smoothed == pytest.approx([0.5 / 3, 2.5 / 3, 0.5])  # never 0 or 1
    labels, _, _ = draw_predictions()
    prior = metrics.estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    floor = metrics.compute_scores(labels, constant, metrics.choose_thresholds(labels, constant))
    most_common = np.argsort(-prior)
    for average in ("micro", "samples"):
        best = 0
        for count in range(1, len(prior) + 1):
            constant = np.zeros_like(labels)
            constant[:, most_common[:count]] = 1
            best = max(best, sklearn_metrics.f1_score(labels, constant, average=average))
        assert floor[f"{average}_f1"] == pytest.approx(best)


def test_the_floor_of_average_precision_is_the_mean_of_all_orders():
    movies, counts = 8, np.array([0, 1, 3, 8])
    means = []
    for count in counts[1:]:
        orders = [np.isin(range(movies), places) for places in combinations(range(movies), count)]
        ranks = -np.arange(movies)
        means.append(np.mean([sklearn_metrics.average_precision_score(x, ranks) for x in orders]))
    labels = (np.arange(movies)[:, None] < counts).astype(np.uint8)
    floor = metrics.score_prior(np.full(4, 0.5), labels)
    assert floor["average_precision"] == pytest.approx([np.nan, *means], nan_ok=True)
    assert floor["mAP"] == pytest.approx(np.mean(means))
    assert metrics.random_average_precision(np.array([1]), 1) == [1]


def test_calibration_equals_scikit_learn_and_a_calculation_by_hand():
    labels, probabilities, thresholds = draw_predictions()
    probabilities[0] = 1  # is in the last bin
    scores = metrics.compute_scores(labels, probabilities, thresholds)
    truth, predicted = labels.ravel(), probabilities.ravel()
    assert scores["brier_score"] == pytest.approx(
        sklearn_metrics.brier_score_loss(truth, predicted)
    )
    error, table = 0, []
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = (predicted >= low) & ((predicted < high) | (number == 14))
        if inside.any():
            table.append((predicted[inside].mean(), truth[inside].mean(), inside.sum()))
            error += inside.mean() * abs(truth[inside].mean() - predicted[inside].mean())
    assert scores["calibration_error"] == pytest.approx(error)
    reliability = metrics.measure_reliability(labels, probabilities)
    np.testing.assert_allclose(reliability, table)


def test_confusions_equal_a_calculation_by_hand():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    predicted = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]])
    confusions, floor = metrics.measure_confusions(labels, predicted)
    assert confusions[0, 1] == 1  # the one movie that has the first genre without the second
    assert confusions[1, 0] == 1 and confusions[0, 2] == 0.5
    assert np.isnan(confusions[0, 0]) and np.isnan(confusions[2]).all()  # no such movies
    assert list(floor) == [1, 1, pytest.approx(1 / 3)]


def test_scores_are_shown_beside_their_floor():
    labels, probabilities, thresholds = draw_predictions()
    labels[:] = 1  # then ROC-AUC is not defined
    scores = metrics.compute_scores(labels, probabilities, thresholds)
    rows = metrics.beside_floor(scores, scores)
    assert rows["macro_roc_auc"] == {"score": None, "floor": None}
    lines = metrics.format_scores(rows).splitlines()
    assert len(lines) == len(metrics.SCORES)
    line = next(line for line in lines if "macro ROC-AUC" in line)
    assert line.split()[-3:] == ["-", "floor", "-"]
