"""Train a network on a store and write the model."""

import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from postergenres.dataset.store import Store
from postergenres.models.inference import predict_probabilities
from postergenres.models.saved import discard_model, list_versions, save_model
from postergenres.models.transfer import build_to_train
from postergenres.old_files import lock_file
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    format_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.scores.predicted_genres import describe_thresholds
from postergenres.training.callbacks import (
    AveragedWeights,
    EpochStart,
    PriorShift,
    Progress,
    shift_priors,
)
from postergenres.training.checkpoints import Checkpoints, RoomCheck, discard_checkpoints
from postergenres.training.distributed import (
    SINGLE_DEVICE,
    DeviceGroup,
    distribute,
    synchronize_batch_norm,
)
from postergenres.training.history import save_history
from postergenres.training.input import Batches, feed
from postergenres.training.multihost import following
from postergenres.training.precision import choose_precision, computing_in
from postergenres.training.schedule import (
    freeze_layers,
    initialize_network,
    plan_stages,
    schedule_learning_rate,
)
from postergenres.training.targets import add_hints, make_targets
from postergenres.training.unfinished import choose_unfinished
from postergenres.words.combination import FILE as WORDS_FILE
from postergenres.words.fitting import fit_words, print_words

import keras
import numpy as np
import pandas as pd
from scipy.special import logit


@dataclass(frozen=True)
class Run:
    """Everything that the stages of a training share.

    Attributes:
        settings: see `schedule.fill_defaults`.
        store: `dataset.store.Store`.
        sample: row numbers of the store to train on; a repeated row is seen again in each epoch.
        val: row numbers to validate on.
        train_targets, val_targets: {output: float32 (N, ...)}.
        prior_shift: (G,), see `compute_prior_shift`.
        prior: (G,) genre shares of all training movies.
        floor: scores of the prior on the validation movies.
        devices: `distributed.DeviceGroup` to train on.
    """

    settings: dict
    store: Store
    sample: np.ndarray
    val: np.ndarray
    train_targets: dict
    val_targets: dict
    prior_shift: np.ndarray
    prior: np.ndarray
    floor: dict
    devices: DeviceGroup

    @property
    def loss(self):
        """The name in Keras' logs of the cross-entropy to the genre targets."""
        return "genres_loss" if "hints" in self.train_targets else "loss"


def plan_run(settings, store, teacher, sample=None, devices=SINGLE_DEVICE):
    """Return the `Run` of these settings.

    Args:
        settings: see `schedule.fill_defaults`.
        store: `dataset.store.Store`.
        teacher: `distillation.Teacher`, or None.
        sample: row numbers to train on; None: the training rows, each with its copies.
        devices: `distributed.DeviceGroup` to train on.
    """
    val = store.rows("val")
    if sample is None:
        rows = store.rows("train")
        sample = np.repeat(rows, store.index["copies"].iloc[rows])
    train_targets, val_targets = make_targets(
        store, teacher, estimate_prior(store.labels[sample]), settings
    )
    prior = prior_of_counts(store.train_counts, store.train_movies)
    return Run(
        settings,
        store,
        sample,
        val,
        train_targets,
        val_targets,
        compute_prior_shift(store, sample, val),
        prior,
        score_prior(prior, store.labels[val]),
        devices,
    )


def compute_prior_shift(store, sample, val):
    """Return what moves the logits from the genre shares of the sample to those of `val`: (G,)."""
    return logit(estimate_prior(store.labels[val])) - logit(estimate_prior(store.labels[sample]))


def list_inputs(store, teacher):
    """Return what a training depends on beside its settings: checksums and versions."""
    return {
        "store": store.sha256,
        "teacher": teacher.sha256 if teacher else None,
        "versions": list_versions(),
    }


def form_devices(settings, process):
    """Return the `DeviceGroup` to train on; exit if it cannot share a batch.

    Args:
        settings: see `schedule.fill_defaults`.
        process: `multihost.Process`.
    """
    devices = distribute((process.index, process.count))
    if settings["batch_size"] % devices.size:
        sys.exit(
            f"BATCH_SIZE must be a multiple of the number of devices, {devices.size}. Edit it in "
            "train.py, then run: python train.py"
        )
    return devices


def describe_stages(settings, store, teacher):
    """Return {`Stage`: everything that its checkpoints depend on}, in the order of the stages."""
    everything = settings | list_inputs(store, teacher)
    everything.pop("words", None)  # they are added to the trained network
    stages = plan_stages(settings["architecture"], settings["epochs"], settings["learning_rate"])
    return {stage: everything | {"stage": asdict(stage)} for stage in stages}


@contextmanager
def claim_folder(data_dir, process, stages):
    """Yield the folder to write in: DATA_DIR, locked; in all but the first process a private one.

    Its unfinished run is afterwards one of these stages, or there is none.

    Args:
        data_dir: the data folder.
        process: `multihost.Process`.
        stages: see `describe_stages`.

    Raises:
        SystemExit: another train.py writes there.
    """
    if process.index:
        with following(process) as folder:
            yield folder
        return
    folder = Path(data_dir) / "model"
    folder.mkdir(exist_ok=True)
    refusal = (
        f"Another train.py is writing to {folder}. Wait until it ends, then run: python train.py"
    )
    with lock_file(folder / "train.lock", refusal):
        choose_unfinished(folder, {stage.name: about for stage, about in stages.items()})
        process.share_folder(folder / "unfinished")
        yield data_dir


# --- the whole training ---------------------------------------------------------------------------


def train_model(build_network, store, words, teacher, settings, data_dir, process, devices, stages):
    """Train a network on the store, write the model, and return the content of model.json.

    Args:
        build_network: see `model.build_network`.
        store: `dataset.store.Store`.
        words: for each row of the store a list of (text, confidence), see `reading.read_words`;
            None to train without words.
        teacher: `distillation.Teacher`, or None.
        settings: see `schedule.fill_defaults`.
        data_dir: the folder to write in, see `claim_folder`.
        process: `multihost.Process`.
        devices: see `form_devices`.
        stages: see `describe_stages`.
    """
    folder = Path(data_dir) / "model"
    build = partial(build_network, settings["architecture"], genre_count=len(store.genres))
    size = store.images.shape[1:3]
    stages = open_stages(stages, folder)
    first = stages[0][1]
    precision = first.precision or choose_precision(
        settings["precision"], partial(build_to_train, build, *size), settings["batch_size"]
    )
    keras.utils.clear_session(free_memory=False)  # equal runs give layers equal names
    keras.utils.set_random_seed(settings["seed"])
    run = plan_run(settings, store, teacher, devices=devices)
    model = build(*size)  # float32, on one device, as it will be saved
    print_run(run, model, precision)
    if not first.epochs:
        with computing_in(precision):
            initialize_network(model, store.images, store.labels, run.sample)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    model.set_weights(process.share(model.get_weights()))  # other hardware rounds differently
    with computing_in(precision), devices.scope():
        # Crops have other sizes.
        network = build_to_train(build, *(None, None) if settings["crop"] else size)
        history = fit_stages(run, network, model, stages, precision)
    shift_priors(model, run.prior_shift)
    probabilities = predict_probabilities(model, store.images, run.val)
    about = describe_model(run, probabilities, history)
    about["settings"] = settings | {"precision": precision}
    text_model = None
    if words is not None:
        text_model, about["words"] = fit_words(store, words, probabilities, about, run.floor)
    return write_model(model, text_model, about, history, run.floor, data_dir)


def open_stages(stages, folder):
    """Return the stages of a training, each with its checkpoints: list of (Stage, Checkpoints)."""
    return [
        (stage, Checkpoints(folder / "unfinished" / stage.name, about))
        for stage, about in stages.items()
    ]


def fit_stages(run, network, model, stages, precision):
    """Train all stages; leave `model` with the weights of the epoch of the lowest loss.

    Args:
        run: `Run`.
        network: the network to train, built in the precision and on the devices of the training.
        model: the same network in float32; its weights are where the training starts.
        stages: list of (Stage, Checkpoints).
        precision: recorded in the checkpoints.

    Returns:
        The history of all stages: see `fit_stage`.
    """
    network.set_weights(model.get_weights())
    if run.devices.size > 1:
        synchronize_batch_norm(network)
    histories, lowest = [], float("inf")
    for stage, checkpoints in stages:
        checkpoints.precision = precision
        histories.append(fit_stage(run, network, stage, checkpoints))
        if histories[-1]["val_loss"].min() < lowest:
            lowest = histories[-1]["val_loss"].min()
            model.set_weights(network.get_weights())
    return pd.concat(histories, ignore_index=True)


# --- one stage ------------------------------------------------------------------------------------


def fit_stage(run, network, stage, checkpoints):
    """Train the network in a stage; leave it with the weights of the epoch of the lowest loss.

    The lowest loss is on the validation movies with shifted priors; the weights are those before
    the shift. A stage that was finished before is not trained again.

    Args:
        run: `Run`.
        network: `keras.Model`.
        stage: `schedule.Stage`.
        checkpoints: `Checkpoints` of this stage.

    Returns:
        A DataFrame with a row for each epoch: epoch; loss, the cross-entropy to the train targets;
        val_loss, the cross-entropy to the labels; learning_rate, at the end of the epoch.
    """
    batches, val_batches = open_batches(run)
    training_network = add_hints(network, run.train_targets)
    freeze_layers(network, stage)
    compile_network(training_network, run, stage, len(batches))
    callbacks = make_callbacks(run, stage, batches, checkpoints)
    done = stage.start + len(checkpoints.epochs)
    if checkpoints.epochs:
        print(f"resuming after epoch {done}")
    training_network.fit(
        feed(batches),
        validation_data=feed(val_batches),
        initial_epoch=done,
        epochs=done if checkpoints.finished else stage.end,
        shuffle=False,  # the batches draw their own order
        callbacks=callbacks,
        verbose=0,
    )
    if checkpoints.failed:
        discard_checkpoints(checkpoints.folder.parent)
        sys.exit(
            f"The loss is not a number. Set LEARNING_RATE lower than {stage.learning_rate:g}, then "
            "run: python train.py"
        )
    return tabulate_epochs(checkpoints.epochs, stage.start, run.loss)


def open_batches(run):
    """Return the training and the validation `Batches`."""
    images, size, seed = run.store.images, run.settings["batch_size"], run.settings["seed"]
    augmentation = {name: run.settings[name] for name in ("shift", "crop", "colour")}
    shared = {"devices": run.devices.size, "part": run.devices.part}
    return (
        Batches(images, run.train_targets, run.sample, size, seed, **augmentation, **shared),
        Batches(images, run.val_targets, run.val, size, **shared),
    )


def compile_network(training_network, run, stage, steps_per_epoch):
    """Compile the network with the losses of its outputs and the schedule of the stage."""
    losses = {"genres": "binary_crossentropy", "hints": "mse"}
    weights = {"genres": 1, "hints": run.settings["hints"]}
    momentum = run.settings["ema_momentum"]
    rate = schedule_learning_rate(stage, steps_per_epoch)
    training_network.compile(
        keras.optimizers.AdamW(rate, use_ema=momentum > 0, ema_momentum=momentum),
        {name: losses[name] for name in run.train_targets},
        loss_weights={name: weights[name] for name in run.train_targets},
    )


def make_callbacks(run, stage, batches, checkpoints):
    """Return the callbacks of a stage, in the order in which Keras must call them."""
    stopper = keras.callbacks.EarlyStopping(
        f"val_{run.loss}",
        mode="min",
        patience=run.settings["patience"],
        restore_best_weights=True,
    )
    checkpoints.attach(stopper)
    logs = checkpoints.folder.parents[1] / "tensorboard"
    epochs, floor = run.settings["epochs"], run.floor["binary_cross_entropy"]
    return [
        RoomCheck(checkpoints.folder),
        *([AveragedWeights(stage.start)] if run.settings["ema_momentum"] else []),
        PriorShift(run.prior_shift),
        EpochStart(batches, run.settings["seed"]),
        keras.callbacks.TerminateOnNaN(),
        Progress(epochs, len(batches), run.loss, floor),
        stopper,
        keras.callbacks.TensorBoard(logs, write_graph=False),
        keras.callbacks.BackupAndRestore(checkpoints.latest, delete_checkpoint=False),
        checkpoints,  # completes what BackupAndRestore has written
    ]


def tabulate_epochs(epochs, start, loss):
    """Return the history of a stage: see `fit_stage`.

    Args:
        epochs: list of Keras' logs, a dict for each epoch.
        start: how many epochs the stages before had.
        loss: see `Run.loss`.
    """
    history = pd.DataFrame(epochs)
    history["epoch"] = start + history.index + 1
    names = {"epoch": "epoch", loss: "loss", f"val_{loss}": "val_loss"}
    return history[[*names, "learning_rate"]].rename(columns=names)


# --- the output -----------------------------------------------------------------------------------


def print_run(run, model, precision):
    """Print the network, its size and precision, and how many posters it is trained on."""
    print(
        f"{run.settings['architecture']} network, {model.count_params():,} parameters, "
        f"{precision}; {len(run.store.rows('train')):,} posters to train on, "
        f"{len(run.sample):,} with repeats; {len(run.val):,} to validate"
    )


def describe_model(run, probabilities, history):
    """Return the content of model.json but the settings.

    Args:
        run: `Run`.
        probabilities: (validation movies, G).
        history: see `fit_stage`.
    """
    store, labels = run.store, run.store.labels[run.val]
    thresholds = choose_thresholds(labels, probabilities)
    scores = compute_scores(labels, probabilities, thresholds)
    return {
        "genres": store.genres,
        "H": store.images.shape[1],
        "W": store.images.shape[2],
        "best_epoch": int(history["epoch"][history["val_loss"].idxmin()]),
        **describe_thresholds(thresholds, store.genres),
        "prior": dict(zip(store.genres, run.prior.tolist(), strict=True)),
        "scores": {"split": "val"} | beside_floor(scores, run.floor),
        "samples_sha256": store.samples_sha256,
        "store_sha256": store.sha256,
        "versions": list_versions(),
    }


def write_model(model, text_model, about, history, floor, data_dir):
    """Write the model and its history, delete the checkpoints, print the scores, return model.json.

    The order is safe to kill: model.json is missing until everything else is written.

    Args:
        model: `keras.Model`.
        text_model: `words.text_model.TextModel`, or None.
        about: content of model.json but the checksums.
        history: see `fit_stage`.
        floor: scores of the prior on the validation movies.
        data_dir: the folder to write in.
    """
    folder = Path(data_dir) / "model"
    discard_model(data_dir)
    save_history(history, floor["binary_cross_entropy"], folder)
    (folder / WORDS_FILE).unlink(missing_ok=True)
    if text_model:
        about["words"]["sha256"] = text_model.save(folder / WORDS_FILE)
    about = save_model(model, about, data_dir)
    discard_checkpoints(folder / "unfinished")
    print(f"validation scores of epoch {about['best_epoch']}, which is kept:")
    print(format_scores(about["scores"]))
    if text_model:
        print_words(about["words"])
    print(f"wrote {folder / 'model.keras'}, model.json, history.csv and training.png")
    print("next: python predict.py")
    return about
