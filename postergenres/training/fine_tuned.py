"""Fine-tune backbones on folds of the training posters: each teaches the posters it has not seen.

A backbone that was trained on a poster repeats its labels, and so teaches nothing that they do not
say. DATA_DIR/teacher/ holds a folder for each fold that is done: targets.npy, float32 (N, G), with
nan for the posters of the fold; and, until all are done, the checkpoints of the fold in training
and the posters in the backbone's size. A stopped run resumes after its last epoch.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from postergenres.dataset.builder import decode_posters
from postergenres.dataset.store import Store
from postergenres.download.manifest import poster_path
from postergenres.files import find_damage, read_json, write_json, writing_folder
from postergenres.models.saved import predict_probabilities
from postergenres.models.transfer import build_transfer
from postergenres.parallel import open_executor
from postergenres.scores.calibration import to_logits
from postergenres.training.augmentation import make_augmentation
from postergenres.training.input import draw_sample
from postergenres.training.loop import Run, train_network
from postergenres.training.schedule import make_schedule
from postergenres.training.soft_targets import Teacher, make_targets

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class FineTuned:
    """How the backbones are trained."""

    folds: int  # of the training posters
    architecture: str = "efficientnet_lite2"
    height: int = 320  # pixels
    width: int = 216  # pixels
    epochs: int = 6
    soft_targets: float = 0.5  # share of the frozen network's probabilities in the targets
    ema_momentum: float = 0.998
    shift: float = 0.08  # of the posters: see `augmentation`


def predict_with_folds(
    data_dir: Path,
    store: Store,
    settings: FineTuned,
    folds: list[np.ndarray],
    teach: Callable[[np.ndarray], Teacher],
    basis: dict[str, Any],
    precision: str,
) -> np.ndarray:
    """Return what fine-tuned backbones say of each poster, float32 (N, G); train them if needed.

    Args:
        folds: rows of the store that each backbone is trained on. A poster gets the mean of the
            logits of the backbones that were not trained on it.
        teach: returns a teacher of the rows to train on that knows no labels of other rows.
        basis: everything that the folds and these teachers depend on, as JSON types.
        precision: of the training, see `precision.choose_precision`.
    """
    folder, logits = data_dir / "teacher", []
    for number, fit in enumerate(folds, start=1):
        about = basis | {"fold": number}
        done = folder / f"fold-{number}"
        if find_damage(done) or read_json(done / "fold.json") != about:
            print(f"fine-tuning backbone {number} of {len(folds)}, to teach the other posters")
            posters = replace(store, images=open_posters(data_dir, store, settings))
            teacher = replace(teach(fit), about=about)
            run = plan_run(posters, settings, fit, teacher, seed=number, precision=precision)
            targets = train_and_predict(run, folder)
            with writing_folder(done) as part:
                np.save(part / "targets.npy", targets)
                write_json(about, part / "fold.json")
        logits.append(to_logits(np.load(done / "targets.npy")))
    for name in ("posters", "unfinished", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return expit(np.nanmean(logits, axis=0)).astype(np.float32)


def plan_run(
    store: Store,
    settings: FineTuned,
    rows: np.ndarray,
    teacher: Teacher,
    seed: int,
    precision: str,
) -> Run:
    """Return the training of a backbone on some rows of a store."""
    sample = draw_sample(store, rows)
    share, architecture = settings.soft_targets, settings.architecture
    return Run(
        store=store,
        sample=sample,
        targets=make_targets(store.labels, sample.shares, teacher, soft_targets=share),
        schedule=make_schedule(
            architecture, epochs=settings.epochs, ema_momentum=settings.ema_momentum
        ),
        augmentation=make_augmentation(architecture, shift=settings.shift),
        seed=seed,
        precision=precision,
    )


def train_and_predict(run: Run, folder: Path) -> np.ndarray:
    """Return what a backbone says of the posters that it was not trained on; nan for the others.

    The array is float32 (N, G); checkpoints are kept in the folder.
    """
    trained = train_network(build_transfer, run, folder)
    others = np.setdiff1d(np.arange(len(run.store.labels)), run.sample.rows)
    targets = np.full(run.store.labels.shape, np.nan, np.float32)
    targets[others] = predict_probabilities(trained.model, run.store.images, others)
    return targets


def open_posters(data_dir: Path, store: Store, settings: FineTuned) -> np.ndarray:
    """Return the posters of a store in the size of the backbones, memory-mapped uint8.

    They are decoded if the store has them in another size and they are not there yet.
    """
    size = settings.height, settings.width
    if store.images.shape[1:3] == size:
        return store.images
    folder = data_dir / "teacher" / "posters"
    about = {"store": store.sha256, "size": list(size)}
    if find_damage(folder) or read_json(folder / "posters.json") != about:
        paths = [poster_path(data_dir.absolute(), movie) for movie in store.index["id"]]
        with writing_folder(folder) as part, open_executor() as executor:
            checksums, _ = decode_posters(paths, part.absolute() / "images.npy", size, executor)
            for path, found, known in zip(paths, checksums, store.poster_sha256, strict=True):
                if found != known:
                    sys.exit(f"{path} is missing or has changed. Run: python preprocessing.py")
            write_json(about, part / "posters.json")
    return np.load(folder / "images.npy", mmap_mode="r")
