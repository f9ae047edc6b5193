from dataclasses import replace

from postergenres.dataset.store import open_store
from postergenres.files import identify_folder
from postergenres.training import loop
from postergenres.training.input import draw_sample
from postergenres.training.schedule import make_schedule
from postergenres.training.soft_targets import Teacher, make_targets
from postergenres.training.weights import open_weights

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@pytest.fixture
def run(pipeline):
    """What training "improved" with a teacher depends on."""
    store = open_store(pipeline.data)
    sample, count = draw_sample(store), len(store.labels)
    features = np.zeros((count, 4), np.float32)
    teacher = Teacher(np.full((count, 3), 0.5), np.full(3, 0.5), features, about={"outputs": "f"})
    targets = make_targets(store.labels, sample.shares, teacher, soft_targets=0.7, hints=0.1)
    return loop.Run(store, sample, targets, make_schedule("improved", epochs=3), seed=4)


def test_model_json_records_every_setting(run):
    assert run.describe_settings() == {
        **{"architecture": "improved", "epochs": 3, "batch_size": 32, "learning_rate": 1e-3},
        **{"patience": 5, "ema_momentum": 0.0, "shift": 0.0, "crop": 0.0, "color": 0.0},
        **{"soft_targets": 0.7, "hints": 0.1, "seed": 4, "precision": "auto"},
    }


def test_checkpoints_depend_on_settings_stages_store_teacher_weights_and_versions(run):
    weights = open_weights("improved", "improved")
    about = replace(run, weights=weights).describe()
    assert about["weights"]["checksum"] == identify_folder(weights.folder)
    assert about["settings"] == run.describe_settings()
    assert [stage["end"] for stage in about["stages"]] == [3]
    assert about["store"] == run.store.sha256 and about["teacher"] == {"outputs": "f"}
    assert "tensorflow" in about["versions"]


def test_the_network_is_compiled_with_the_losses_of_its_outputs(run):
    assert run.targets.loss == "genres_loss"
    batches, val_batches = loop.open_batches(run)
    assert set(batches[0][1]) == set(val_batches[0][1]) == {"genres", "hints"}
    assert len(batches.order) == len(run.sample.rows) and batches.shuffle.seed == 4
    np.testing.assert_array_equal(val_batches.order, run.sample.val)


def test_the_history_numbers_epochs_over_all_stages_and_keeps_the_loss_of_the_genres():
    logs = {"loss": 9.0, "genres_loss": 0.5, "val_loss": 9.0, "val_genres_loss": 0.25}
    epochs = [logs | {"hints_loss": 1.0, "learning_rate": 0.125}] * 2
    history = loop.tabulate_epochs(epochs, start=4, loss="genres_loss")
    assert list(history.columns) == ["epoch", "loss", "val_loss", "learning_rate"]
    assert history.to_numpy().tolist() == [[5, 0.5, 0.25, 0.125], [6, 0.5, 0.25, 0.125]]


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.5, 0.25, 0.125],
        "val_loss": [0.5, 0.375, 0.4375],
        "learning_rate": [0.001, 0.0005, 0.0],
    }
)


def test_the_history_is_a_table_and_a_picture(tmp_path):
    loop.save_history(HISTORY, 0.6, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "training.png"]
    assert pd.read_csv(tmp_path / "history.csv").equals(HISTORY)
    with Image.open(tmp_path / "training.png") as picture:
        assert picture.width > 500


def test_the_picture_marks_the_kept_epoch_and_the_floor():
    (axes,) = loop.draw_history(HISTORY, 0.6).axes
    (kept,) = axes.texts
    assert kept.get_text() == "kept" and kept.xy == (2, 0.375)
    floor = axes.lines[-1]
    assert set(floor.get_ydata()) == {0.6} and "floor" in floor.get_label()
