"""Minutes from a CSV and its posters to the study's quality, and to ours.

    pip install -r benchmarks/requirements.txt
    python benchmarks/bench_end_to_end.py                      # the demonstration set, three turns
    python benchmarks/bench_end_to_end.py CSV POSTERS_FOLDER   # real posters, one turn

Steps 1 to 5 one after the other, each a Python of its own, whose start counts. Then the study's way
on the output of steps 1 and 2: imageio and scikit-image make one array of all posters, float32, and
its network is trained on it in batches of 16 with Adagrad. Minutes are those until an epoch ends
with a loss on the validation movies, the same ones, as low as that of the prior, which is what the
study reports; as the lowest of the study's way here; and as our lowest. Posters come from a folder:
the network is no part of this. Takes five minutes for a turn with the demonstration set, an hour
and a half with 15,000 posters, and some 5 GB of memory.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import study
from measuring import ROOT, describe, draw_demonstration, run, run_step

sys.path.insert(0, str(ROOT))

from postergenres.dataset.store import open_store  # noqa: E402
from postergenres.download.manifest import poster_path  # noqa: E402

# --- settings -------------------------------------------------------------------------------------
SAMPLE = {"sample_fraction": 1.0, "oversampling": "none"}  # all posters, once: see the README
EPOCHS = None  # of our network; None takes as many as train.py does
STUDY_EPOCHS = 3  # of the study's network on your posters; one of 10,000 takes six minutes
DRAWN_STUDY_EPOCHS = 15  # on the demonstration set, which has 450 to train on
TURNS = 3  # with the demonstration set; one with your posters
# --------------------------------------------------------------------------------------------------


def main(metadata_csv=None, posters=None, turns=None, epochs=EPOCHS, study_epochs=None):
    """Print the seconds of each step, and the minutes to each quality with their ratio."""
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
    for quality in results[0]:
        ours, theirs = zip(*(result[quality] for result in results), strict=True)
        ratio = np.divide(theirs, ours)
        cells = [describe(x, 2) if np.isfinite(x).all() else "never" for x in (ours, theirs)]
        cells.append("" if "never" in cells else describe(ratio, 2))
        print(f"{quality:<38}{cells[0]:>24}{cells[1]:>24}{cells[2]:>22}")


def take_turn(data, metadata_csv, posters, epochs, study_epochs):
    """Run both ways. Returns {quality: (our minutes, the study's)}, infinite where not reached."""
    steps = {
        "database": {"metadata_csv": metadata_csv, "poster_base": posters},
        "sampling": SAMPLE,
        "preprocessing": {},
        "train": {"epochs": epochs},
        "predict": {},
    }
    ran = {step: run_step(step, data_dir=data, **arguments) for step, arguments in steps.items()}
    seconds = {step: one.seconds for step, one in ran.items()}
    as_the_study = run([sys.executable, __file__, "--study", data, str(study_epochs)])
    shown = [f"{step} {spent:.0f} s" for step, spent in seconds.items()]
    print(f"{', '.join(shown)}: {sum(seconds.values()) / 60:.1f} minutes; ", end="")
    print(f"the study's steps 3 and 4 {as_the_study.seconds:.0f} s", flush=True)

    before = seconds["database"] + seconds["sampling"]
    ours = list_losses(ran["train"].lines, before + seconds["preprocessing"])
    theirs = list_losses(as_the_study.lines, before)
    floor = next(x for _, line in ran["train"].lines for x in re.findall(r"\(prior (\S+)\)", line))
    losses = {
        "that of the prior": float(floor),
        "the lowest of the study": min(theirs.values()),
        "our lowest": min(ours.values()),
    }
    print("; ".join(f"{name}: {loss:.4f}" for name, loss in losses.items()), flush=True)
    return {name: (find(loss, ours), find(loss, theirs)) for name, loss in losses.items()}


def list_losses(lines, before):
    """{minutes after the CSV: validation loss} of the epochs that a training prints."""
    found = ((time, re.search(r"validation loss (\d\S+)", line)) for time, line in lines)
    return {(before + time) / 60: float(match[1]) for time, match in found if match}


def find(loss, losses):
    """The first minutes with so low a loss, or infinity."""
    return min((minutes for minutes, one in losses.items() if one <= loss), default=np.inf)


def train_as_the_study(data, epochs):
    """Steps 3 and 4 of the study on the posters of a store; prints the loss of each epoch."""
    from model import keras

    store = open_store(data)
    size, splits = store.images.shape[1:3], {}
    for split in ("train", "val", "test"):
        rows = store.rows(split)
        posters = np.empty((len(rows), *size, 3), np.float32)
        for i, movie in enumerate(store.index["id"].iloc[rows]):
            posters[i] = study.decode(poster_path(data, movie), *size)
        splits[split] = posters, store.labels[rows].astype(np.float32)
    keras.utils.set_random_seed(0)

    def report(epoch, logs):
        print(f"epoch {epoch + 1}  validation loss {logs['val_loss']:.4f}", flush=True)

    study.build(*size, len(store.genres)).fit(
        *splits["train"],
        batch_size=16,
        epochs=epochs,
        validation_data=splits["val"],
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=report)],
        verbose=0,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--study"]:
        train_as_the_study(Path(sys.argv[2]), int(sys.argv[3]))
        sys.exit()
    parser = argparse.ArgumentParser(description="How many minutes from a CSV to each quality?")
    parser.add_argument("csv", nargs="?", help="of movies; none takes the demonstration set")
    parser.add_argument("folder", nargs="?", help="of its posters")
    parser.add_argument("--turns", type=int, help="each both ways")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of our network")
    parser.add_argument("--study-epochs", type=int, help="of the study's network")
    options = parser.parse_args()
    main(options.csv, options.folder, options.turns, options.epochs, options.study_epochs)
