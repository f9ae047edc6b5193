import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import preprocessing
import train


def test_it_learns_what_the_posters_show(pipeline):
    """The colours tell the genres: far above the floor in eight epochs on 105 posters."""
    scores = pipeline.scores
    assert scores.loc["macro_roc_auc", "score"] > 0.9 > 0.5 == scores.loc["macro_roc_auc", "floor"]
    assert scores.loc["mAP", "low"] > scores.loc["mAP", "floor"]
    cross_entropy = scores.loc["binary_cross_entropy"]
    assert cross_entropy["score"] < cross_entropy["floor"]


def test_it_writes_the_model_the_history_and_a_picture(pipeline):
    folder = pipeline.data / "model"
    assert {path.name for path in folder.iterdir()} == {
        "model.keras",
        "model.json",
        "history.csv",
        "training.png",
    }
    about = json.loads((folder / "model.json").read_text())
    assert about == pipeline.about
    assert about["genres"] == ["Action", "Comedy", "Drama"] and (about["H"], about["W"]) == (48, 32)
    assert about["settings"]["epochs"] == 8 and about["settings"]["batch_size"] == 16
    assert set(about["thresholds"]) == set(about["genres"])
    assert set(about["shared_thresholds"]) == {"micro", "samples"}
    assert {"python", "tensorflow", "keras"} <= set(about["versions"])
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == list(range(1, 9))
    assert about["best_epoch"] == history["epoch"][history["val_loss"].idxmin()]
    with Image.open(folder / "training.png") as picture:
        assert picture.width > 500


def test_the_saved_model_has_the_loss_of_the_best_epoch(pipeline):
    """So the best weights were kept, and the shift of the priors went into the file."""
    history = pd.read_csv(pipeline.data / "model" / "history.csv")
    score = pipeline.about["scores"]["binary_cross_entropy"]["score"]
    assert score == pytest.approx(history["val_loss"].min(), abs=1e-5)


def copy_store(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "store", tmp_path / "store")
    return tmp_path


def test_two_runs_give_equal_losses(pipeline, tmp_path):
    copy_store(pipeline, tmp_path)
    losses = []
    for _ in range(2):
        train.main(tmp_path, epochs=2, batch_size=16, seed=3)
        history = pd.read_csv(tmp_path / "model" / "history.csv")
        losses.append(history[["loss", "val_loss"]].to_numpy())
    np.testing.assert_array_equal(*losses)


def test_batches_hold_each_row_as_often_as_it_is_named(pipeline):
    store = preprocessing.open_store(pipeline.data)
    rows = np.repeat(store.rows("train"), 2)
    batches = train.Batches(store, rows, 16, np.random.default_rng(0))
    orders = []
    for _ in range(2):
        orders.append(batches.rows.copy())
        images, labels = zip(*(batches[i] for i in range(len(batches))), strict=True)
        assert sorted(orders[-1]) == sorted(rows)
        np.testing.assert_array_equal(np.concatenate(images), store.images[orders[-1]])
        np.testing.assert_array_equal(np.concatenate(labels), store.labels[orders[-1]])
        batches.on_epoch_end()
    assert (orders[0] != orders[1]).any()


def test_a_loss_that_is_not_a_number_ends_in_one_line(pipeline, tmp_path):
    copy_store(pipeline, tmp_path)
    with pytest.raises(SystemExit, match="not a number.*LEARNING_RATE.*python train.py"):
        train.main(tmp_path, epochs=1, learning_rate=1e30)
    assert not (tmp_path / "model" / "model.json").exists()


def test_a_missing_store_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="Run: python preprocessing.py"):
        train.main(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"architecture": "vgg"},
    ],
)
def test_bad_settings(pipeline, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}.* got .*{value}"):
        train.main(pipeline.data, **setting)
