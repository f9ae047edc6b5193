"""Train a network on a store and write the model."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from postergenres.dataset.samples import read_titles
from postergenres.dataset.store import Store
from postergenres.files import write_csv, writing_folder
from postergenres.models.saved import list_versions, predict_probabilities, save_model
from postergenres.models.transfer import build_to_train, freeze_layers, initialize_network
from postergenres.plotting import save_figure
from postergenres.scores.calibration import to_logits, weigh_by_genre
from postergenres.scores.metrics import format_scores
from postergenres.scores.predicted_genres import describe_thresholds
from postergenres.settings import SettingError
from postergenres.training.augmentation import Augmentation
from postergenres.training.callbacks import (
    AveragedWeights,
    EpochStart,
    PriorShift,
    Progress,
    shift_priors,
)
from postergenres.training.checkpoints import Checkpoints, open_unfinished
from postergenres.training.curves import Curves, RankingScores
from postergenres.training.devices import ONE_DEVICE, Devices, is_first, synchronize_batch_norm
from postergenres.training.input import Batches, Sample, Shuffle, feed
from postergenres.training.precision import choose_precision, computing_in
from postergenres.training.schedule import Schedule, Stage, plan_stages, schedule_learning_rate
from postergenres.training.soft_targets import Targets, add_hints
from postergenres.training.trained_on import save_lists
from postergenres.training.weights import Weights, start_network

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run:
    """Everything that a training depends on, but the folder to write in."""

    store: Store
    sample: Sample
    targets: Targets
    schedule: Schedule
    augmentation: Augmentation = Augmentation()
    devices: Devices = ONE_DEVICE
    seed: int = 0
    precision: str = "auto"
    weights: Weights | None = None  # to start from

    def describe_settings(self) -> dict[str, Any]:
        """Return the settings as model.json records them."""
        return {
            **asdict(self.schedule),
            **asdict(self.augmentation),
            "soft_targets": self.targets.soft_targets,
            "hints": self.targets.hints,
            "seed": self.seed,
            "precision": self.precision,
        }

    def describe(self) -> dict[str, Any]:
        """Return everything that the checkpoints depend on, as JSON types."""
        return {
            "settings": self.describe_settings(),
            "stages": [asdict(stage) for stage in plan_stages(self.schedule)],
            "store": self.store.sha256,
            "teacher": self.targets.teacher,
            "weights": self.weights and self.weights.describe(),
            "versions": list_versions(),
        }


class Trained(NamedTuple):
    """A trained network."""

    model: keras.Model  # in float32, the weights of the best epoch, the priors of the dataset
    history: pd.DataFrame  # of each epoch: see `tabulate_epochs`
    precision: str  # in which it was trained, "float32" or "bfloat16"
    unfinished: Path  # folder of the checkpoints, which are deleted once the model is written


Stages = list[tuple[Stage, Checkpoints]]  # of a training, in order


# --- the whole training ---------------------------------------------------------------------------


def train_network(build: Callable[..., keras.Model], run: Run, data_dir: Path) -> Trained:
    """Train a network of `build`, see `model.build_network`, or resume an unfinished training."""
    build = partial(build, run.schedule.architecture, genre_count=len(run.store.genres))
    size = run.store.images.shape[1:3]
    unfinished = open_unfinished(data_dir, run.describe())
    stages = [(x, Checkpoints(unfinished / x.name)) for x in plan_stages(run.schedule)]
    precision = settle_precision(run, partial(build_to_train, build, *size), stages)
    keras.utils.clear_session(free_memory=False)  # equal runs give layers equal names
    keras.utils.set_random_seed(run.seed)
    model = build(*size)  # float32, on one device, as it will be saved
    posters, drawn = len(np.unique(run.sample.rows)), len(run.sample.rows)
    repeats = f", {drawn:,} with repeats" if drawn > posters else ""
    print(
        f"{run.schedule.architecture} network, {model.count_params():,} parameters, {precision} "
        f"on {run.devices.name}; {posters:,} posters to train on{repeats}; "
        f"{len(run.sample.val):,} to validate"
    )
    if not stages[0][1].epochs:
        with computing_in(precision):
            set_initial_weights(run, model, partial(build, *size))
    if is_first():
        shutil.rmtree(data_dir / "tensorboard", ignore_errors=True)
    model.set_weights(run.devices.share(model.get_weights()))  # other hardware rounds differently
    with computing_in(precision), run.devices.scope():
        # Crops have other sizes.
        network = build_to_train(build, *(None, None) if run.augmentation.crop else size)
        history = fit_stages(run, network, model, stages, logs=data_dir / "tensorboard")
    shift_priors(model, run.sample.prior_shift)
    return Trained(model, history, precision, unfinished)


def set_initial_weights(run: Run, model: keras.Model, build: Callable[[], keras.Model]) -> None:
    """Set the weights that a network of `build` has before its first epoch."""
    store, rows = run.store, run.sample.rows
    if run.weights is None:
        initialize_network(model, store.images, store.labels, rows)
        return
    start = build()  # its features are computed in the precision of the training
    start_network(start, run.weights, store, rows)
    model.set_weights(start.get_weights())


def settle_precision(run: Run, build: Callable[[], keras.Model], stages: Stages) -> str:
    """Return the precision of the checkpoints, or choose one, and note it in the checkpoints."""
    recorded = next((x.precision for _, x in stages if x.precision), None)
    precision = recorded or choose_precision(
        run.precision, build, run.schedule.batch_size, run.devices
    )
    for _, checkpoints in stages:
        checkpoints.precision = precision
    return precision


def fit_stages(
    run: Run, network: keras.Model, model: keras.Model, stages: Stages, logs: Path
) -> pd.DataFrame:
    """Train `network` from the weights of `model`, which gets those of the lowest loss.

    Both are the same, but `network` is built in the precision and on the devices of the training.
    `logs` is the folder of the curves for TensorBoard. Returns the history of all stages.
    """
    network.set_weights(model.get_weights())
    if run.devices.count > 1:
        synchronize_batch_norm(network)
    histories, lowest = [], float("inf")
    for stage, checkpoints in stages:
        histories.append(fit_stage(run, network, stage, checkpoints, logs=logs))
        if histories[-1]["val_loss"].min() < lowest:
            lowest = histories[-1]["val_loss"].min()
            model.set_weights(network.get_weights())
    return pd.concat(histories, ignore_index=True)


# --- one stage ------------------------------------------------------------------------------------


def fit_stage(
    run: Run, network: keras.Model, stage: Stage, checkpoints: Checkpoints, logs: Path
) -> pd.DataFrame:
    """Train the network in a stage; leave it with the weights of the epoch of the lowest loss.

    The lowest loss is on the validation movies with shifted priors; the weights are those before
    the shift. A stage that was finished before is not trained again.
    """
    batches, val_batches = open_batches(run)
    training_network = add_hints(network, run.targets.train)
    freeze_layers(network, stage.last_blocks)
    compile_network(training_network, run, stage, len(batches))
    callbacks = make_callbacks(run, stage, batches, checkpoints, logs=logs)
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
        verbose=0,  # pyright: ignore[reportArgumentType]
    )
    if checkpoints.failed:
        rate = f"{stage.learning_rate:g}"
        raise SettingError("learning_rate", f"is too high: the loss is not a number, got {rate}")
    return tabulate_epochs(checkpoints.epochs, stage.start, run.targets.loss)


def open_batches(run: Run) -> tuple[Batches, Batches]:
    """Return the training and the validation batches."""
    images, size, sample = run.store.images, run.schedule.batch_size, run.sample
    shuffle = Shuffle(run.seed, run.augmentation)
    return (
        Batches(images, run.targets.train, sample.rows, size, shuffle=shuffle, devices=run.devices),
        Batches(images, run.targets.val, sample.val, size, devices=run.devices),
    )


def compile_network(
    training_network: keras.Model, run: Run, stage: Stage, steps_per_epoch: int
) -> None:
    """Compile the network with the losses of its outputs and the schedule of the stage."""
    losses = {"genres": "binary_crossentropy", "hints": "mse"}
    weights = {"genres": 1, "hints": run.targets.hints}
    momentum = run.schedule.ema_momentum
    rate: Any = schedule_learning_rate(stage, steps_per_epoch)
    training_network.compile(
        keras.optimizers.AdamW(rate, use_ema=momentum > 0, ema_momentum=momentum),
        {name: losses[name] for name in run.targets.train},
        loss_weights={name: weights[name] for name in run.targets.train},
        weighted_metrics={"genres": [RankingScores(len(run.store.genres))]},
    )


def make_callbacks(
    run: Run, stage: Stage, batches: Batches, checkpoints: Checkpoints, logs: Path
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a stage, in the order in which Keras must call them."""
    schedule, loss, floor = run.schedule, run.targets.loss, run.sample.floor
    stopper = keras.callbacks.EarlyStopping(
        f"val_{loss}", mode="min", patience=schedule.patience, restore_best_weights=True
    )
    checkpoints.attach(stopper)
    curves = {loss: "binary_cross_entropy", "mAP": "mAP", "macro_roc_auc": "macro_roc_auc"}
    floors = {name: floor[score] for name, score in curves.items()}
    return [
        *([AveragedWeights(stage.start, batches)] if schedule.ema_momentum else []),
        PriorShift(run.sample.prior_shift),
        EpochStart(batches, run.seed),
        keras.callbacks.TerminateOnNaN(),
        Progress(schedule.epochs, len(batches), loss, floor["binary_cross_entropy"]),
        stopper,
        checkpoints,
        *([Curves(logs, checkpoints, stage.start, floors)] if is_first() else []),
    ]


def tabulate_epochs(epochs: list[dict[str, float]], start: int, loss: str) -> pd.DataFrame:
    """Return the history of a stage, whose first epoch is `start`, from Keras' logs.

    The loss is the cross-entropy to the train targets, val_loss that to the labels, and
    learning_rate that at the end of the epoch.
    """
    table = pd.DataFrame(epochs)
    history = {"epoch": start + table.index + 1, "loss": table[loss]}
    history |= {"val_loss": table[f"val_{loss}"], "learning_rate": table["learning_rate"]}
    return pd.DataFrame(history)


# --- the output -----------------------------------------------------------------------------------


def calibrate(model: keras.Model, run: Run) -> None:
    """Scale and move the logits of each genre as suits the validation movies best."""
    probabilities = predict_probabilities(model, run.store.images, run.sample.val)
    logits = to_logits(probabilities)
    scales, offsets = weigh_by_genre(run.sample.val_labels, [logits], [1.0])
    head = model.get_layer("genres")
    kernel, bias = head.get_weights()
    head.set_weights([kernel * scales[0], bias * scales[0] + offsets])


def describe_model(run: Run, trained: Trained, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the content of model.json, without words, from the validation probabilities."""
    store, history = run.store, trained.history
    kept: Any = history.loc[history["val_loss"].idxmin()]
    thresholds, scores = run.sample.score(probabilities)
    return {
        "genres": store.genres,
        "H": store.images.shape[1],
        "W": store.images.shape[2],
        "best_epoch": int(kept["epoch"]),
        **describe_thresholds(thresholds, store.genres),
        "prior": dict(zip(store.genres, run.sample.prior.tolist(), strict=True)),
        "scores": {"split": "val"} | scores,
        "samples_sha256": store.samples_sha256,
        "store_sha256": store.sha256,
        "versions": list_versions(),
        "settings": run.describe_settings() | {"precision": trained.precision},
        "teacher": run.targets.teacher,
        "weights": run.weights and run.weights.describe(),
    }


def finish_training(
    run: Run, trained: Trained, words: list[Any] | None, data_dir: Path
) -> dict[str, Any]:
    """Score a trained network, learn from the words, write the model; return model.json.

    `words` has those on each poster of the store; None trains without words.
    """
    floor, score_lines, text_model = run.sample.floor, [], None
    calibrate(trained.model, run)
    probabilities = predict_probabilities(trained.model, run.store.images, run.sample.val)
    about = describe_model(run, trained, probabilities)
    score_lines.append(f"validation scores of epoch {about['best_epoch']}, which is kept:")
    score_lines.append(format_scores(about["scores"]))
    if words is not None:
        from postergenres.words.fitting import fit_words, format_words  # only for WORDS

        text_model, about["words"] = fit_words(
            run.store,
            words,
            probabilities,
            about=about,
            floor=floor,
            titles=read_titles(data_dir),
        )
        score_lines.append(format_words(about["words"]))
    if is_first():
        with writing_folder(data_dir / "model") as folder:
            save_history(trained.history, floor["binary_cross_entropy"], folder)
            if text_model:
                text_model.save(folder)
            save_lists(run.store, run.weights and run.weights.trained_on, folder)
            save_model(trained.model, about, folder)
        shutil.rmtree(trained.unfinished)
    print(*score_lines, sep="\n")
    print(f"wrote {data_dir / 'model'}: model.keras, model.json, history.csv and training.png")
    return about


def save_history(history: pd.DataFrame, floor: float, folder: Path) -> None:
    """Write history.csv, and training.png with both losses beside the floor, a validation loss."""
    write_csv(history, folder / "history.csv")
    save_figure(draw_history(history, floor), folder / "training.png", dpi=150)


def draw_history(history: pd.DataFrame, floor: float) -> Figure:
    """Return the figure of training.png: see `save_history`."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["val_loss"], "o-", label="validation movies")
    axes.plot(history["epoch"], history["loss"], "s--", label="training sample, to its targets")
    axes.axhline(floor, color="black", linestyle=":", label="prior of the training movies (floor)")
    kept: Any = history.loc[history["val_loss"].idxmin()]
    position, above = (kept["epoch"], kept["val_loss"]), (0, 9)
    axes.annotate("kept", position, xytext=above, textcoords="offset points", ha="center")
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Training")
    axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
