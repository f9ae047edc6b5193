"""How each network is trained: default settings, initial weights, stages and learning rates."""

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

import keras
from scipy.special import logit

# Defaults for the settings of train.py that are None, by architecture.
PLAIN = {"epochs": 15, "crop": 0.0, "colour": 0.0, "ema_momentum": 0.0}
RECIPES = {
    "study": PLAIN | {"learning_rate": 1e-4},
    "improved": PLAIN | {"learning_rate": 1e-3},
} | dict.fromkeys(
    BACKBONES,
    {"epochs": 8, "learning_rate": 2e-4, "crop": 0.3, "colour": 0.2, "ema_momentum": 0.0},
)
LAST_BLOCKS = 6  # blocks of a backbone that the first stage trains


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own optimizer and learning-rate schedule.

    Attributes:
        name: folder name of its checkpoints.
        start, end: first epoch, and the epoch after the last; counted from 0 over all stages.
        learning_rate: the peak; a cosine lowers it to 0.
        warm_up: share of the steps in which the learning rate rises to the peak.
        last_blocks: how many of the last blocks of a backbone are trained; None trains all.
    """

    name: str
    start: int
    end: int
    learning_rate: float
    warm_up: float = 0.0
    last_blocks: int | None = None


def fill_defaults(settings):
    """Return the settings that the model depends on, without None.

    A setting that is None gets its default from `RECIPES`. data_dir and hosts are left out, and so
    are the settings of a teacher that is not used.

    Args:
        settings: {name: value}, the checked arguments of `train.main`.
    """
    recipe = RECIPES[settings["architecture"]]
    filled = {name: recipe.get(name) if x is None else x for name, x in settings.items()}
    hosts, fine_tuned = filled.pop("hosts"), filled.pop("fine_tuned")
    networks = list(filled.pop("teachers"))
    del filled["data_dir"]
    if hosts and filled["precision"] == "auto":
        filled["precision"] = "float32"  # a timing on one host does not hold for the others
    if needs_teacher(filled):
        filled |= {"fine_tuned": str(fine_tuned)} if fine_tuned else {"teachers": networks}
    return filled


def needs_teacher(settings):
    """Return whether the settings ask for soft targets or hints."""
    return bool(settings["soft_targets"] or settings["hints"])


def require_weights(architecture):
    """Exit with one line if the package with the ImageNet weights of a backbone is missing."""
    if architecture in BACKBONES:
        find_weights(BACKBONES[architecture])


def initialize_network(network, images, labels, sample):
    """Set the weights that a network has before its first epoch.

    A backbone gets its ImageNet weights and a head that is fitted to its features, computed in the
    precision of Keras' dtype policy. Another network keeps its random weights and gets output
    biases that predict the genre shares, which saves an epoch.

    Args:
        network: see `model.build_network`.
        images: uint8 (N, H, W, 3), memory-mapped or not.
        labels: (N, G) of 0 and 1.
        sample: row numbers of both to train on; a repeated row counts as often.
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


def plan_stages(architecture, epochs, learning_rate):
    """Return the stages of a training, a list of `Stage`.

    A backbone has two: the first epoch trains its head and last blocks, the others all layers.
    """
    if architecture not in BACKBONES:
        return [Stage("all", 0, epochs, learning_rate)]
    first = Stage("last-blocks", 0, 1, learning_rate, warm_up=0.1, last_blocks=LAST_BLOCKS)
    rest = Stage("all", 1, epochs, learning_rate, warm_up=0.1)
    return [first, rest] if epochs > 1 else [first]


def freeze_layers(network, stage):
    """Freeze the layers of a backbone that a stage does not train, and unfreeze the others."""
    if network.name in BACKBONES:
        choose_layers(network, stage.last_blocks)


def schedule_learning_rate(stage, steps_per_epoch):
    """Return the learning-rate schedule of a stage: a linear warm-up, then a cosine to 0."""
    steps = (stage.end - stage.start) * steps_per_epoch
    warm_up_steps = round(stage.warm_up * steps)
    if not warm_up_steps:
        return keras.optimizers.schedules.CosineDecay(stage.learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - warm_up_steps,
        warmup_target=stage.learning_rate,
        warmup_steps=warm_up_steps,
    )
