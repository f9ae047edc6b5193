"""Step 4: train the CNN of model.py, or fine-tune another, with binary cross-entropy.

    python train.py

Reads   DATA_DIR/store/; with a teacher also DATA_DIR/distillation/
Writes  DATA_DIR/model/: model.keras, the epoch with the lowest validation loss; model.json: genres,
        settings, thresholds, validation scores, versions; history.csv and training.png;
        tensorboard/, for: tensorboard --logdir DATA_DIR/model/tensorboard
Takes   about a minute for the demonstration set, some 15 minutes for 8,500 posters on two cores; a
        backbone an hour. A run that was stopped goes on after its last whole epoch.
"""

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as in model.py, before Keras is imported

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    sys.exit("JAX is missing. Run: pip install -r requirements-hosts.txt")
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import logit

from batches import Batches
from callbacks import EpochStart, PriorShift, Progress, shift_priors
from checkpoints import Checkpoints, discard
from devices import ALONE, choose_precision, computing_in, distribute, share_statistics
from distillation import open_teacher
from efficientnet import find_weights
from evaluation import (
    beside_floor,
    choose_thresholds,
    estimate_prior,
    print_scores,
    prior_of_counts,
    score,
    score_prior,
)
from files import locking, replacing, write_csv
from hosts import following, joining
from model import discard_model, list_versions, predict_probabilities, save_model
from networks import (
    RECIPES,
    TRANSFER,
    build_network,
    choose_stage,
    plan_stages,
    schedule_rate,
    start_network,
)
from store import open_store
from targets import add_hints, make_targets

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that preprocessing.py wrote
ARCHITECTURE = "improved"  # "study", or "efficientnet_lite2", the best: see the README for both
EPOCHS = None  # passes over the sample; None, here and below: see RECIPES in networks.py
PATIENCE = 5  # epochs without a lower validation loss, after which training stops
BATCH_SIZE = 32  # posters per step; larger is hardly faster on a CPU
LEARNING_RATE = None  # the highest, of AdamW; a cosine takes it to 0
SHIFT = 0.08  # how far posters are shifted in training, as a share of their height and width
CROP = None  # how much of their height and width is cut off at most, for a backbone
COLOUR = None  # how far their contrast and their brightness are changed, each as a share
SOFT_TARGETS = 0.0  # share of the teacher's probabilities in the targets; run distillation.py first
HINTS = 0.0  # weight of the loss of the teacher's features; likewise, for "improved" and "study"
PRECISION = "auto"  # "float32" or "bfloat16"; "auto" measures, but with HOSTS it is "float32"
HOSTS = None  # several machines, a process on each: ("10.0.0.1:9999", "10.0.0.2"), see the README
SEED = 0  # another seed gives other weights at the start and another order of the posters
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    architecture=ARCHITECTURE,
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    learning_rate=LEARNING_RATE,
    seed=SEED,
    patience=PATIENCE,
    shift=SHIFT,
    crop=CROP,
    colour=COLOUR,
    soft_targets=SOFT_TARGETS,
    hints=HINTS,
    precision=PRECISION,
    hosts=HOSTS,
):
    """Train, keep the best epoch, write the model; returns what it wrote to model.json."""
    if architecture not in RECIPES:
        raise ValueError(f"architecture must be one of {sorted(RECIPES)}, got {architecture!r}")
    settings = {
        "architecture": architecture,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "patience": patience,
        "shift": shift,
        "crop": crop,
        "colour": colour,
        "soft_targets": soft_targets,
        "hints": hints,
        "precision": precision,
    }
    for name, usual in RECIPES[architecture].items():
        settings[name] = usual if settings[name] is None else settings[name]
    check_settings(settings)
    if hosts and precision == "auto":
        settings["precision"] = "float32"  # what one of them measures is not true of the others
    with joining(hosts) as process:
        try:
            if architecture in TRANSFER:
                find_weights(TRANSFER[architecture])  # before there is anything to lose
            store = open_store(data_dir)
            teacher = open_teacher(data_dir, store) if soft_targets or hints else None
            process.agree({"HOSTS": hosts} | settings | identify(store, teacher))
            with claim_folder(data_dir, process) as claimed:
                return train_model(store, teacher, settings, claimed, process)
        except KeyboardInterrupt:
            print("Stopped. To go on after the last epoch, run: python train.py", file=sys.stderr)
            sys.exit(130)


@contextmanager
def claim_folder(data_dir, process):
    """Yield the folder to write in: DATA_DIR, but where another process writes there."""
    if process.index:
        with following(process) as folder:
            yield folder
        return
    folder = Path(data_dir) / "model"
    folder.mkdir(exist_ok=True)
    with locking(folder / "train.lock", f"Another train.py is at work on {folder}."):
        process.share_folder(folder / "unfinished")
        yield data_dir


def check_settings(settings):
    for name, unit in (("epochs", ""), ("patience", " epoch"), ("batch_size", " poster")):
        if settings[name] < 1:
            raise ValueError(f"{name} must be at least 1{unit}, got {settings[name]!r}")
    if settings["seed"] < 0:
        raise ValueError(f"seed must be at least 0, got {settings['seed']!r}")
    if not 0 < settings["learning_rate"] < float("inf"):
        raise ValueError(f"learning_rate must be above 0, got {settings['learning_rate']!r}")
    for name in ("shift", "crop", "colour", "soft_targets"):
        if not 0 <= settings[name] <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {settings[name]!r}")
    if not 0 <= settings["hints"] < float("inf"):
        raise ValueError(f"hints must be 0 or above, got {settings['hints']!r}")
    is_backbone = settings["architecture"] in TRANSFER
    if settings["hints"] and is_backbone:
        raise ValueError(f"hints must be 0 for a backbone, got {settings['hints']!r}")
    if settings["crop"] and not is_backbone:
        raise ValueError(f"crop must be 0 but for a backbone, got {settings['crop']!r}")


def train_model(store, teacher, settings, data_dir, process):
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
            share_statistics(network)
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


# --- training -------------------------------------------------------------------------------------


def fit(network, store, teacher, sample, val, settings, stage, checkpoints, floor, team=ALONE):
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


# --- what comes out -------------------------------------------------------------------------------


def describe(model, store, val, prior, floor, history):
    """What model.json holds beside the settings; thresholds and scores are those on `val`."""
    probabilities = predict_probabilities(model, store.images, val)
    thresholds = choose_thresholds(store.labels[val], probabilities)
    scores = score(store.labels[val], probabilities, thresholds)
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


def save_history(history, floor, folder):
    """Write history.csv, and training.png: both losses by epoch beside the floor."""
    write_csv(history, folder / "history.csv")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["val_loss"], "o-", label="validation movies")
    axes.plot(history["epoch"], history["loss"], "s--", label="training sample, to its targets")
    axes.axhline(floor, color="black", linestyle=":", label="prior of the training movies (floor)")
    best = history["val_loss"].idxmin()
    axes.annotate(
        "kept",
        (history["epoch"][best], history["val_loss"][best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Training")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with replacing(folder / "training.png") as part:
        figure.savefig(part, dpi=150)


def report(about, folder):
    print(f"validation scores of epoch {about['best_epoch']}, which is kept:")
    print_scores(about["scores"])
    print(f"wrote {folder / 'model.keras'}, model.json, history.csv and training.png")
    print("next: python predict.py")


if __name__ == "__main__":
    main()
