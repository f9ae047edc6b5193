"""What each ingredient of the training adds: rows that differ in one thing, on the same split.

    python benchmarks/ablation.py                          # every row
    python benchmarks/ablation.py "soft targets" "hints"   # these
    python benchmarks/ablation.py "hints" --epochs 15 --seeds 0 1 2 --split test

DATA_DIR is a folder in which steps 1 to 3 were run with SAMPLE_FRACTION = 1.0, OVERSAMPLING =
"none" and MIN_GENRE_MOVIES = 40; only the teacher's outputs are written there. Scores are those of
the validation movies, on which the recipe was chosen; only the last line above reads the test
movies. Every row prints its own when it is done. An epoch of 10,494 posters takes about a minute
and a quarter on two cores, of the study's network six.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import sampling  # noqa: E402
import train  # noqa: E402
from model import build_model  # noqa: E402
from postergenres.dataset.store import open_store  # noqa: E402
from postergenres.evaluation.inference import predict_probabilities  # noqa: E402
from postergenres.evaluation.metrics import (  # noqa: E402
    choose_thresholds,
    compute_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.files import write_csv  # noqa: E402
from postergenres.models.saved import open_model  # noqa: E402
from postergenres.training.distillation import prepare_teacher  # noqa: E402
from postergenres.training.input import Batches  # noqa: E402

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # where the steps were run
EPOCHS = 3  # of each row, unless --epochs says otherwise
SEED = 0  # of each row, unless --seeds says otherwise
# --------------------------------------------------------------------------------------------------

SOFT = {"soft_targets": 0.7}
FULL = SOFT | {"hints": 0.1}
ROWS = {  # name: what differs from the settings of train.py, or how the study trained
    "study as published": {"scaled": 2},
    "study, scaled once": {"scaled": 1},
    "study, trained as here": {"architecture": "study", "learning_rate": 1e-4},
    "improved, not shifted": {"shift": 0},
    "improved": {},
    "soft targets": SOFT,
    "hints": FULL,
    "improved, 1/4 of the posters": {"share": 0.25},
    "improved, 1/2 of the posters": {"share": 0.5},
    "improved, sample none": {"oversampling": "none"},
    "improved, sample study": {"oversampling": "study"},
    "improved, sample ml-ros": {"oversampling": "ml-ros", "max_copies": 10},
}
SCORES = ["binary_cross_entropy", "mAP", "macro_roc_auc"]


def main(names=(), data_dir=DATA_DIR, epochs=EPOCHS, seeds=(SEED,), split="val"):
    """Train and score the rows; returns a DataFrame with a line for each row and seed."""
    unknown = set(names) - set(ROWS)
    if unknown:
        sys.exit(f"no such row: {sorted(unknown)}; there are: {', '.join(ROWS)}")
    store = open_store(data_dir)
    if any(SOFT.keys() & ROWS[name].keys() for name in names or ROWS):
        prepare_teacher(data_dir, store)
    prior = prior_of_counts(store.train_counts, store.train_movies)
    floor = score_prior(prior, store.labels[store.rows(split)])
    lines = [{"row": f"floor ({split})"} | {name: floor[name] for name in SCORES}]
    print_line(lines[0])
    for name in names or ROWS:
        for seed in seeds:
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as work:
                model = run(ROWS[name], data_dir, Path(work), epochs, seed)
            seconds = time.perf_counter() - begin
            lines.append({"row": name, "seed": seed, "epochs": epochs, "seconds": seconds})
            lines[-1] |= score_model(model, store, split)
            print_line(lines[-1])
    table = pd.DataFrame(lines).drop(columns=["seed", "seconds"])
    print(table.groupby("row", sort=False)[SCORES].agg(["mean", "std"]).round(4).to_string())
    return table


def print_line(line):
    cells = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in line.values()]
    print("  ".join(cells), flush=True)


def run(changes, data_dir, work, epochs, seed):
    """Train a row in the folder `work`; returns the model."""
    changes = dict(changes)
    write_variant(
        data_dir,
        work,
        changes.pop("share", 1.0),
        {key: changes.pop(key) for key in ("oversampling", "max_copies") if key in changes},
    )
    if "scaled" in changes:
        return train_as_the_study(open_store(work), changes["scaled"], epochs, seed)
    train.main(work, epochs=epochs, seed=seed, **changes)
    return open_model(work / "model")[0]


def write_variant(data_dir, work, share, resampling):
    """A data folder with the same arrays, in which a part of the training posters is left out."""
    data_dir = Path(data_dir).resolve()
    (work / "store").mkdir()
    for name in ("images.npy", "labels.npy", "store.json", "checksums.csv"):
        (work / "store" / name).symlink_to(data_dir / "store" / name)
    if (data_dir / "distillation").exists():
        (work / "distillation").symlink_to(data_dir / "distillation")
    index = pd.read_csv(data_dir / "store" / "index.csv", dtype={"id": str}, na_filter=False)
    if resampling:
        (work / "posters").symlink_to(data_dir / "posters")
        shutil.copy(data_dir / "posters.csv", work)
        sampling.main(work, min_genre_movies=40, **resampling)  # half of the movies, as it comes
        samples = pd.read_csv(work / "samples.csv", dtype=str, na_filter=False, index_col="id")
        (work / "samples.csv").unlink()  # the store was made from another
        drawn = index["id"].isin(samples.index)
        splits = samples["split"].reindex(index["id"]).fillna(index["split"].set_axis(index["id"]))
        if (splits.to_numpy() != index["split"].to_numpy()).any():
            sys.exit("The split is not that of the store: other settings of sampling.py")
        copies = samples["copies"].reindex(index["id"]).fillna("1").astype(int)
        index["copies"] = copies.to_numpy()
        index.loc[~drawn, "split"] = "left out"
    train_rows = np.flatnonzero(index["split"] == "train")
    left_out = np.random.default_rng(0).permutation(train_rows)[round(share * len(train_rows)) :]
    index.loc[left_out, "split"] = "left out"
    write_csv(index, work / "store" / "index.csv")


class Plain(Batches):
    """Batches in a new order each epoch, without augmentation."""

    def __getitem__(self, number):
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        return self.images[rows], {name: values[rows] for name, values in self.targets.items()}


def train_as_the_study(store, scaled, epochs, seed):
    """The study's network, batches of 16, Adagrad as it was in the Keras of 2018; the last epoch.

    Args:
        scaled: how often the pixels are divided by 255; the study did it twice, by mistake.
    """
    keras.utils.set_random_seed(seed)
    network = build_model("study", *store.images.shape[1:3], len(store.genres))
    if scaled == 2:
        rescaling = next(x for x in network.layers if isinstance(x, keras.layers.Rescaling))
        rescaling.scale = 1 / 255**2
    targets = {"genres": store.labels.astype(np.float32)}
    batches = Plain(store.images, targets, store.rows("train"), 16, seed)
    learner = keras.Model(network.input, {"genres": network.output})
    learner.compile(
        keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.0),
        {"genres": "binary_crossentropy"},
    )
    start = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.start(epoch))
    learner.fit(batches, epochs=epochs, shuffle=False, callbacks=[start], verbose=0)
    return network


def score_model(model, store, split):
    """Cross-entropy, mAP and ROC-AUC of a model on a split; the thresholds of F1 do not matter."""
    rows = store.rows(split)
    probabilities = predict_probabilities(model, store.images, rows)
    thresholds = choose_thresholds(store.labels[rows], probabilities)
    scores = compute_scores(store.labels[rows], probabilities, thresholds)
    return {name: float(scores[name]) for name in SCORES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What each ingredient of the training adds.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", default=DATA_DIR)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED])
    parser.add_argument("--split", choices=["val", "test"], default="val")
    options = parser.parse_args()
    main(options.rows, options.data, options.epochs, options.seeds, options.split)
