"""Measure what each part of the training adds: rows of settings that differ in one thing.

    python benchmarks/ablation.py                          # all rows
    python benchmarks/ablation.py "soft targets" "hints"   # two rows
    python benchmarks/ablation.py "hints" --epochs 15 --seeds 0 1 2 --split test

First install the benchmarks: python -m pip install -e . -r requirements/bench.txt. The rows with a
teacher also need requirements/transfer.txt.

All rows share the split of DATA_DIR, a folder in which steps 1 to 3 were run with OVERSAMPLING =
"none" and MIN_GENRE_MOVIES = 40.

The scores are those of the validation movies, on which the defaults of train.py were chosen, unless
--split test asks for the test movies. Each row is printed as soon as its training ends.

Writes  DATA_DIR/distillation/, the teacher's outputs, if a row needs them and they are missing
Takes   75 s for an epoch of 10,494 posters on two cores; six minutes with the study's network
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.files import record_checksums, write_csv
from postergenres.models.saved import open_model, predict_probabilities
from postergenres.scores.metrics import (
    choose_thresholds,
    compute_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.training.input import Batches, Shuffle, draw_sample, feed
from postergenres.training.teacher import FrozenNetwork, open_teacher

import keras
import numpy as np
import pandas as pd

import sampling
import train
from model import build_network

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder in which the steps were run; --data overrides it
EPOCHS = 3  # passes over the sample for each row; --epochs overrides it
SEED = 0  # of each row; --seeds overrides it
# --------------------------------------------------------------------------------------------------

SOFT = {"soft_targets": 0.7}
FULL = SOFT | {"hints": 0.1}
ROWS = {  # name: settings of train.py or sampling.py; `scaled` and `share` are explained below
    "study as published": {"scaled": 2},
    "study, scaled once": {"scaled": 1},
    "study, trained as here": {"architecture": "study", "learning_rate": 1e-4},
    "improved, not shifted": {"shift": 0},
    "improved": {},
    "soft targets": SOFT,
    "hints": FULL,
    "improved, 1/4 of the posters": {"share": 0.25},
    "improved, 1/2 of the posters": {"share": 0.5},
    "improved, sample none": {"oversampling": "none", "sample_fraction": 0.5},
    "improved, sample study": {"oversampling": "study"},
    "improved, sample ml-ros": {"oversampling": "ml-ros", "sample_fraction": 0.5, "max_copies": 10},
}
RESAMPLING = ("oversampling", "sample_fraction", "max_copies")  # settings of sampling.py
SCORES = ["binary_cross_entropy", "mAP", "macro_roc_auc"]


def main(names=(), data_dir=DATA_DIR, epochs=EPOCHS, seeds=(SEED,), split="val"):
    """Train and score the rows.

    Args:
        names: names of rows; none for all.
        data_dir: the data folder, with the outputs of steps 1 to 3.
        epochs: passes over the sample for each row.
        seeds: each row is trained once with each seed.
        split: "val" or "test", the movies that are scored.

    Returns:
        A DataFrame with the scores of the floor, then of each row and seed.
    """
    unknown = set(names) - set(ROWS)
    if unknown:
        sys.exit(f"No such row: {', '.join(sorted(unknown))}. Choose from: {', '.join(ROWS)}")
    store = open_store(data_dir)
    if any(SOFT.keys() & ROWS[name].keys() for name in names or ROWS):
        open_teacher(Path(data_dir), store, draw_sample(store), FrozenNetwork())
    prior = prior_of_counts(store.train_counts, store.train_movies)
    floor = score_prior(prior, store.labels[store.rows(split)])
    lines = [{"row": f"floor ({split})"} | {name: floor[name] for name in SCORES}]
    print_line(lines[0])
    for name in names or ROWS:
        for seed in seeds:
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as work:
                model = train_row(ROWS[name], data_dir, Path(work), epochs, seed)
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


def train_row(changes, data_dir, work, epochs, seed):
    """Train the network of a row.

    Args:
        changes: settings of train.py and sampling.py that are not the default; also `share`, the
            share of the training posters that is kept, and `scaled`: see `train_as_the_study`.
        data_dir: the data folder, which is only read.
        work: an empty folder to train in.
        epochs, seed: settings of train.py.

    Returns:
        The trained Keras model.
    """
    changes = dict(changes)
    write_variant(
        data_dir,
        work,
        changes.pop("share", 1.0),
        {key: changes.pop(key) for key in RESAMPLING if key in changes},
    )
    if "scaled" in changes:
        return train_as_the_study(open_store(work), changes["scaled"], epochs, seed)
    train.main(work, epochs=epochs, seed=seed, **changes)
    return open_model(work / "model")[0]


def write_variant(data_dir, work, share, resampling):
    """Write a data folder that shares the arrays of another but trains on fewer posters.

    Args:
        data_dir: the data folder whose arrays are linked.
        work: the folder to write.
        share: share of the training posters to keep, drawn at random.
        resampling: arguments of `sampling.main` for another sample of the same split, or {}.
    """
    data_dir = Path(data_dir).resolve()
    (work / "store").mkdir()
    linked = ["images.npy", "labels.npy", "checksums.csv", "store.json"]
    for name in linked:
        (work / "store" / name).symlink_to(data_dir / "store" / name)
    if (data_dir / "distillation").exists():
        (work / "distillation").symlink_to(data_dir / "distillation")
    index = pd.read_csv(data_dir / "store" / "index.csv", dtype={"id": str}, na_filter=False)
    if resampling:
        (work / "posters").symlink_to(data_dir / "posters")
        shutil.copy(data_dir / "posters.csv", work)
        sampling.main(work, min_genre_movies=40, **resampling)
        samples = pd.read_csv(work / "samples.csv", dtype=str, na_filter=False, index_col="id")
        (work / "samples.csv").unlink()  # the store was made from another sample
        drawn = index["id"].isin(samples.index)
        splits = samples["split"].reindex(index["id"]).fillna(index["split"].set_axis(index["id"]))
        if (splits.to_numpy() != index["split"].to_numpy()).any():
            sys.exit(
                f"The split of {data_dir / 'store'} was drawn with other settings. Run steps 2 and "
                "3 again with the settings that this file names"
            )
        copies = samples["copies"].reindex(index["id"]).fillna("1").astype(int)
        index["copies"] = copies.to_numpy()
        index.loc[~drawn, "split"] = "left out"
    train_rows = np.flatnonzero(index["split"] == "train")
    left_out = np.random.default_rng(0).permutation(train_rows)[round(share * len(train_rows)) :]
    index.loc[left_out, "split"] = "left out"
    write_csv(index, work / "store" / "index.csv")
    record_checksums(work / "store", [*linked, "index.csv"])


class Plain(Batches):
    """Batches in a new order each epoch, without augmentation, not even mirroring."""

    def __getitem__(self, number):
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        return self.images[rows], {name: values[rows] for name, values in self.targets.items()}


def train_as_the_study(store, scaled, epochs, seed):
    """Train the study's network as the study did: batches of 16, the Adagrad of Keras in 2018.

    Args:
        store: `dataset.store.Store`.
        scaled: how many times the pixels are divided by 255; the study did it twice, by mistake.
        epochs, seed: as in train.py.

    Returns:
        The network after the last epoch.
    """
    keras.utils.set_random_seed(seed)
    network = build_network("study", *store.images.shape[1:3], len(store.genres))
    if scaled == 2:
        rescaling = next(x for x in network.layers if isinstance(x, keras.layers.Rescaling))
        rescaling.scale = 1 / 255**2
    targets = {"genres": store.labels.astype(np.float32)}
    batches = Plain(store.images, targets, store.rows("train"), 16, Shuffle(seed))
    training_network = keras.Model(network.input, {"genres": network.output})
    training_network.compile(
        keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.0),
        {"genres": "binary_crossentropy"},
    )
    start = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.start(epoch))
    dataset = feed(batches)
    training_network.fit(dataset, epochs=epochs, shuffle=False, callbacks=[start], verbose=0)
    return network


def score_model(model, store, split):
    """Return the SCORES of a model on a split: {name: score}."""
    rows = store.rows(split)
    probabilities = predict_probabilities(model, store.images, rows)
    thresholds = choose_thresholds(store.labels[rows], probabilities)  # no SCORES depend on them
    scores = compute_scores(store.labels[rows], probabilities, thresholds)
    return {name: float(scores[name]) for name in SCORES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what each part of the training adds.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", default=DATA_DIR, help="the data folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="for each row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="for each row")
    parser.add_argument("--split", choices=["val", "test"], default="val", help="movies to score")
    options = parser.parse_args()
    main(options.rows, options.data, options.epochs, options.seeds, options.split)
