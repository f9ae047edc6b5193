from types import SimpleNamespace

from postergenres.training.targets import add_hints, make_targets

import numpy as np
import pytest

import model

LABELS = np.random.default_rng(0).integers(0, 2, (9, 3)).astype(np.uint8)
STORE = SimpleNamespace(labels=LABELS)


def test_without_a_teacher_the_targets_are_the_labels():
    train_targets, val_targets = make_targets(STORE, None, None, {"soft_targets": 0, "hints": 0})
    for targets in (train_targets, val_targets):
        assert set(targets) == {"genres"} and targets["genres"].dtype == np.float32
        np.testing.assert_array_equal(targets["genres"], LABELS)


def test_the_teacher_is_shifted_to_the_genre_shares_of_the_sample():
    """A teacher that predicts its prior for every poster becomes one that predicts the sample's."""
    prior, sample_prior = np.array([0.4, 0.5, 0.6]), np.array([0.3, 0.2, 0.9])
    teacher = SimpleNamespace(targets=np.tile(prior, (len(LABELS), 1)), prior=prior)
    settings = {"soft_targets": 1.0, "hints": 0.0}
    train_targets, val_targets = make_targets(STORE, teacher, sample_prior, settings)
    np.testing.assert_allclose(
        train_targets["genres"], np.tile(sample_prior, (len(LABELS), 1)), rtol=1e-5
    )
    np.testing.assert_array_equal(val_targets["genres"], LABELS)


def test_soft_targets_are_a_weighted_mean_of_labels_and_teacher():
    prior = np.full(3, 0.5)
    teacher = SimpleNamespace(targets=np.full((len(LABELS), 3), 0.8), prior=prior)
    settings = {"soft_targets": 0.25, "hints": 0.0}
    train_targets, _ = make_targets(STORE, teacher, prior, settings)
    np.testing.assert_allclose(train_targets["genres"], 0.75 * LABELS + 0.25 * 0.8, rtol=1e-6)


def test_hints_are_the_features_in_training_and_validation():
    features = np.zeros((len(LABELS), 5), np.float32)
    teacher = SimpleNamespace(targets=None, prior=None, features=features)
    settings = {"soft_targets": 0.0, "hints": 0.1}
    for targets in make_targets(STORE, teacher, np.full(3, 0.5), settings):
        assert targets["hints"] is features
        np.testing.assert_array_equal(targets["genres"], LABELS)


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
