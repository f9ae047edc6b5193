"""Training that survives being killed: a checkpoint at the end of each epoch.

Keras' `BackupAndRestore` writes the weights, the state of the optimizer and the epoch. It does not
know the history, nor what `EarlyStopping` remembers, and a kill while it writes leaves half of it.
So a checkpoint is a folder that holds all of this and gets its name last, in one rename.
"""

import shutil
from pathlib import Path

import keras
import numpy as np

from postergenres.files import read_json, write_json


class Checkpoints(keras.callbacks.Callback):
    """Seals what `BackupAndRestore` has written; comes after it and the stopper in the callbacks.

    Args:
        folder: holds `epoch-000007/`, the checkpoint, and `latest/`, which the next one grows in.
            `BackupAndRestore` is given `folder / "latest"`.
        settings: what the training depends on, as JSON has it. A checkpoint of others is not used.

    Attributes:
        epochs: the logs of the epochs so far, one dictionary for each.
        precision: what the training computes in; None until it is known.
        failed: whether a loss was not a number.
    """

    def __init__(self, folder, settings):
        super().__init__()
        self.folder, self.settings = Path(folder), settings
        self.epochs, self.precision, self.failed = [], None, False
        shutil.rmtree(self.folder.with_name("discarded"), ignore_errors=True)
        self.restore()

    def attach(self, stopper):
        """Name the `keras.callbacks.EarlyStopping` that keeps the best weights."""
        self.stopper = stopper

    @property
    def latest(self):
        return self.folder / "latest"

    def restore(self):
        """Put the newest checkpoint where `BackupAndRestore` will look for it."""
        sealed = max(self.folder.glob("epoch-*/"), default=None)  # the names sort as the numbers
        if self.latest.exists():
            shutil.rmtree(self.latest)
        if sealed is None:
            return
        state = read_json(sealed / "state.json")
        if state["settings"] != self.settings:
            print(f"{self.folder} holds a training with other settings; this one begins anew")
            discard(self.folder)
            return
        self.epochs, self.precision = state["epochs"], state["precision"]
        shutil.copytree(sealed, self.latest)

    @property
    def finished(self):
        """Whether the training that is resumed had stopped early already."""
        return self.epochs_since_best() >= self.stopper.patience

    def epochs_since_best(self):
        losses = [epoch[self.stopper.monitor] for epoch in self.epochs]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def on_train_begin(self, logs=None):
        if self.epochs:
            self.stopper.wait = self.epochs_since_best()
            self.stopper.best_epoch = len(self.epochs) - 1 - self.stopper.wait
            self.stopper.best = self.epochs[self.stopper.best_epoch][self.stopper.monitor]
            with np.load(self.latest / "best.npz") as best:
                self.stopper.best_weights = [best[name] for name in best.files]

    def on_epoch_end(self, epoch, logs=None):
        rate = float(self.model.optimizer.learning_rate)
        logs = {name: float(value) for name, value in logs.items()} | {"learning_rate": rate}
        self.epochs.append(logs)
        if not np.isfinite(list(logs.values())).all():
            self.failed = True
            self.stopper.best_weights = None  # several hosts could not agree on what is no number
            return
        np.savez(self.latest / "best.npz", *self.stopper.best_weights)
        state = {"settings": self.settings, "precision": self.precision, "epochs": self.epochs}
        write_json(state, self.latest / "state.json")
        older = list(self.folder.glob("epoch-*/"))
        self.latest.rename(self.folder / f"epoch-{epoch + 1:06}")
        for checkpoint in older:
            shutil.rmtree(checkpoint)


def discard(folder):
    """Forget a training: it has ended, or its settings are not those of today."""
    if folder.exists():
        discarded = folder.with_name("discarded")
        folder.rename(discarded)  # at once: a kill leaves no half of a checkpoint
        shutil.rmtree(discarded, ignore_errors=True)
