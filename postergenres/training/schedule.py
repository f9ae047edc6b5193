"""How each network is trained: default settings, initial weights, stages and learning rates."""

from collections.abc import Sequence
from dataclasses import dataclass

from postergenres.models.efficientnet import VARIANTS, find_weights
from postergenres.models.transfer import (
    BACKBONES,
    build_transfer,
    choose_layers,
    fit_head,
    load_imagenet,
)
from postergenres.scores.metrics import estimate_prior
from postergenres.settings import SettingError

import keras
import numpy as np
from scipy.special import logit

LEARNING_RATES = {"study": 1e-4, "improved": 1e-3} | dict.fromkeys(BACKBONES, 2e-4)
LAST_BLOCKS = 6  # blocks of a backbone that the first stage trains


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own optimizer and learning-rate schedule."""

    name: str  # of the folder of its checkpoints
    start: int  # first epoch, counted from 0 over all stages
    end: int  # the epoch after the last
    learning_rate: float  # the peak; a cosine lowers it to 0
    warm_up: float = 0.0  # share of the steps in which the learning rate rises to the peak
    last_blocks: int | None = None  # of a backbone that are trained; None trains all


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained: settings of train.py."""

    architecture: str
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    ema_momentum: float


def check_together(
    architecture: str, crop: float | None, hints: float, words: bool, hosts: Sequence[str] | None
) -> None:
    """Check the settings of train.py that another one rules out."""
    if crop and architecture not in BACKBONES:
        raise SettingError("crop", f"is only supported with a pretrained backbone, got {crop}")
    if hints and architecture in BACKBONES:
        raise SettingError("hints", f"must be 0 for a pretrained backbone, got {hints}")
    if words and hosts:
        raise SettingError("words", "must be False with hosts, got True")


def make_schedule(
    architecture: str,
    epochs: int | None = None,
    batch_size: int = 32,
    learning_rate: float | None = None,
    patience: int = 5,
    ema_momentum: float | None = None,
) -> Schedule:
    """Return the schedule of a network; None is the default of its architecture."""
    if epochs is None:
        epochs = 8 if architecture in BACKBONES else 15
    return Schedule(
        architecture=architecture,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate or LEARNING_RATES[architecture],
        patience=patience,
        ema_momentum=ema_momentum or 0.0,
    )


def plan_stages(schedule: Schedule) -> list[Stage]:
    """Return the stages of a training.

    A backbone has two: the first epoch trains its head and last blocks, the others all layers.
    """
    epochs, rate = schedule.epochs, schedule.learning_rate
    if schedule.architecture not in BACKBONES:
        return [Stage("all", 0, epochs, rate)]
    first = Stage("last-blocks", 0, 1, rate, warm_up=0.1, last_blocks=LAST_BLOCKS)
    rest = Stage("all", 1, epochs, rate, warm_up=0.1)
    return [first, rest] if epochs > 1 else [first]


def schedule_learning_rate(
    stage: Stage, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning-rate schedule of a stage: a linear warm-up, then a cosine to 0."""
    steps = (stage.end - stage.start) * steps_per_epoch
    warm_up_steps = round(stage.warm_up * steps)
    if not warm_up_steps:
        return keras.optimizers.schedules.CosineDecay(stage.learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up_steps, warmup_target=stage.learning_rate, warmup_steps=warm_up_steps
    )


# --- the network ----------------------------------------------------------------------------------


def require_weights(architecture: str) -> None:
    """Exit with one line if the package with the ImageNet weights of a backbone is missing."""
    if architecture in BACKBONES:
        find_weights(BACKBONES[architecture])


def initialize_network(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, sample: np.ndarray
) -> None:
    """Set the weights that a network has before its first epoch.

    A backbone gets its ImageNet weights and a head that is fitted to its features, computed in the
    precision of Keras' dtype policy. Another network keeps its random weights and gets output
    biases that predict the genre shares, which saves an epoch. `sample` has the row numbers of
    images, (N, H, W, 3), and labels, (N, G), to train on; a repeated row counts as often.
    """
    if network.name not in BACKBONES:
        network.get_layer("genres").bias.assign(logit(estimate_prior(labels[sample])))
        return
    height, width = images.shape[1:3]
    side = VARIANTS[BACKBONES[network.name]][2]
    if height * width < side**2 / 2:
        print(
            f"note: {height} x {width} is smaller than recommended for this network, which was "
            f"trained on {side} x {side}; see IMAGE_HEIGHT in preprocessing.py"
        )
    copy = build_transfer(network.name, height, width, labels.shape[1])
    load_imagenet(copy)
    fit_head(copy, images, labels, sample)
    network.set_weights(copy.get_weights())


def freeze_layers(network: keras.Model, stage: Stage) -> None:
    """Freeze the layers of a backbone that a stage does not train, and unfreeze the others."""
    if network.name in BACKBONES:
        choose_layers(network, stage.last_blocks)
