import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from postergenres.evaluation import bootstrap, metrics


def draw_predictions(movies=400, genres=7, seed=0):
    """Labels, probabilities that know something of them (with ties), and thresholds."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(0.03, 0.5, genres)
    labels = (rng.random((movies, genres)) < shares).astype(np.uint8)
    labels[labels.sum(axis=1) == 0, -1] = 1
    noisy = np.clip(shares + 0.15 * labels + rng.normal(0, 0.1, labels.shape), 0.01, 0.99)
    probabilities = noisy.round(2)
    return labels, probabilities, metrics.choose_thresholds(labels, probabilities, 1)


def test_the_vectorised_scores_agree_with_scikit_learn_on_every_resample():
    labels, probabilities, thresholds = draw_predictions()
    labels[:, 0] = 0  # a genre that nobody carries
    probabilities[:, 1] = 0.25  # an answer that is always the same
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(labels), size=(5, len(labels)))
    weights = np.stack([np.bincount(row, minlength=len(labels)) for row in rows])
    fast = bootstrap.WeightedScores(labels, probabilities, thresholds).score(weights)
    for i, row in enumerate(rows):
        slow = metrics.compute_scores(labels[row], probabilities[row], thresholds)
        for name in slow:
            np.testing.assert_allclose(fast[name][i], slow[name], atol=1e-9, err_msg=name)


def test_scores_by_hand():
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


def test_a_model_that_says_the_prior_scores_exactly_the_floor():
    labels, _, _ = draw_predictions()
    prior = metrics.estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    thresholds = metrics.choose_thresholds(labels, constant)
    overall, per_genre = bootstrap.compare_with_prior(labels, constant, thresholds, prior, labels)
    assert (overall["score"] == overall["floor"]).all()
    assert (per_genre["score"] == per_genre["floor"]).all()
    assert overall.loc["macro_roc_auc", "floor"] == 0.5
    assert overall.loc["mAP", "floor"] == pytest.approx(labels.mean())
    commonest = labels.sum(axis=0).argmax()
    assert overall.loc["precision_at_1", "floor"] == pytest.approx(labels[:, commonest].mean())


def test_a_model_that_knows_scores_one_and_the_interval_holds_the_score():
    labels, probabilities, thresholds = draw_predictions()
    known = np.clip(labels.astype(float), 1e-7, 1 - 1e-7)
    scores = metrics.compute_scores(labels, known, metrics.choose_thresholds(labels, known))
    for name in ("mAP", "macro_roc_auc", "micro_roc_auc", "macro_f1", "micro_f1", "samples_f1"):
        assert scores[name] == pytest.approx(1)
    assert scores["hamming_loss"] == 0 and scores["binary_cross_entropy"] < 1e-6
    assert scores["brier_score"] < 1e-9 and scores["calibration_error"] < 1e-6

    prior = metrics.estimate_prior(labels)
    overall, _ = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    assert (overall["low"] < overall["score"]).all() and (overall["score"] < overall["high"]).all()


def test_the_interval_has_the_width_that_theory_gives():
    labels, probabilities, thresholds = draw_predictions()
    hits = metrics.score_movies(labels, probabilities, thresholds)["precision_at_1"]
    resampled = bootstrap.bootstrap(labels, probabilities, thresholds)["precision_at_1"]
    assert resampled.std() == pytest.approx(hits.std() / np.sqrt(len(hits)), rel=0.1)


def test_the_resamples_are_the_same_however_many_are_scored_at_once(monkeypatch):
    predictions = draw_predictions()
    together = bootstrap.bootstrap(*predictions, resamples=20)
    monkeypatch.setattr(bootstrap, "WEIGHTS", 3 * predictions[0].size)
    apart = bootstrap.bootstrap(*predictions, resamples=20)
    assert len(together["mAP"]) == 20
    for name, values in together.items():
        np.testing.assert_allclose(apart[name], values, rtol=1e-5, err_msg=name)


def test_thresholds_maximise_f1():
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


def test_a_genre_of_few_movies_takes_the_threshold_of_all():
    labels, probabilities, thresholds = draw_predictions()
    counts = labels.sum(axis=0)
    labels[:, 2] = 0
    some = metrics.choose_thresholds(labels, probabilities, min_support=int(counts[4]))
    assert (some.genres[:4] == some.micro).all() and (
        some.genres[4:] == thresholds.genres[4:]
    ).all()


def test_the_floors_of_f1_are_the_best_that_one_answer_for_all_reaches():
    labels, _, _ = draw_predictions()
    prior = metrics.estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    floor = metrics.compute_scores(labels, constant, metrics.choose_thresholds(labels, constant))
    commonest = np.argsort(-prior)
    for average in ("micro", "samples"):
        best = 0
        for count in range(1, len(prior) + 1):
            answer = np.zeros_like(labels)
            answer[:, commonest[:count]] = 1
            best = max(best, sklearn_metrics.f1_score(labels, answer, average=average))
        assert floor[f"{average}_f1"] == pytest.approx(best)


@pytest.mark.filterwarnings("error")
def test_one_genre_and_absent_genres_are_scored():
    ones = np.ones((20, 1), dtype=np.uint8)
    probabilities = np.linspace(0.1, 0.9, 20)[:, None]
    thresholds = metrics.choose_thresholds(ones, probabilities)
    overall, _ = bootstrap.compare_with_prior(
        ones, probabilities, thresholds, np.array([0.9]), ones
    )
    assert overall.loc["mAP", "score"] == pytest.approx(1)
    assert np.isnan(overall.loc["macro_roc_auc", "score"])
    labels = np.column_stack([ones, np.zeros_like(ones)])
    scores = metrics.compute_scores(
        labels, np.full((20, 2), 0.5), thresholds._replace(genres=[0.9, 0.9])
    )
    assert scores["macro_f1"] == 0 and np.isnan(scores["average_precision"][1])


def test_the_prior_is_never_zero_or_one():
    prior = metrics.estimate_prior(np.array([[0, 1, 1], [0, 1, 0]]))
    assert prior == pytest.approx([0.5 / 3, 2.5 / 3, 0.5])


def test_calibration_agrees_with_scikit_learn_and_with_a_count_by_hand():
    labels, probabilities, thresholds = draw_predictions()
    probabilities[0] = 1  # belongs to the last bin
    scores = metrics.compute_scores(labels, probabilities, thresholds)
    truth, said = labels.ravel(), probabilities.ravel()
    assert scores["brier_score"] == pytest.approx(sklearn_metrics.brier_score_loss(truth, said))
    error, table = 0, []
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = (said >= low) & ((said < high) | (number == 14))
        if inside.any():
            table.append((said[inside].mean(), truth[inside].mean(), inside.sum()))
            error += inside.mean() * abs(truth[inside].mean() - said[inside].mean())
    assert scores["calibration_error"] == pytest.approx(error)
    reliability = metrics.measure_reliability(labels, probabilities)
    np.testing.assert_allclose(reliability, table)


def test_mistakes_by_hand():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    predicted = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]])
    shares, anyway = metrics.count_mistakes(labels, predicted)
    assert shares[0, 1] == 1  # the one movie of the first genre without the second
    assert shares[1, 0] == 1 and shares[0, 2] == 0.5
    assert np.isnan(shares[0, 0]) and np.isnan(shares[2]).all()  # of no movie, no share
    assert list(anyway) == [1, 1, pytest.approx(1 / 3)]


def test_labels_that_are_shuffled_give_the_floors():
    labels, probabilities, _ = draw_predictions(movies=1000)
    shuffled = np.random.default_rng(1).permutation(labels)
    prior = metrics.estimate_prior(shuffled)
    thresholds = metrics.choose_thresholds(shuffled, probabilities)
    overall, _ = bootstrap.compare_with_prior(shuffled, probabilities, thresholds, prior, shuffled)
    for name in ("mAP", "macro_roc_auc"):
        row = overall.loc[name]
        assert row["low"] <= row["floor"] * 1.02 and row["floor"] <= row["high"] * 1.02
    for name in ("binary_cross_entropy", "brier_score"):
        assert overall.loc[name, "score"] > overall.loc[name, "floor"]
