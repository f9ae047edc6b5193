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
