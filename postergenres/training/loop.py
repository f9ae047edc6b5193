"""Train a network on a store."""

import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import logit

from postergenres.evaluation.inference import predict_probabilities
from postergenres.evaluation.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    print_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.files import lock_file
from postergenres.models.saved import discard_model, list_versions, save_model
from postergenres.training.callbacks import EpochStart, PriorShift, Progress, shift_priors
from postergenres.training.checkpoints import Checkpoints, discard
from postergenres.training.distributed import SINGLE_DEVICE, distribute, synchronize_batch_norm
from postergenres.training.history import save_history
from postergenres.training.input import Batches
from postergenres.training.multihost import following
from postergenres.training.precision import choose_precision, computing_in
from postergenres.training.schedule import choose_stage, plan_stages, schedule_rate, start_network
from postergenres.training.targets import add_hints, make_targets


@contextmanager
def claim_folder(data_dir, process):
    """Yield the folder to write in: DATA_DIR, but where another process writes there."""
    if process.index:
        with following(process) as folder:
            yield folder
        return
    folder = Path(data_dir) / "model"
    folder.mkdir(exist_ok=True)
    with lock_file(folder / "train.lock", f"Another train.py is at work on {folder}."):
        process.share_folder(folder / "unfinished")
        yield data_dir


def train_model(build_network, store, teacher, settings, data_dir, process):
    """Train a network on the store, write it, and return what was written to model.json."""
    folder = Path(data_dir) / "model"
    build = partial(build_network, settings["architecture"], genre_count=len(store.genres))
    size = store.images.shape[1:3]
    stages = plan_stages(settings["architecture"], settings["epochs"], settings["learning_rate"])
    identity = settings | identify(store, teacher)
    # What a training that was killed while it tidied up has left:
    shutil.rmtree(folder / "discarded", ignore_errors=True)
    checkpoints = [
        Checkpoints(folder / "unfinished" / stage.name, identity | {"stage": asdict(stage)})
        for stage in stages
    ]
    precision = checkpoints[0].precision or choose_precision(
        settings["precision"], partial(build, *size), settings["batch_size"]
    )
    rows, val = store.rows("train"), store.rows("val")
    sample = np.repeat(rows, store.index["copies"].iloc[rows])
    prior = prior_of_counts(store.train_counts, store.train_movies)
    floor = score_prior(prior, store.labels[val])
    keras.utils.set_random_seed(settings["seed"])
    team = distribute((process.index, process.count))
    if settings["batch_size"] % team.size:
        sys.exit(f"Make BATCH_SIZE in train.py a multiple of {team.size}, the number of devices.")
    model = build(*size)  # in float32, on one device, without what is there for training only
    print(
        f"{settings['architecture']} network, {model.count_params():,} parameters, "
        f"{precision}; {len(rows):,} posters to train on, {len(sample):,} with "
        f"repeats; {len(val):,} to validate"
    )
    if not checkpoints[0].epochs:
        start_network(model, store.images, store.labels, sample)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    model.set_weights(process.share(model.get_weights()))  # other hardware rounds in another way
    history, lowest = pd.DataFrame(), float("inf")
    with computing_in(precision), team.scope():
        network = build(*(None, None) if settings["crop"] else size)  # None: of any size
        network.set_weights(model.get_weights())
        if team.size > 1:
            synchronize_batch_norm(network)
        for stage, sealed in zip(stages, checkpoints, strict=True):
            sealed.precision = precision
            done = fit(network, store, teacher, sample, val, settings, stage, sealed, floor, team)
            if done["val_loss"].min() < lowest:
                lowest = done["val_loss"].min()
                model.set_weights(network.get_weights())
            history = pd.concat([history, done], ignore_index=True)

    shift_priors(model, find_shift(store, sample, val))
    about = describe(model, store, val, prior, floor, history)
    about["settings"] = settings | {"precision": precision}
    discard_model(data_dir)
    save_history(history, floor["binary_cross_entropy"], folder)
    save_model(model, about, data_dir)
    discard(folder / "unfinished")
    report(about, folder)
    return about


def find_shift(store, sample, val):
    """What takes the logits from the genre shares of the sample to those of whole movies: (G,)."""
    return logit(estimate_prior(store.labels[val])) - logit(estimate_prior(store.labels[sample]))


def identify(store, teacher):
    """What a training depends on beside its settings, to know an unfinished one by."""
    return {
        "store": store.sha256,
        "teacher": teacher.sha256 if teacher else None,
        "versions": list_versions(),
    }


def fit(
    network, store, teacher, sample, val, settings, stage, checkpoints, floor, team=SINGLE_DEVICE
):
    """Train the network in a stage, and leave it with the weights of the epoch of lowest loss.

    That is the loss on the validation movies, for which the priors are shifted; the weights are
    those before the shift. A stage that was finished before is not trained again.

    Args:
        sample: row numbers of the store to train on; a repeated row is seen again in each epoch.
        val: row numbers to validate on.

    Returns:
        A DataFrame with one row per epoch: epoch; loss, the cross-entropy to the targets, soft or
        not; val_loss, that to the labels; learning_rate, at the end of the epoch.
    """
    batch_size, seed = settings["batch_size"], settings["seed"]
    sample_prior = estimate_prior(store.labels[sample])
    lessons, exams = make_targets(store, teacher, sample_prior, settings)
    augmentation = {name: settings[name] for name in ("shift", "crop", "colour")}
    shared = {"devices": team.size, "part": team.part}
    batches = Batches(store.images, lessons, sample, batch_size, seed, **augmentation, **shared)
    learner = add_hints(network, lessons)
    choose_stage(network, stage)
    schedule = schedule_rate(stage, len(batches))
    learner.compile(
        keras.optimizers.AdamW(schedule),
        {name: {"genres": "binary_crossentropy", "hints": "mse"}[name] for name in lessons},
        loss_weights={name: {"genres": 1, "hints": settings["hints"]}[name] for name in lessons},
    )
    loss = "genres_loss" if "hints" in lessons else "loss"  # as Keras names it
    stopper = keras.callbacks.EarlyStopping(
        f"val_{loss}", mode="min", patience=settings["patience"], restore_best_weights=True
    )
    checkpoints.attach(stopper)
    logs = checkpoints.folder.parents[1] / "tensorboard"
    before = stage.start + len(checkpoints.epochs)
    if checkpoints.epochs:
        print(f"going on after epoch {before}")
    learner.fit(
        batches,
        validation_data=Batches(store.images, exams, val, batch_size, **shared),
        initial_epoch=before,
        epochs=before if checkpoints.finished else stage.end,
        shuffle=False,  # the batches draw their own order
        callbacks=[
            PriorShift(find_shift(store, sample, val)),
            EpochStart(batches, seed),
            keras.callbacks.TerminateOnNaN(),
            Progress(settings["epochs"], len(batches), loss, floor["binary_cross_entropy"]),
            stopper,
            keras.callbacks.TensorBoard(logs, write_graph=False),
            keras.callbacks.BackupAndRestore(checkpoints.latest, delete_checkpoint=False),
            checkpoints,  # seals what BackupAndRestore wrote
        ],
        verbose=0,
    )
    if checkpoints.failed:
        discard(checkpoints.folder.parent)  # it would go on from nothing
        sys.exit(
            f"The loss is not a number. Set LEARNING_RATE, which was {stage.learning_rate:g}, "
            "lower, then run: python train.py"
        )
    history = pd.DataFrame(checkpoints.epochs)
    history["epoch"] = stage.start + history.index + 1
    names = {"epoch": "epoch", loss: "loss", f"val_{loss}": "val_loss"}
    return history[[*names, "learning_rate"]].rename(columns=names)


def describe(model, store, val, prior, floor, history):
    """What model.json holds beside the settings; thresholds and scores are those on `val`."""
    probabilities = predict_probabilities(model, store.images, val)
    thresholds = choose_thresholds(store.labels[val], probabilities)
    scores = compute_scores(store.labels[val], probabilities, thresholds)
    return {
        "genres": store.genres,
        "H": store.images.shape[1],
        "W": store.images.shape[2],
        "best_epoch": int(history["epoch"][history["val_loss"].idxmin()]),
        "thresholds": dict(zip(store.genres, thresholds.genres.tolist(), strict=True)),
        "shared_thresholds": {"micro": thresholds.micro, "samples": thresholds.samples},
        "prior": dict(zip(store.genres, prior.tolist(), strict=True)),
        "scores": {
            "split": "val",
            **beside_floor(scores, floor),
        },
        "samples_sha256": store.samples_sha256,
        "store_sha256": store.sha256,
        "versions": list_versions(),
    }


def report(about, folder):
    print(f"validation scores of epoch {about['best_epoch']}, which is kept:")
    print_scores(about["scores"])
    print(f"wrote {folder / 'model.keras'}, model.json, history.csv and training.png")
    print("next: python predict.py")
