from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.scores.metrics import estimate_prior
from postergenres.training import loop

import numpy as np
import pytest
from scipy.special import expit, logit

SETTINGS = {
    "architecture": "efficientnet_lite0",
    "epochs": 3,
    "learning_rate": 1e-3,
    "soft_targets": 0.0,
    "hints": 0.0,
}


@pytest.fixture
def store(pipeline):
    return open_store(pipeline.data)


def test_the_sample_repeats_training_rows_by_their_copies(store):
    run = loop.plan_run(SETTINGS, store, teacher=None)
    rows, counts = np.unique(run.sample, return_counts=True)
    np.testing.assert_array_equal(rows, store.rows("train"))
    np.testing.assert_array_equal(counts, store.index["copies"].iloc[rows])
    np.testing.assert_array_equal(run.val, store.rows("val"))
    assert run.devices.size == 1 and run.loss == "loss"
    np.testing.assert_array_equal(run.train_targets["genres"], store.labels)


def test_a_run_can_have_a_sample_of_its_own(store):
    sample = np.array([3, 3, 5])
    run = loop.plan_run(SETTINGS, store, teacher=None, sample=sample)
    assert run.sample is sample
    np.testing.assert_array_equal(
        run.prior_shift, loop.compute_prior_shift(store, sample, store.rows("val"))
    )


def test_with_hints_the_loss_of_the_genres_has_another_name(store):
    teacher = SimpleNamespace(features=np.zeros((len(store.labels), 4), np.float32), sha256=["f"])
    run = loop.plan_run(SETTINGS | {"hints": 0.1}, store, teacher)
    assert run.loss == "genres_loss"
    assert loop.list_inputs(store, teacher)["teacher"] == ["f"]
    assert loop.list_inputs(store, None)["teacher"] is None


def test_the_prior_shift_turns_the_prior_of_the_sample_into_that_of_validation(store):
    sample, val = np.repeat(store.rows("train")[:20], 3), store.rows("val")
    shift = loop.compute_prior_shift(store, sample, val)
    shifted = expit(logit(estimate_prior(store.labels[sample])) + shift)
    np.testing.assert_allclose(shifted, estimate_prior(store.labels[val]))


def test_each_stage_has_checkpoints_in_its_own_folder(store, tmp_path):
    stages = loop.open_stages(loop.describe_stages(SETTINGS, store, None), tmp_path)
    assert [stage.name for stage, _ in stages] == ["last-blocks", "all"]
    for stage, checkpoints in stages:
        assert checkpoints.folder == tmp_path / "unfinished" / stage.name
        assert checkpoints.settings["store"] == store.sha256
        assert checkpoints.settings["epochs"] == 3
        assert checkpoints.settings["stage"]["end"] == stage.end
    assert not (tmp_path / "discarded").exists()


def test_the_history_numbers_epochs_over_all_stages_and_keeps_the_loss_of_the_genres():
    logs = {"loss": 9.0, "genres_loss": 0.5, "val_loss": 9.0, "val_genres_loss": 0.25}
    epochs = [logs | {"hints_loss": 1.0, "learning_rate": 0.125}] * 2
    history = loop.tabulate_epochs(epochs, start=4, loss="genres_loss")
    assert list(history.columns) == ["epoch", "loss", "val_loss", "learning_rate"]
    assert history.to_numpy().tolist() == [[5, 0.5, 0.25, 0.125], [6, 0.5, 0.25, 0.125]]
