"""Measure the minutes from a CSV and its posters to a validation loss, here and in the study.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_end_to_end.py                      # the demonstration set, three turns
    python benchmarks/bench_end_to_end.py CSV POSTERS_FOLDER   # real posters, one turn

Our method is steps 1 to 5 in order, each a new Python process whose start-up time counts. The
study's method uses the output of steps 1 and 2: imageio and scikit-image decode all posters into
one float32 array, and the study's network is trained on it in batches of 16 with Adagrad.

The clock stops at the end of the first epoch whose loss on the validation movies, which both share,
is as low as the loss of the prior (what the study reports), the lowest loss of the study's method
in this run, and our lowest loss. Posters come from a folder, so downloading is not measured.

Takes five minutes for a turn with the demonstration set; an hour and a half and 5 GB of memory with
15,000 posters
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path

import numpy as np
import study
from measuring import draw_demonstration, format_range, run_process, run_step

# --- settings -------------------------------------------------------------------------------------
SAMPLE = {"oversampling": "none"}  # of sampling.py: every poster once
EPOCHS = None  # of our network; None: the default of train.py
STUDY_EPOCHS = 3  # of the study's network on your posters; 10,000 posters take six minutes each
DRAWN_STUDY_EPOCHS = 15  # of the study's network on the demonstration set, 450 posters
TURNS = 3  # on the demonstration set; your posters get one turn
# --------------------------------------------------------------------------------------------------


def main(metadata_csv=None, posters=None, turns=None, epochs=EPOCHS, study_epochs=None):
    """Print the seconds of each step, then the minutes to each validation loss and their ratio.

    Args:
        metadata_csv: CSV of movies; None for the demonstration set.
        posters: folder of the posters.
        turns: how often both methods run; None: see TURNS.
        epochs: of our network.
        study_epochs: of the study's network; None: see STUDY_EPOCHS.
    """
    is_drawn = metadata_csv is None
    study_epochs = study_epochs or (DRAWN_STUDY_EPOCHS if is_drawn else STUDY_EPOCHS)
    results = []
    with tempfile.TemporaryDirectory() as work:
        if is_drawn:
            metadata_csv, posters = draw_demonstration(Path(work) / "drawn")
        for turn in range(turns or (TURNS if is_drawn else 1)):
            data = Path(work) / str(turn)
            results.append(take_turn(data, metadata_csv, posters, epochs, study_epochs))
    print(f"\n{'minutes until the validation loss is':<38}{'ours':>24}{'study':>24}{'ratio':>22}")
    for name in results[0]:
        ours, theirs = zip(*(result[name] for result in results), strict=True)
        ratio = np.divide(theirs, ours)
        cells = [format_range(x, 2) if np.isfinite(x).all() else "never" for x in (ours, theirs)]
        cells.append("" if "never" in cells else format_range(ratio, 2))
        print(f"{name:<38}{cells[0]:>24}{cells[1]:>24}{cells[2]:>22}")


def take_turn(data, metadata_csv, posters, epochs, study_epochs):
    """Run both methods once.

    Returns:
        {name of a loss: (our minutes, the study's minutes)}, infinite if it was not reached.
    """
    steps = {
        "database": {"metadata_csv": metadata_csv, "poster_base": posters},
        "sampling": SAMPLE,
        "preprocessing": {},
        "train": {"epochs": epochs},
        "predict": {},
    }
    ran = {step: run_step(step, data_dir=data, **arguments) for step, arguments in steps.items()}
    seconds = {step: one.seconds for step, one in ran.items()}
    as_the_study = run_process([sys.executable, __file__, "--study", data, str(study_epochs)])
    shown = [f"{step} {spent:.0f} s" for step, spent in seconds.items()]
    print(f"{', '.join(shown)}: {sum(seconds.values()) / 60:.1f} minutes; ", end="")
    print(f"the study's steps 3 and 4 {as_the_study.seconds:.0f} s", flush=True)

    before = seconds["database"] + seconds["sampling"]
    ours = list_losses(ran["train"].lines, before + seconds["preprocessing"])
    theirs = list_losses(as_the_study.lines, before)
    floor = next(x for _, line in ran["train"].lines for x in re.findall(r"\(floor (\S+)\)", line))
    losses = {
        "as low as the prior's": float(floor),
        "the study's lowest": min(theirs.values()),
        "our lowest": min(ours.values()),
    }
    print("; ".join(f"{name}: {loss:.4f}" for name, loss in losses.items()), flush=True)
    return {
        name: (find_minutes(loss, ours), find_minutes(loss, theirs))
        for name, loss in losses.items()
    }


def list_losses(lines, before):
    """Return the validation loss of each epoch: {minutes since the start of step 1: loss}.

    Args:
        lines: list of (seconds, line), as the training printed them.
        before: seconds of the steps before the training.
    """
    found = ((time, re.search(r"validation loss (\d\S+)", line)) for time, line in lines)
    return {(before + time) / 60: float(match[1]) for time, match in found if match}


def find_minutes(loss, losses):
    """Return the minutes after which a loss was reached, or infinity."""
    return min((minutes for minutes, one in losses.items() if one <= loss), default=np.inf)


def train_as_the_study(data, epochs):
    """Run steps 3 and 4 of the study on the posters of a store; print the loss of each epoch."""
    from model import keras  # here, because the comparison itself does not need it

    store = open_store(data)
    size, splits = store.images.shape[1:3], {}
    for split in ("train", "val", "test"):
        rows = store.rows(split)
        posters = np.empty((len(rows), *size, 3), np.float32)
        for i, movie in enumerate(store.index["id"].iloc[rows]):
            posters[i] = study.decode(poster_path(data, movie), *size)
        splits[split] = posters, store.labels[rows].astype(np.float32)
    keras.utils.set_random_seed(0)

    def print_loss(epoch, logs):
        print(f"epoch {epoch + 1}  validation loss {logs['val_loss']:.4f}", flush=True)

    study.build(*size, len(store.genres)).fit(
        *splits["train"],
        batch_size=16,
        epochs=epochs,
        validation_data=splits["val"],
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=print_loss)],
        verbose=0,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--study"]:
        train_as_the_study(Path(sys.argv[2]), int(sys.argv[3]))
        sys.exit()
    parser = argparse.ArgumentParser(description="Measure the minutes from a CSV to each quality.")
    parser.add_argument("csv", nargs="?", help="of movies; default: the demonstration set")
    parser.add_argument("folder", nargs="?", help="of the posters")
    parser.add_argument("--turns", type=int, help="how often both methods run")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of our network")
    parser.add_argument("--study-epochs", type=int, help="of the study's network")
    options = parser.parse_args()
    main(options.csv, options.folder, options.turns, options.epochs, options.study_epochs)
