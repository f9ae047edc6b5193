from types import SimpleNamespace

from postergenres.scores.metrics import mean_without_nan, score_genres
from postergenres.training.curves import Curves, RankingScores

import numpy as np
import pytest
from conftest import draw_predictions, read_curves
from scipy.special import expit


def test_ranking_scores_equal_those_of_whole_predictions():
    """In batches, of genres of which none has the first and all have the last."""
    labels, _, thresholds = draw_predictions(movies=1000, genres=9)
    labels[:, 0], labels[:, -1] = 0, 1
    probabilities = expit(np.random.default_rng(0).normal(2.0 * labels - 4, 1))
    metric = RankingScores(9)
    for rows in np.array_split(np.arange(1200), 40):  # the last 200 are repeats without a weight
        batch = rows % 1000
        metric.update_state(labels[batch], probabilities[batch], (rows < 1000).astype(np.float32))
    expected = score_genres(labels, probabilities, thresholds)
    found = {name: float(score) for name, score in metric.result().items()}
    assert found["mAP"] == pytest.approx(mean_without_nan(expected["average_precision"]), abs=0.001)
    assert found["macro_roc_auc"] == pytest.approx(mean_without_nan(expected["roc_auc"]), abs=0.001)
    metric.reset_state()
    assert [float(score) for score in metric.result().values()] == [0, 0]


def test_curves_start_with_the_epochs_of_the_stopped_run_and_have_floors(tmp_path):
    epochs = [{"loss": 0.5, "val_loss": 0.25, "val_mAP": 0.125}]
    curves = Curves(tmp_path, SimpleNamespace(epochs=epochs), start=3, floor={"mAP": 0.0625})
    curves.on_train_begin()
    epochs.append({"loss": 0.375, "val_loss": 0.5, "val_mAP": 0.75})
    curves.on_epoch_end(4)
    expected = {  # readable before the training has ended
        ("train", "epoch_loss"): {4: 0.5, 5: 0.375},
        ("validation", "epoch_loss"): {4: 0.25, 5: 0.5},
        ("validation", "epoch_mAP"): {4: 0.125, 5: 0.75},
        ("floor", "epoch_mAP"): {4: 0.0625, 5: 0.0625},
    }
    assert read_curves(tmp_path) == expected
