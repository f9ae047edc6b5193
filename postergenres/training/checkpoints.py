"""Write a checkpoint after each epoch, so that a killed training can be resumed.

DATA_DIR/unfinished/ has a folder for each training, named by a hash of everything that it depends
on, in it a folder for each stage, and in that one `epoch-000007/` for each of the last two epochs:
the network with its optimizer, the weights of the best epoch, the history, and checksums.
"""

import hashlib
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from postergenres.files import (
    check_room,
    find_damage,
    format_json,
    read_json,
    write_json,
    writing_folder,
)
from postergenres.training.callbacks import Callback, Logs
from postergenres.training.devices import is_first

import keras
import numpy as np

WEIGHTS = "latest.weights.h5"
KEPT = 2  # trainings, and checkpoints of each stage
SPARE = 20_000_000  # bytes for what the training writes beside its checkpoints


def open_unfinished(data_dir: Path, about: dict[str, Any]) -> Path:
    """Return the folder of a training, which depends on `about`; keep one other, the newest."""
    name = hashlib.sha256(format_json(about).encode()).hexdigest()[:16]
    folder = data_dir / "unfinished" / name
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        trainings = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in trainings[:-KEPT]:
            shutil.rmtree(old)
    return folder


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a stage, oldest first; names sort like their numbers."""
    return sorted(folder.glob("epoch-??????"))


def find_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint of a stage that is as it was written; drop damaged ones."""
    for checkpoint in reversed(list_checkpoints(folder)):
        if not (damage := find_damage(checkpoint)):
            return checkpoint
        print(f"note: {damage}: the epochs from this one on are trained again")
        if is_first():
            shutil.rmtree(checkpoint)
    return None


class Checkpoints(Callback):
    """Resume from the newest checkpoint of a stage, and write one after each epoch.

    In the list of callbacks it comes after `EarlyStopping`, whose state is part of a checkpoint:
    see `attach`. Of several processes, all read and the first one writes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.newest = folder, find_checkpoint(folder)
        self.epochs: list[dict[str, float]] = []  # the logs of all epochs so far
        self.precision: str | None = None  # until a training has chosen it
        self.failed = False  # True after a loss that is not a number
        if self.newest:
            state = read_json(self.newest / "state.json")
            self.epochs, self.precision = state["epochs"], state["precision"]

    def attach(self, stopper: keras.callbacks.EarlyStopping) -> None:
        self.stopper = stopper

    @property
    def finished(self) -> bool:
        """True if early stopping had already ended the training that is resumed."""
        return self.count_epochs_since_best() >= self.stopper.patience

    def count_epochs_since_best(self) -> int:
        losses = [epoch[self.stopper.monitor] for epoch in self.epochs]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.check_room()
        if self.newest is None:
            return
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self.newest / WEIGHTS)
        self.stopper.wait = self.count_epochs_since_best()
        self.stopper.best_epoch = len(self.epochs) - 1 - self.stopper.wait
        self.stopper.best = self.epochs[self.stopper.best_epoch][self.stopper.monitor]
        with np.load(self.newest / "best.npz") as best:
            self.stopper.best_weights = [best[name] for name in best.files]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        rate = float(self.model.optimizer.learning_rate)
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        self.epochs.append(numbers | {"learning_rate": rate})
        if not np.isfinite(list(self.epochs[-1].values())).all():
            self.failed = True
            self.stopper.best_weights = None  # restoring nan weights would fail on several hosts
        elif is_first():
            self.check_room()
            self.write(self.folder / f"epoch-{epoch + 1:06}")
        else:
            with TemporaryDirectory() as folder:  # JAX needs all processes for this
                self.model.save_weights(Path(folder) / WEIGHTS)

    def check_room(self) -> None:
        """Raise OSError if the disk has no room for a checkpoint and the model: HDF5 would crash.

        A checkpoint has each weight, the best one, and up to three numbers of the optimizer.
        """
        weights = sum(weight.nbytes for weight in self.model.get_weights())
        check_room(self.folder, 6 * weights + SPARE)

    def write(self, checkpoint: Path) -> None:
        """Write a checkpoint, and delete the older ones."""
        with writing_folder(checkpoint) as part:
            self.model.save_weights(part / WEIGHTS)
            np.savez(part / "best.npz", *(self.stopper.best_weights or ()))
            state = {"precision": self.precision, "epochs": self.epochs}
            write_json(state, part / "state.json")
        for old in list_checkpoints(self.folder)[:-KEPT]:
            shutil.rmtree(old)
