"""Step 4: train the CNN of model.py, or fine-tune a pretrained backbone, on genre labels.

    python train.py

Reads   DATA_DIR/store/; with SOFT_TARGETS, HINTS or WORDS also DATA_DIR/posters/; with WORDS also
        the titles in DATA_DIR/samples.csv
Writes  DATA_DIR/model/: model.keras, the epoch with the lowest validation loss; model.tflite, the
        same, exported for predict.py; model.json: genres, settings, thresholds, validation scores,
        versions; history.csv and training.png; trained_on.npy: hashes of the training movies
        DATA_DIR/tensorboard/, the curves, for: tensorboard --logdir DATA_DIR/tensorboard
        DATA_DIR/unfinished/, checkpoints of the last two trainings that were stopped
        DATA_DIR/distillation/ and DATA_DIR/features/: the teacher's outputs, if a setting needs
        them; DATA_DIR/words/ and DATA_DIR/model/words.npz, with WORDS
Takes   about a minute for the demonstration set, eleven for 15,000 posters on two cores;
        more than an hour with a backbone; another quarter of an hour with a teacher, and half an
        hour with WORDS. A stopped run resumes after its last complete epoch.
"""

from pathlib import Path
from typing import Any

from postergenres.dataset.store import open_store
from postergenres.settings import (
    Architecture,
    Count,
    Folder,
    Folds,
    Hosts,
    Momentum,
    Precision,
    Rate,
    Seed,
    Share,
    Weight,
    checked,
    run_from_shell,
)
from postergenres.step import step
from postergenres.training.augmentation import make_augmentation
from postergenres.training.devices import find_rank, open_devices
from postergenres.training.input import draw_sample
from postergenres.training.loop import Run, finish_training, train_network
from postergenres.training.schedule import check_together, make_schedule, require_weights
from postergenres.training.soft_targets import make_targets
from postergenres.training.weights import start_from

from model import build_network

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that preprocessing.py wrote
ARCHITECTURE = "improved"  # the network; "efficientnet_lite2" is the best: see docs/training.md
EPOCHS = None  # passes over the sample; None here and below: the architecture's default
PATIENCE = 5  # epochs without a lower validation loss before training stops
BATCH_SIZE = 32  # posters per step; larger is hardly faster on a CPU
LEARNING_RATE = None  # peak of the cosine schedule of AdamW; lower it if the loss diverges
SHIFT = 0.08  # largest random shift, as a share of height and width; 0 for none
CROP = None  # most that is randomly cropped off height and width, as a share; backbones only
COLOR = None  # largest random change of contrast and brightness, as a share; 0 for none
EMA_MOMENTUM = None  # of the moving average of the weights, which is kept; 0 to average nothing
SOFT_TARGETS = 0.0  # share of the teacher's probabilities in the targets; 0.7 helps "improved"
HINTS = 0.0  # weight of the loss on the teacher's features; 0.1 helps "improved"; not for backbones
WEIGHTS = None  # or start from a model that knows posters: "efficientnet_lite2" or its folder
FINE_TUNED = None  # 2 fine-tunes a backbone on each half of the posters, to teach the other half
WORDS = False  # True also reads the words on the posters: requirements/text.txt
PRECISION = "auto"  # "auto" times "float32" and "bfloat16" and picks the faster: see docs/gpu.md
HOSTS = None  # of several machines, ("10.0.0.1:9999", "10.0.0.2"): see docs/distributed.md
SEED = 0  # change it for other initial weights and another order of the posters
# --------------------------------------------------------------------------------------------------


@checked
def main(
    data_dir: Folder = DATA_DIR,
    architecture: Architecture = ARCHITECTURE,
    epochs: Count | None = EPOCHS,
    batch_size: Count = BATCH_SIZE,
    learning_rate: Rate | None = LEARNING_RATE,
    seed: Seed = SEED,
    patience: Count = PATIENCE,
    shift: Share = SHIFT,
    crop: Share | None = CROP,
    color: Share | None = COLOR,
    ema_momentum: Momentum | None = EMA_MOMENTUM,
    soft_targets: Share = SOFT_TARGETS,
    hints: Weight = HINTS,
    precision: Precision = PRECISION,
    hosts: Hosts | None = HOSTS,
    fine_tuned: Folds | None = FINE_TUNED,
    words: bool = WORDS,
    weights: Folder | None = WEIGHTS,
) -> dict[str, Any]:
    """Train a network, write the model of the best epoch, return the content of model.json."""
    data_dir = Path(data_dir)
    check_together(architecture, crop=crop, hints=hints, words=words, hosts=hosts)
    schedule = make_schedule(
        architecture,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        ema_momentum=ema_momentum,
        is_continued=weights is not None,
    )
    augmentation = make_augmentation(architecture, shift=shift, crop=crop, color=color)
    with step("train", data_dir, rank=find_rank(hosts)):
        if not weights:
            require_weights(architecture)
        store, start = open_store(data_dir), None
        if weights:
            start, store = start_from(weights, architecture, store)
        devices = open_devices(hosts, batch_size=batch_size)
        sample = draw_sample(store)
        poster_words = teacher = None
        if words:  # the reader and the teacher are imported only if they are used
            from postergenres.words.cache import read_stored_posters

            poster_words = read_stored_posters(data_dir, store)
        if soft_targets or hints:
            from postergenres.training.teacher import choose_network, open_teacher

            network = choose_network(fine_tuned)
            teacher = open_teacher(
                data_dir, store, sample, network, words=poster_words, precision=precision
            )
        targets = make_targets(
            store.labels, sample.shares, teacher, soft_targets=soft_targets, hints=hints
        )
        run = Run(
            store=store,
            sample=sample,
            targets=targets,
            schedule=schedule,
            augmentation=augmentation,
            devices=devices,
            seed=seed,
            precision=precision,
            weights=start,
        )
        trained = train_network(build_network, run, data_dir)
        return finish_training(run, trained, poster_words, data_dir)


if __name__ == "__main__":
    run_from_shell(main)
