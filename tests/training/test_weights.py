from postergenres.dataset.store import open_store
from postergenres.files import record_checksums, write_json
from postergenres.models.saved import open_model, predict_probabilities
from postergenres.settings import SettingError
from postergenres.training import trained_on
from postergenres.training.weights import check_size, open_weights, start_network

import numpy as np
import pytest
from scipy.special import logit

import model


@pytest.fixture
def folder(pipeline, tmp_path):
    """The folder of a network with random weights for two genres of the pipeline, and another."""
    network = model.build_network("improved", 48, 32, 3)
    folder = tmp_path / "weights"
    folder.mkdir()
    network.save(folder / "model.keras")
    about = {"genres": ["Drama", "Opera", "Action"], "H": 48, "W": 32}
    about |= {"prior": {"Drama": 0.5, "Opera": 0.1, "Action": 0.2}}
    about |= {"settings": {"architecture": "improved"}}
    write_json(about, folder / "model.json")
    np.save(folder / trained_on.FILE, np.zeros((1, 40), np.uint8))
    record_checksums(folder, ["model.keras", "model.json", trained_on.FILE])
    return folder


def test_known_genres_keep_their_head_and_new_ones_get_one_that_is_fitted(pipeline, folder):
    store = open_store(pipeline.data)  # Action, Comedy, Drama
    weights, rows = open_weights(folder, "improved"), store.rows("train")
    before, _ = open_model(folder)
    network = model.build_network("improved", 48, 32, 3)
    start_network(network, weights, store, rows)
    logits = logit(predict_probabilities(network, store.images, rows))
    expected = logit(predict_probabilities(before, store.images, rows))
    shares = store.labels[rows].mean(axis=0)
    for column, (theirs, prior) in {0: (2, 0.2), 2: (0, 0.5)}.items():
        shift = logit(shares[column]) - logit(prior)
        np.testing.assert_allclose(logits[:, column], expected[:, theirs] + shift, atol=0.02)
    is_comedy = store.labels[rows, 1] == 1
    assert logits[is_comedy, 1].mean() > logits[~is_comedy, 1].mean() + 0.1


def test_weights_of_another_architecture_or_size_are_refused(folder):
    named = 'weights .*ARCHITECTURE, "study", got .*, a network "improved"'
    with pytest.raises(SettingError, match=named):
        open_weights(folder, "study")
    with pytest.raises(SettingError, match="weights should be .*got 'vgg'"):
        open_weights("vgg", "improved")
    command = "Run: python preprocessing.py --image-height 48 --image-width 32$"
    with pytest.raises(SystemExit, match=f"48 x 32 pixels, and the store has 60 x 40. {command}"):
        check_size(open_weights(folder, "improved"), 60, 40)
    check_size(open_weights("efficientnet_lite2", "efficientnet_lite2"), 60, 40)
