"""Step 4: train the CNN of model.py with binary cross-entropy.

    python train.py

Reads   DATA_DIR/store/
Writes  DATA_DIR/model/: model.keras, the epoch with the lowest validation loss; model.json: genres,
        settings, thresholds, validation scores, versions; history.csv and training.png
Takes   about a minute for the demonstration set, some 15 minutes for 8,500 posters on two cores.
"""

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as in model.py, before Keras is imported

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from evaluation import SCORES, choose_thresholds, estimate_prior, score
from ledger import replacing, write_csv
from model import build_model, discard_model, predict_probabilities, save_model
from store import open_store

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that preprocessing.py wrote
ARCHITECTURE = "improved"  # "study" is the network of the study, several times slower
EPOCHS = 15  # passes over the sample; raise it while the validation loss still falls at the end
BATCH_SIZE = 32  # posters per step; larger is hardly faster on a CPU
LEARNING_RATE = 1e-3  # of AdamW at the start, a cosine takes it to 0; lower it if the loss jumps
SEED = 0  # another seed gives other weights at the start and another order of the posters
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    architecture=ARCHITECTURE,
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    learning_rate=LEARNING_RATE,
    seed=SEED,
):
    """Train, keep the best epoch, write the model; returns what it wrote to model.json."""
    settings = {
        "architecture": architecture,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    check_settings(epochs, batch_size, learning_rate)
    store = open_store(data_dir)
    keras.utils.set_random_seed(seed)
    model = build_model(architecture, *store.images.shape[1:3], len(store.genres))
    train, val = store.rows("train"), store.rows("val")
    sample = np.repeat(train, store.index["copies"].iloc[train])
    print(
        f"{architecture} network, {model.count_params():,} parameters; {len(train):,} posters to "
        f"train on, {len(sample):,} with repeats; {len(val):,} to validate"
    )
    floor = score_prior(store.labels[val])
    history = fit(model, store, sample, val, epochs, batch_size, learning_rate, seed, floor)
    about = describe(model, store, val, floor, history) | {"settings": settings}

    discard_model(data_dir)
    save_history(history, floor["binary_cross_entropy"], Path(data_dir) / "model")
    save_model(model, about, data_dir)
    report(about, Path(data_dir) / "model")
    return about


def check_settings(epochs, batch_size, learning_rate):
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 poster, got {batch_size!r}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be a number above 0, got {learning_rate!r}")


# --- training -------------------------------------------------------------------------------------


def fit(model, store, sample, val, epochs, batch_size, learning_rate, seed, floor):
    """Train the model and leave it with the weights of the epoch of the lowest validation loss.

    Args:
        sample: row numbers of the store to train on; a repeated row is seen again in each epoch.
        val: row numbers to validate on.

    Returns:
        A DataFrame with one row per epoch: epoch, loss, val_loss, learning_rate.
    """
    batches = Batches(store, sample, batch_size, np.random.default_rng(seed))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    # XLA, which Keras would choose by itself, is several times slower on a CPU.
    model.compile(keras.optimizers.AdamW(schedule), "binary_crossentropy", jit_compile=False)
    sample_prior = estimate_prior(store.labels[sample])
    model.get_layer("genres").bias.assign(logit(sample_prior))  # saves the first epoch learning it
    shift = PriorShift(logit(estimate_prior(store.labels[val])) - logit(sample_prior))
    progress = Progress(len(batches), floor["binary_cross_entropy"])
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    model.fit(
        batches,
        validation_data=Batches(store, val, batch_size),
        epochs=epochs,
        shuffle=False,  # the batches draw their own order
        callbacks=[shift, best, keras.callbacks.TerminateOnNaN(), progress],
        verbose=0,
    )
    history = pd.DataFrame(progress.rows)
    if not np.isfinite(history[["loss", "val_loss"]].to_numpy()).all():
        sys.exit("The loss is not a number. Lower LEARNING_RATE, then run: python train.py")
    shift.on_test_begin()  # for good
    return history


class Batches(keras.utils.PyDataset):
    """Batches of posters and labels, read from the memory map when they are needed.

    Args:
        rows: row numbers of the store.
        rng: draws a new order for each epoch; None keeps the order of `rows`.
    """

    def __init__(self, store, rows, batch_size, rng=None):
        super().__init__()
        self.store, self.rows, self.batch_size, self.rng = store, rows, batch_size, rng
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, i):
        rows = self.rows[i * self.batch_size : (i + 1) * self.batch_size]
        return self.store.images[rows], self.store.labels[rows].astype(np.float32)

    def on_epoch_end(self):
        if self.rng is not None:
            self.rows = self.rng.permutation(self.rows)


class PriorShift(keras.callbacks.Callback):
    """Moves the output biases from the genre shares of the sample to those of whole movies.

    Oversampling makes rare genres common, and a network trained on it expects them to be common.
    The shift of the logits takes that back (Saerens et al. 2002, Adjusting the Outputs of a
    Classifier to New a Priori Probabilities); only then can a loss be set beside the prior.

    Args:
        shift: (G,) what to add to the logits.
    """

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def on_test_begin(self, logs=None):
        self.bias = self.model.get_layer("genres").bias.numpy()
        self.model.get_layer("genres").bias.assign(self.bias + self.shift)

    def on_test_end(self, logs=None):
        self.model.get_layer("genres").bias.assign(self.bias)


def logit(probability):
    return np.log(probability) - np.log1p(-probability)


class Progress(keras.callbacks.Callback):
    """A bar for the steps of an epoch and a line for each epoch; keeps them as `rows`."""

    def __init__(self, steps, floor):
        super().__init__()
        self.steps, self.floor, self.rows = steps, floor, []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
        self.name = f"epoch {epoch + 1}/{self.params['epochs']}"
        self.bar = tqdm(total=self.steps, desc=self.name, unit="step", leave=False)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "val_loss": logs["val_loss"],
            "learning_rate": float(self.model.optimizer.learning_rate),
        }
        self.rows.append(row)
        print(
            f"{self.name}  loss {row['loss']:.4f}  validation loss {row['val_loss']:.4f} "
            f"(prior {self.floor:.4f})  {time.perf_counter() - self.start:.0f} s"
        )


# --- what comes out -------------------------------------------------------------------------------


def score_prior(labels):
    """The floor on this split: the scores of its own prior, which are the best a prior can have."""
    prior = estimate_prior(labels)
    constant = np.broadcast_to(prior, labels.shape)
    return score(labels, constant, choose_thresholds(labels, constant))


def describe(model, store, val, floor, history):
    """What model.json holds beside the settings; thresholds and scores are those on `val`."""
    probabilities = predict_probabilities(model, store.images, val)
    thresholds = choose_thresholds(store.labels[val], probabilities)
    scores = score(store.labels[val], probabilities, thresholds)
    prior = estimate_prior(store.labels[val])
    packages = ("tensorflow", "keras", "numpy", "pillow", "scikit-learn")
    return {
        "genres": store.genres,
        "H": store.images.shape[1],
        "W": store.images.shape[2],
        "best_epoch": int(history["epoch"][history["val_loss"].idxmin()]),
        "thresholds": dict(zip(store.genres, thresholds.genres.tolist(), strict=True)),
        "shared_thresholds": {"micro": thresholds.micro, "samples": thresholds.samples},
        "prior": dict(zip(store.genres, prior.tolist(), strict=True)),
        "scores": {
            "split": "val",
            **{
                name: {"score": float(scores[name]), "floor": float(floor[name])} for name in SCORES
            },
        },
        "samples_sha256": store.samples_sha256,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
    }


def save_history(history, floor, folder):
    """Write history.csv, and training.png: both losses by epoch beside the floor."""
    write_csv(history, folder / "history.csv")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["val_loss"], "o-", label="validation movies")
    axes.plot(history["epoch"], history["loss"], "s--", label="training sample (oversampled)")
    axes.axhline(
        floor, color="black", linestyle=":", label="prior on the validation movies (floor)"
    )
    best = history["val_loss"].idxmin()
    axes.annotate(
        "kept",
        (history["epoch"][best], history["val_loss"][best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Training")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with replacing(folder / "training.png") as part:
        figure.savefig(part, dpi=150)


def report(about, folder):
    print(f"validation scores of epoch {about['best_epoch']}, which is kept:")
    for name, label in SCORES.items():
        row = about["scores"][name]
        print(f"  {label:<48} {row['score']:.3f}   prior {row['floor']:.3f}")
    print(f"wrote {folder / 'model.keras'}, model.json, history.csv and training.png")
    print("next: python predict.py")


if __name__ == "__main__":
    main()
