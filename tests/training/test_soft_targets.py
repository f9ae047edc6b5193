from postergenres.training import soft_targets
from postergenres.training.soft_targets import Teacher, add_hints, make_targets

import numpy as np
import pytest

import model

LABELS = np.random.default_rng(0).integers(0, 2, (9, 3)).astype(np.uint8)
HALF = np.full(3, 0.5)


def teach(targets=HALF, prior=HALF, features=None):
    return Teacher(np.tile(targets, (len(LABELS), 1)), prior, features, about={"outputs": "x"})


def test_without_a_teacher_the_targets_are_the_labels():
    made = make_targets(LABELS, HALF)
    for targets in (made.train, made.val):
        assert set(targets) == {"genres"} and targets["genres"].dtype == np.float32
        np.testing.assert_array_equal(targets["genres"], LABELS)
    assert made.loss == "loss" and made.teacher is None


def test_the_teacher_is_shifted_to_the_genre_shares_of_the_sample():
    """A teacher that predicts its prior for every poster becomes one that predicts the sample's."""
    prior, sample_prior = np.array([0.4, 0.5, 0.6]), np.array([0.3, 0.2, 0.9])
    made = make_targets(LABELS, sample_prior, teach(prior, prior), soft_targets=1.0)
    expected = np.tile(sample_prior, (len(LABELS), 1))
    np.testing.assert_allclose(made.train["genres"], expected, rtol=1e-5)
    np.testing.assert_array_equal(made.val["genres"], LABELS)


def test_soft_targets_are_a_weighted_mean_of_labels_and_teacher():
    made = make_targets(LABELS, HALF, teach(np.full(3, 0.8)), soft_targets=0.25)
    np.testing.assert_allclose(made.train["genres"], 0.75 * LABELS + 0.25 * 0.8, rtol=1e-6)
    assert made.soft_targets == 0.25 and made.teacher == {"outputs": "x"}


def test_hints_are_the_features_in_training_and_validation():
    features = np.zeros((len(LABELS), 5), np.float32)
    made = make_targets(LABELS, HALF, teach(features=features), hints=0.1)
    for targets in (made.train, made.val):
        assert targets["hints"] is features
        np.testing.assert_array_equal(targets["genres"], LABELS)
    assert made.hints == 0.1 and made.loss == "genres_loss"


@pytest.mark.parametrize("architecture", ["improved", "study"])
def test_hints_are_an_output_on_the_hidden_layer(architecture):
    network = model.build_network(architecture, 48, 32, 3)
    training_network = add_hints(network, {"genres": None, "hints": np.zeros((9, 5))})
    assert {name: output.shape for name, output in training_network.output.items()} == {
        "genres": (None, 3),
        "hints": (None, 5),
    }
    assert training_network.get_layer("hints").input is network.get_layer("hidden").output
    assert set(add_hints(network, {"genres": None}).output) == {"genres"}


# --- the teacher ----------------------------------------------------------------------------------

TRAIN = np.arange(50)  # of 60 posters


def test_features_are_reduced_to_principal_components_of_the_training_posters():
    features = np.random.default_rng(0).normal(3, [5, 2, 1, 0.1], (60, 4))
    reduced = soft_targets.reduce_features(features, TRAIN, 2)
    assert reduced.shape == (60, 2) and reduced.dtype == np.float32
    assert reduced[TRAIN].var(axis=0, ddof=1).mean() == pytest.approx(1, abs=1e-5)
    assert reduced[TRAIN].mean(axis=0) == pytest.approx(0, abs=1e-5)
    correlation = np.corrcoef(reduced[:, 0], features[:, 0])[0, 1]
    assert abs(correlation) > 0.99
    assert soft_targets.reduce_features(features, TRAIN[:3], 4).shape == (60, 3)


def fit(labels):
    features = np.random.default_rng(0).normal(size=(60, 4))
    return soft_targets.fit_targets(features, labels, TRAIN, regularization=1.0, seed=0)


def flip(labels, rows):
    changed = labels.copy()
    changed[rows] = 1 - changed[rows]
    return changed


def test_no_training_poster_gets_probabilities_from_its_own_labels():
    """The probabilities of a poster do not change with its labels; those of other posters do."""
    labels = np.random.default_rng(1).integers(0, 2, (60, 2))
    before = fit(labels)
    assert before.dtype == np.float32
    for row in (0, 17, 49):
        after = fit(flip(labels, row))
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any(axis=1).sum() > 40
    after = fit(flip(labels, np.arange(50, 60)))  # validation and test
    np.testing.assert_array_equal(after, before)


def test_words_are_weighed_without_the_labels_of_validation_and_test():
    words = [[(f"word{row % 7}", 0.9)] for row in range(60)]
    labels = np.random.default_rng(0).integers(0, 2, (60, 2))
    targets = np.full((60, 2), 0.3)
    before = soft_targets.add_words(targets, words, labels, TRAIN, seed=0)
    assert before.dtype == np.float32 and len(np.unique(before[50:])) > 2
    changed = flip(labels, np.arange(50, 60))
    after = soft_targets.add_words(targets, words, changed, TRAIN, seed=0)
    np.testing.assert_array_equal(after, before)


def test_a_genre_that_no_poster_carries_gets_its_prior():
    labels = np.zeros((60, 1), int)
    np.testing.assert_allclose(fit(labels)[50:], 0.5 / 51, rtol=1e-6)
