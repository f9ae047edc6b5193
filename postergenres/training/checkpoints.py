"""Write a checkpoint after each epoch, so that a killed training can be resumed.

Keras' `BackupAndRestore` writes the weights, the optimizer state and the epoch. It saves neither
the history nor the state of `EarlyStopping`, and a kill while it writes leaves a broken file. A
checkpoint here is therefore a folder with all files, which gets its final name last, in one rename.
"""

import shutil
import zipfile
from pathlib import Path

from postergenres.old_files import (
    add_checksum,
    check_room,
    file_sha256,
    has_checksum,
    read_json,
    write_json,
)

import h5py
import keras
import numpy as np

FILES = ("best.npz", "latest.weights.h5", "training_metadata.json")  # beside state.json
SPARE = 20_000_000  # bytes for what the training writes beside its checkpoints


class RoomCheck(keras.callbacks.Callback):
    """Check before each checkpoint that the disk has room for it, and for the model.

    HDF5 crashes if the disk is full. In the list of callbacks it comes before all that write.

    Args:
        folder: where checkpoints are written.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)

    def on_train_begin(self, logs=None):
        self.check()

    def on_epoch_end(self, epoch, logs=None):
        self.check()

    def check(self):
        """Raise OSError if there is no room for weights, optimizer, best weights and the model."""
        weights = sum(weight.nbytes for weight in self.model.get_weights())
        check_room(self.folder, 6 * weights + SPARE)  # the optimizer has up to three per weight


class Checkpoints(keras.callbacks.Callback):
    """Complete the checkpoint that `BackupAndRestore` has written.

    In the list of callbacks it comes after `BackupAndRestore` and `EarlyStopping`.

    Args:
        folder: holds `epoch-000007/`, the newest checkpoint, and `latest/`, in which the next one
            is written. `BackupAndRestore` gets `folder / "latest"`.
        settings: everything that the training depends on, as JSON types; recorded in the
            checkpoints. `unfinished.choose_unfinished` sees to it that those found have the same.

    Attributes:
        epochs: list of the logs of all epochs so far, a dict for each.
        precision: "float32" or "bfloat16"; None until a training has chosen it.
        failed: True after a loss that is not a number.
    """

    def __init__(self, folder, settings):
        super().__init__()
        self.folder, self.settings = Path(folder), settings
        self.epochs, self.precision, self.failed = [], None, False
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
        state = read_state(newest)
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
        state["sha256"] = {name: file_sha256(self.latest / name) for name in FILES}
        write_json(add_checksum(state), self.latest / "state.json")
        older = list(self.folder.glob("epoch-*/"))
        self.latest.rename(self.folder / f"epoch-{number:06}")
        for checkpoint in older:
            shutil.rmtree(checkpoint)


def read_state(checkpoint):
    """Return the content of a checkpoint's state.json."""
    return read_json(checkpoint / "state.json")


def find_damage(checkpoint):
    """Return what is wrong with a checkpoint, in words; None if it is as it was written."""
    try:
        state = read_state(checkpoint)
        if has_checksum(state) is False or not isinstance(state["epochs"], list):
            return "state.json was changed"
        missing = [name for name in FILES if not (checkpoint / name).is_file()]
        if missing:
            return f"{missing[0]} is missing"
        if "sha256" not in state and has_checksum(state) is None:
            return read_everything(checkpoint)
        for name in FILES:
            if state["sha256"][name] != file_sha256(checkpoint / name):
                return f"{name} was changed"
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"state.json cannot be read ({type(error).__name__})"
    return None


def read_everything(checkpoint):
    """Read all arrays of a checkpoint of an older version, which has no checksums."""
    print(f"note: {checkpoint} was written by an older version, without checksums")
    try:
        read_json(checkpoint / "training_metadata.json")
        with np.load(checkpoint / "best.npz") as best:
            for name in best.files:
                best[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return f"best.npz or training_metadata.json cannot be read ({type(error).__name__})"
    try:
        with h5py.File(checkpoint / "latest.weights.h5") as weights:
            weights.visititems(lambda _, item: item[()] is None if hasattr(item, "shape") else None)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        return f"latest.weights.h5 cannot be read ({type(error).__name__})"
    return None


def discard_checkpoints(folder):
    """Delete the checkpoints of a training that has ended or is replaced."""
    if folder.exists():
        discarded = folder.with_name("discarded")
        shutil.rmtree(discarded, ignore_errors=True)  # left by a kill
        folder.rename(discarded)  # a rename first: a kill leaves no half of a checkpoint
        shutil.rmtree(discarded, ignore_errors=True)
