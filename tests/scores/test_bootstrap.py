from postergenres.scores import bootstrap, metrics

import numpy as np
import pytest
from conftest import draw_predictions
from sklearn.metrics import average_precision_score


def scale_to_prevalence(weights, labels):
    """Return factors after which positives and negatives weigh as much as without weights."""
    shares = [(labels == label).sum() / max(weights[labels == label].sum(), 1) for label in (0, 1)]
    return np.where(labels, shares[1], shares[0])


def test_the_vectorized_scores_equal_scikit_learn_on_every_resample():
    labels, probabilities, thresholds = draw_predictions()
    labels[:, 0] = 0  # a genre without movies
    probabilities[:, 1] = 0.25  # a constant prediction
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(labels), size=(5, len(labels)))
    weights = np.stack([np.bincount(row, minlength=len(labels)) for row in rows])
    fast = bootstrap.WeightedScores(labels, probabilities, thresholds).score(weights)
    assert set(metrics.SCORES) - set(fast) == {"calibration_error"}
    for i, row in enumerate(rows):
        slow = metrics.compute_scores(labels[row], probabilities[row], thresholds)
        scaled = [weights[i] * scale_to_prevalence(weights[i], each) for each in labels.T]
        columns = zip(labels.T, probabilities.T, scaled, strict=True)
        slow["average_precision"] = [
            average_precision_score(each, ranked, sample_weight=weight) if each.any() else np.nan
            for each, ranked, weight in columns
        ]
        slow["mAP"] = np.nanmean(slow["average_precision"])
        for name in fast:
            np.testing.assert_allclose(fast[name][i], slow[name], atol=1e-9, err_msg=name)


def test_a_model_that_predicts_the_prior_scores_exactly_the_floor_except_by_its_order():
    """A tie of all movies scores less than a random order on average."""
    labels, _, _ = draw_predictions()
    prior = metrics.estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    thresholds = metrics.choose_thresholds(labels, constant)
    overall, per_genre = bootstrap.compare_with_prior(labels, constant, thresholds, prior, labels)
    others = overall.drop("mAP")
    assert (others["score"] == others["floor"]).all()
    assert (per_genre["score"] < per_genre["floor"]).all()
    assert overall.loc["macro_roc_auc", "floor"] == 0.5
    assert overall.loc["mAP", "score"] == pytest.approx(labels.mean())
    most_common = labels.sum(axis=0).argmax()
    assert overall.loc["precision_at_1", "floor"] == pytest.approx(labels[:, most_common].mean())


def test_the_interval_has_the_width_of_the_normal_approximation():
    labels, probabilities, thresholds = draw_predictions()
    prior = metrics.estimate_prior(labels)
    overall, _ = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    row = overall.loc["precision_at_1"]
    hits = metrics.score_movies(labels, probabilities, thresholds)["precision_at_1"]
    resampled = bootstrap.bootstrap(labels, probabilities, thresholds)["precision_at_1"]
    assert resampled.std() == pytest.approx(hits.std() / np.sqrt(len(hits)), rel=0.1)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * resampled.std(), rel=0.08)


def test_the_scores_do_not_depend_on_how_many_resamples_are_scored_at_once():
    predictions = draw_predictions()
    together = bootstrap.bootstrap(*predictions, resamples=20)
    apart = bootstrap.bootstrap(*predictions, resamples=20, weights=3 * predictions[0].size)
    assert len(together["mAP"]) == 20
    for name, values in together.items():
        np.testing.assert_allclose(apart[name], values, rtol=1e-5, err_msg=name)


def test_perfect_predictions_score_one_and_the_interval_contains_the_score():
    labels, probabilities, thresholds = draw_predictions()
    perfect = np.clip(labels.astype(float), 1e-7, 1 - 1e-7)
    scores = metrics.compute_scores(labels, perfect, metrics.choose_thresholds(labels, perfect))
    for name in ("mAP", "macro_roc_auc", "micro_roc_auc", "macro_f1", "micro_f1", "samples_f1"):
        assert scores[name] == pytest.approx(1)
    assert scores["hamming_loss"] == 0 and scores["binary_cross_entropy"] < 1e-6
    assert scores["brier_score"] < 1e-9 and scores["calibration_error"] < 1e-6

    prior = metrics.estimate_prior(labels)
    overall, _ = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    has_none = overall["low"].isna() & overall["high"].isna()
    assert list(overall.index[has_none]) == ["calibration_error"]  # chance only makes it larger
    others = overall[~has_none]
    assert (others["low"] < others["score"]).all() and (others["score"] < others["high"]).all()


@pytest.mark.filterwarnings("error")
def test_a_single_genre_and_absent_genres_can_be_scored():
    ones = np.ones((20, 1), dtype=np.uint8)
    probabilities = np.linspace(0.1, 0.9, 20)[:, None]
    thresholds = metrics.choose_thresholds(ones, probabilities)
    prior = np.array([0.9])
    overall, _ = bootstrap.compare_with_prior(ones, probabilities, thresholds, prior, ones)
    assert overall.loc["mAP", "score"] == pytest.approx(1)
    assert np.isnan(overall.loc["macro_roc_auc", "score"])
    labels = np.column_stack([ones, np.zeros_like(ones)])
    scores = metrics.compute_scores(
        labels, np.full((20, 2), 0.5), thresholds._replace(genres=[0.9, 0.9])
    )
    assert scores["macro_f1"] == 0 and np.isnan(scores["average_precision"][1])


def test_few_positives_that_rank_first_have_an_interval_of_some_width():
    """All resamples score 1; percentiles would claim certainty."""
    labels = np.zeros((300, 1), dtype=np.uint8)
    labels[:5] = 1
    probabilities = np.linspace(0.9, 0.1, 300)[:, None]
    thresholds = metrics.choose_thresholds(labels, probabilities)
    prior = np.array([0.1])
    tables = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    for row in (tables[0].loc["mAP"], tables[1].iloc[0]):
        assert row["score"] == row["high"] == 1 and 0.05 < row["low"] < 0.8
