"""How each network is trained: default settings, stages and learning rates."""

from collections.abc import Sequence
from dataclasses import dataclass

from postergenres.models.efficientnet import find_weights
from postergenres.models.transfer import BACKBONES
from postergenres.settings import SettingError

from keras.optimizers.schedules import CosineDecay

LEARNING_RATES = {"study": 1e-4, "improved": 1e-3} | dict.fromkeys(BACKBONES, 2e-4)
# From weights that know posters; higher rates lose more of what they know than they add.
CONTINUED_RATES = {"study": 1e-4, "improved": 1e-4} | dict.fromkeys(BACKBONES, 5e-5)
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


def require_weights(architecture: str) -> None:
    """Exit with one line if the package with the ImageNet weights of a backbone is missing."""
    if architecture in BACKBONES:
        find_weights(BACKBONES[architecture])


def make_schedule(
    architecture: str,
    epochs: int | None = None,
    batch_size: int = 32,
    learning_rate: float | None = None,
    patience: int = 5,
    ema_momentum: float | None = None,
    is_continued: bool = False,
) -> Schedule:
    """Return the schedule of a network; None is the default of its architecture."""
    rates = CONTINUED_RATES if is_continued else LEARNING_RATES
    if epochs is None:
        epochs = 8 if architecture in BACKBONES else 15
    return Schedule(
        architecture=architecture,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate or rates[architecture],
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


def schedule_learning_rate(stage: Stage, steps_per_epoch: int) -> CosineDecay:
    """Return the learning-rate schedule of a stage: a linear warm-up, then a cosine to 0."""
    steps = (stage.end - stage.start) * steps_per_epoch
    warm_up_steps = round(stage.warm_up * steps)
    if not warm_up_steps:
        return CosineDecay(stage.learning_rate, steps)
    return CosineDecay(
        0.0, steps - warm_up_steps, warmup_target=stage.learning_rate, warmup_steps=warm_up_steps
    )
