"""Compare the oversampling strategies: the same small network, trained on the sample of each.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_sampling.py            # the posters of the folder data
    python benchmarks/bench_sampling.py DATA_DIR   # the posters of another data folder

Each seed draws a split, which the strategies share. The strategies differ in the movies that the
network sees; the number of gradient steps is the same. Scores are of the test split, which is never
oversampled, F1 at thresholds chosen on the validation split. As in step 4, the output biases are
shifted to the natural shares of the genres; `unshifted` is the cross-entropy without the shift. If
DATA_DIR/posters.csv is missing, the demonstration set is sampled. Takes about an hour on two cores.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.models.saved import predict_probabilities
from postergenres.models.transfer import initialize_network
from postergenres.scores.metrics import (
    choose_thresholds,
    compute_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.training import loop
from postergenres.training.augmentation import Augmentation
from postergenres.training.callbacks import shift_priors
from postergenres.training.checkpoints import Checkpoints
from postergenres.training.input import draw_sample
from postergenres.training.schedule import make_schedule, plan_stages
from postergenres.training.soft_targets import make_targets

import keras
import numpy as np
import pandas as pd
from measuring import draw_demonstration, run_step
from scipy.special import expit, logit

import preprocessing
import sampling
import train
from model import build_network

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder with posters.csv and posters/ of step 1; it is only read
SAMPLES = {  # name: settings of sampling.py
    "none, all": {"oversampling": "none"},
    "none": {"oversampling": "none", "sample_fraction": 0.5},
    "study": {"oversampling": "study"},
    "ml-ros": {"oversampling": "ml-ros", "sample_fraction": 0.5, "max_copies": 10},
}
SEEDS = (0, 1, 2)  # one split and one training of each sample per seed
STEPS = 2000  # gradient steps per training
BATCH_SIZE = 32  # posters per step
IMAGE_HEIGHT = 75  # pixels; half of the default of preprocessing.py, to finish within an hour
IMAGE_WIDTH = 51  # pixels
LEARNING_RATE = 1e-3  # the peak
# --------------------------------------------------------------------------------------------------

SCORES = ["mAP", "macro_f1", "binary_cross_entropy"]


def main(
    data_dir=DATA_DIR,
    samples=SAMPLES,
    seeds=SEEDS,
    steps=STEPS,
    batch_size=BATCH_SIZE,
    image_height=IMAGE_HEIGHT,
    image_width=IMAGE_WIDTH,
    learning_rate=LEARNING_RATE,
):
    """Print a row for each training as it ends, then mean and standard deviation over the seeds."""
    rows = []
    with tempfile.TemporaryDirectory() as work:
        if not (Path(data_dir) / "posters.csv").is_file():
            print(f"{Path(data_dir) / 'posters.csv'} is missing: using the demonstration set")
            movies, posters = draw_demonstration(Path(work) / "drawn")
            data_dir = Path(work) / "drawn"
            run_step("database", data_dir=data_dir, metadata_csv=movies, poster_base=posters)
        shutil.copy(Path(data_dir) / "posters.csv", work)
        os.symlink(Path(data_dir).resolve() / "posters", Path(work) / "posters")
        for seed in seeds:
            for name, settings in samples.items():
                sampling.main(work, seed=seed, **settings)
                preprocessing.main(work, image_height, image_width)
                store = open_store(work)
                rows += score_sample(name, store, seed, steps, batch_size, learning_rate)
                print(pd.DataFrame(rows[-2:]).to_string(float_format="{:.4f}".format), flush=True)
    table = pd.DataFrame(rows).drop(columns="seed").groupby("sample", sort=False)
    print(table.agg(["mean", "std"]).to_string(float_format="{:.4f}".format))


def score_sample(name, store, seed, steps, batch_size, learning_rate):
    """Train on the sample of a store and score the test split.

    Args:
        name: of the sample.
        store: `dataset.store.Store`.
        seed: of the order of the posters and of the network.
        steps: gradient steps.
        batch_size: posters per step.
        learning_rate: the peak.

    Returns:
        Two dicts of scores, of the network and of the floor.
    """
    rng = np.random.default_rng(seed)
    rows, val, test = (store.rows(split) for split in ("train", "val", "test"))
    sample = np.repeat(rows, store.index["copies"].iloc[rows])
    passes = [rng.permutation(sample) for _ in range(-(-steps * batch_size // len(sample)))]
    seen = np.concatenate(passes)[: steps * batch_size]  # one epoch of so many steps
    network = train_on(store, seen, batch_size, learning_rate, seed)

    shift = draw_sample(store, seen).prior_shift
    on_val, on_test = (predict_probabilities(network, store.images, part) for part in (val, test))
    scores = compute_scores(
        store.labels[test], on_test, choose_thresholds(store.labels[val], on_val, min_support=1)
    )
    raw = expit(logit(np.clip(on_test, 1e-7, 1 - 1e-7)) - shift)
    unshifted = compute_scores(
        store.labels[test], raw, choose_thresholds(store.labels[val], on_val, min_support=1)
    )
    floor = score_prior(find_prior(store), store.labels[test], store.labels[val], min_support=1)
    return [
        {"sample": name, "seed": seed, "posters": len(rows), "with copies": len(sample)}
        | {key: scores[key] for key in SCORES}
        | {"unshifted": unshifted["binary_cross_entropy"]},
        {"sample": "floor", "seed": seed} | {key: floor[key] for key in SCORES},
    ]


def find_prior(store):
    return prior_of_counts(store.train_counts, store.train_movies)


def train_on(store, seen, batch_size, learning_rate, seed):
    """Train a network as train.py does, in one epoch; returns it with shifted output biases.

    Args:
        store: `dataset.store.Store`.
        seen: rows of the store to train on; a repeated row is seen again.
        batch_size, learning_rate, seed: settings of train.py.
    """
    keras.utils.set_random_seed(seed)
    network = build_network("improved", *store.images.shape[1:3], len(store.genres))
    initialize_network(network, store.images, store.labels, seen)
    sample = draw_sample(store, seen)
    training_run = loop.Run(
        store=store,
        sample=sample,
        targets=make_targets(store.labels, sample.shares),
        schedule=make_schedule(
            "improved", epochs=1, batch_size=batch_size, learning_rate=learning_rate
        ),
        augmentation=Augmentation(shift=train.SHIFT),
        seed=seed,
    )
    (stage,) = plan_stages(training_run.schedule)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder) / stage.name)
        loop.fit_stage(training_run, network, stage, checkpoints, logs=Path(folder) / "logs")
    shift_priors(network, sample.prior_shift)
    return network


if __name__ == "__main__":
    main(*sys.argv[1:2])
