"""Write a checkpoint after each epoch, so that a killed training can be resumed.

Keras' `BackupAndRestore` writes the weights, the optimizer state and the epoch. It saves neither
the history nor the state of `EarlyStopping`, and a kill while it writes leaves a broken file. A
checkpoint here is therefore a folder with all files, which gets its final name last, in one rename.
"""

import shutil
from pathlib import Path

import keras
import numpy as np

from postergenres.files import read_json, write_json


class Checkpoints(keras.callbacks.Callback):
    """Complete the checkpoint that `BackupAndRestore` has written.

    In the list of callbacks it comes after `BackupAndRestore` and `EarlyStopping`.

    Args:
        folder: holds `epoch-000007/`, the newest checkpoint, and `latest/`, in which the next one
            is written. `BackupAndRestore` gets `folder / "latest"`.
        settings: everything that the training depends on, as JSON types. A checkpoint of other
            settings is discarded.

    Attributes:
        epochs: list of the logs of all epochs so far, a dict for each.
        precision: "float32" or "bfloat16"; None until a training has chosen it.
        failed: True after a loss that is not a number.
    """

    def __init__(self, folder, settings):
        super().__init__()
        self.folder, self.settings = Path(folder), settings
        self.epochs, self.precision, self.failed = [], None, False
        shutil.rmtree(self.folder.with_name("discarded"), ignore_errors=True)
        self.restore()

    def attach(self, stopper):
        """Set the `keras.callbacks.EarlyStopping` whose state is part of the checkpoint."""
        self.stopper = stopper

    @property
    def latest(self):
        """The folder in which the next checkpoint is written."""
        return self.folder / "latest"

    def restore(self):
        """Copy the newest checkpoint to the folder that `BackupAndRestore` reads."""
        newest = max(self.folder.glob("epoch-*/"), default=None)  # names sort like their numbers
        if self.latest.exists():
            shutil.rmtree(self.latest)
        if newest is None:
            return
        state = read_json(newest / "state.json")
        if state["settings"] != self.settings:
            print(f"{self.folder} holds a training with other settings: starting a new one")
            discard_checkpoints(self.folder)
            return
        self.epochs, self.precision = state["epochs"], state["precision"]
        shutil.copytree(newest, self.latest)

    @property
    def finished(self):
        """True if early stopping had already ended the training that is resumed."""
        return self.count_epochs_since_best() >= self.stopper.patience

    def count_epochs_since_best(self):
        """Return how many epochs came after the epoch with the lowest monitored loss."""
        losses = [epoch[self.stopper.monitor] for epoch in self.epochs]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def on_train_begin(self, logs=None):
        if self.epochs:
            self.stopper.wait = self.count_epochs_since_best()
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
            self.stopper.best_weights = None  # restoring nan weights would fail on several hosts
            return
        self.write_checkpoint(epoch + 1)

    def write_checkpoint(self, number):
        """Complete the checkpoint in `latest`, rename it, and delete the older ones."""
        np.savez(self.latest / "best.npz", *self.stopper.best_weights)
        state = {"settings": self.settings, "precision": self.precision, "epochs": self.epochs}
        write_json(state, self.latest / "state.json")
        older = list(self.folder.glob("epoch-*/"))
        self.latest.rename(self.folder / f"epoch-{number:06}")
        for checkpoint in older:
            shutil.rmtree(checkpoint)


def discard_checkpoints(folder):
    """Delete the checkpoints of a training that has ended or has other settings."""
    if folder.exists():
        discarded = folder.with_name("discarded")
        folder.rename(discarded)  # a rename first: a kill leaves no half of a checkpoint
        shutil.rmtree(discarded, ignore_errors=True)
