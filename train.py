"""Step 4: train the CNN of model.py, or fine-tune a pretrained backbone, on genre labels.

    python train.py

Reads   DATA_DIR/store/; with SOFT_TARGETS, HINTS or WORDS also DATA_DIR/posters/
Writes  DATA_DIR/model/: model.keras, the epoch with the lowest validation loss; model.json: genres,
        settings, thresholds, validation scores, versions; history.csv and training.png;
        tensorboard/, for: tensorboard --logdir DATA_DIR/model/tensorboard; unfinished/, a stopped
        run, and unfinished-other/, a stopped run of other settings, until they are finished
        DATA_DIR/distillation/: the teacher's outputs, if a setting needs them
        DATA_DIR/words/ and DATA_DIR/model/words.npz, with WORDS
Takes   about a minute for the demonstration set, 15 minutes for 8,500 posters on two cores;
        more than an hour with a backbone; another quarter of an hour with a teacher, and half an
        hour with WORDS. A stopped run resumes after its last complete epoch.
"""

import postergenres.stopping  # noqa: F401  # first: Ctrl-C is one line from here on
import postergenres.training.backend  # noqa: F401  # first: reports a missing JAX in one line
from postergenres.dataset.store import open_store
from postergenres.old_settings import check_settings
from postergenres.stopping import run_from_shell, stopping_cleanly
from postergenres.training.distillation import prepare_teacher
from postergenres.training.loop import (
    claim_folder,
    describe_stages,
    form_devices,
    list_inputs,
    train_model,
)
from postergenres.training.multihost import joining
from postergenres.training.schedule import fill_defaults, needs_teacher, require_weights
from postergenres.words.cache import read_stored_posters

from model import build_network

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that preprocessing.py wrote
ARCHITECTURE = "improved"  # or "study", or "efficientnet_lite2", the best: see docs/training.md
EPOCHS = None  # passes over the sample; None here and below: the architecture's default
PATIENCE = 5  # epochs without a lower validation loss before training stops
BATCH_SIZE = 32  # posters per step; larger is hardly faster on a CPU
LEARNING_RATE = None  # peak of the cosine schedule of AdamW; lower it if the loss diverges
SHIFT = 0.08  # largest random shift, as a share of height and width; 0 for none
CROP = None  # most that is randomly cropped off height and width, as a share; backbones only
COLOUR = None  # largest random change of contrast and brightness, as a share; 0 for none
EMA_MOMENTUM = None  # of the moving average of the weights, which is kept; 0 to average nothing
SOFT_TARGETS = 0.0  # share of the teacher's probabilities in the targets; 0.7 helps "improved"
HINTS = 0.0  # weight of the loss on the teacher's features; 0.1 helps "improved"; not for backbones
TEACHERS = ("efficientnet_lite2",)  # or also "resnet50", which is better: see docs/training.md
FINE_TUNED = None  # or "elsewhere/model", the folder of a fine-tuned backbone to use as the teacher
WORDS = False  # True also reads the words on the posters: requirements/text.txt
PRECISION = "auto"  # or "float32" or "bfloat16"; "auto" picks the faster; with HOSTS, float32
HOSTS = None  # or several machines, ("10.0.0.1:9999", "10.0.0.2"): see docs/distributed.md
SEED = 0  # change it for other initial weights and another order of the posters
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
    ema_momentum=EMA_MOMENTUM,
    soft_targets=SOFT_TARGETS,
    hints=HINTS,
    precision=PRECISION,
    hosts=HOSTS,
    fine_tuned=FINE_TUNED,
    words=WORDS,
    teachers=TEACHERS,
):
    """Train a network, write the model of the best epoch, return the content of model.json."""
    settings = fill_defaults(check_settings("train", locals()))
    with joining(hosts) as process, stopping_cleanly("train"):
        require_weights(architecture)  # before anything is discarded
        store = open_store(data_dir)
        lines = read_stored_posters(data_dir, store) if words else None
        teacher = None
        if needs_teacher(settings):
            precision = settings["precision"]
            teacher = prepare_teacher(
                data_dir, store, fine_tuned, hosts is None, precision, lines, teachers
            )
        process.agree({"HOSTS": hosts} | settings | list_inputs(store, teacher))
        devices = form_devices(settings, process)  # the last check: now the folder is changed
        stages = describe_stages(settings, store, teacher)
        with claim_folder(data_dir, process, stages) as folder:
            return train_model(
                build_network, store, lines, teacher, settings, folder, process, devices, stages
            )


if __name__ == "__main__":
    run_from_shell(main)
