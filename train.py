"""Step 4: train the CNN of model.py, or fine-tune another, with binary cross-entropy.

    python train.py

Reads   DATA_DIR/store/; with a teacher also DATA_DIR/distillation/
Writes  DATA_DIR/model/: model.keras, the epoch with the lowest validation loss; model.json: genres,
        settings, thresholds, validation scores, versions; history.csv and training.png;
        tensorboard/, for: tensorboard --logdir DATA_DIR/model/tensorboard
Takes   about a minute for the demonstration set, some 15 minutes for 8,500 posters on two cores; a
        backbone an hour. A run that was stopped goes on after its last whole epoch.
"""

import sys

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    sys.exit("JAX is missing. Run: python -m pip install -r requirements/hosts.txt")

from model import build_network
from postergenres.dataset.store import open_store
from postergenres.models.efficientnet import find_weights
from postergenres.training.distillation import open_teacher
from postergenres.training.loop import claim_folder, identify, train_model
from postergenres.training.multihost import joining
from postergenres.training.schedule import BACKBONES, RECIPES

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
            if architecture in BACKBONES:
                find_weights(BACKBONES[architecture])  # before there is anything to lose
            store = open_store(data_dir)
            teacher = open_teacher(data_dir, store) if soft_targets or hints else None
            process.agree({"HOSTS": hosts} | settings | identify(store, teacher))
            with claim_folder(data_dir, process) as claimed:
                return train_model(build_network, store, teacher, settings, claimed, process)
        except KeyboardInterrupt:
            print("Stopped. To go on after the last epoch, run: python train.py", file=sys.stderr)
            sys.exit(130)


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
    is_backbone = settings["architecture"] in BACKBONES
    if settings["hints"] and is_backbone:
        raise ValueError(f"hints must be 0 for a backbone, got {settings['hints']!r}")
    if settings["crop"] and not is_backbone:
        raise ValueError(f"crop must be 0 but for a backbone, got {settings['crop']!r}")


# --- training -------------------------------------------------------------------------------------


# --- what comes out -------------------------------------------------------------------------------


if __name__ == "__main__":
    main()
