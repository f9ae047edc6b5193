"""The networks by name: how each is built, what it starts from, and how it is trained."""

from dataclasses import dataclass

import keras
from scipy.special import logit

from postergenres.evaluation.metrics import estimate_prior
from postergenres.models.efficientnet import VARIANTS
from postergenres.models.transfer import (
    BACKBONES,
    choose_layers,
    fit_head,
    load_imagenet,
)

# What suits each, for the settings of train.py that are None.
RECIPES = {
    "study": {"epochs": 15, "learning_rate": 1e-4, "crop": 0.0, "colour": 0.0},
    "improved": {"epochs": 15, "learning_rate": 1e-3, "crop": 0.0, "colour": 0.0},
} | dict.fromkeys(BACKBONES, {"epochs": 8, "learning_rate": 2e-4, "crop": 0.3, "colour": 0.2})
LAST_BLOCKS = 6  # of a backbone: so many are trained before all are


@dataclass(frozen=True)
class Stage:
    """A part of a training, with an optimizer and a schedule of the learning rate of its own.

    Attributes:
        name: of the folder of its checkpoints.
        start, end: the epochs, counted from 0 through all stages.
        learning_rate: the highest; a cosine takes it to 0.
        warm_up: share of the steps in which it rises to that.
        last_blocks: of a backbone, how many blocks are trained; None: all.
    """

    name: str
    start: int
    end: int
    learning_rate: float
    warm_up: float = 0.0
    last_blocks: int | None = None


def start_network(network, images, labels, sample):
    """Set what a network knows before its first epoch.

    Args:
        network: of `build_network`.
        images: uint8 (N, H, W, 3), memory-mapped or not.
        labels: (N, G).
        sample: row numbers of both to train on; a repeated row counts as often.
    """
    if network.name in BACKBONES:
        height, width, side = *images.shape[1:3], VARIANTS[BACKBONES[network.name]][2]
        if height * width < side**2 / 2:
            print(
                f"note: {height} x {width} is little for this network; it was made for {side} x "
                f"{side}, see IMAGE_HEIGHT in preprocessing.py"
            )
        load_imagenet(network)
        fit_head(network, images, labels, sample)
    else:  # the genre shares, which saves an epoch of learning them
        network.get_layer("genres").bias.assign(logit(estimate_prior(labels[sample])))


def plan_stages(architecture, epochs, learning_rate):
    """The stages of a training, a list of `Stage`."""
    if architecture not in BACKBONES:
        return [Stage("all", 0, epochs, learning_rate)]
    first = Stage("last-blocks", 0, 1, learning_rate, warm_up=0.1, last_blocks=LAST_BLOCKS)
    rest = Stage("all", 1, epochs, learning_rate, warm_up=0.1)
    return [first, rest] if epochs > 1 else [first]


def choose_stage(network, stage):
    """Say which layers of the network the stage trains."""
    if network.name in BACKBONES:
        choose_layers(network, stage.last_blocks)


def schedule_rate(stage, steps):
    """The learning rate of a stage: it rises in a line, then a cosine takes it to 0.

    Args:
        steps: per epoch.
    """
    steps = (stage.end - stage.start) * steps
    rising = round(stage.warm_up * steps)
    if not rising:
        return keras.optimizers.schedules.CosineDecay(stage.learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=stage.learning_rate, warmup_steps=rising
    )
