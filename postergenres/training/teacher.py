"""The teacher, whose probabilities and features train.py adds to the labels as targets.

The teacher is a network trained on photographs, with a logistic regression for each genre on its
features and, with WORDS, the words on the posters. With FINE_TUNED, backbones that are fine-tuned
on folds of the posters take the place of the regressions.

DATA_DIR/distillation/ holds targets.npy, float32 (N, G), features.npy, float32 (N, components), and
what they were made from. The features of the network itself lie in DATA_DIR/features/, in a file
for each chunk of posters, so that a stopped run resumes. They take a quarter of an hour for 15,000
posters on two cores.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.duplicates import NEAR_DUPLICATE, group_duplicates, hash_posters
from postergenres.dataset.feature_files import FeatureFiles
from postergenres.dataset.store import Store
from postergenres.download.manifest import poster_path
from postergenres.files import find_damage, identify_folder, read_json, write_json, writing_folder
from postergenres.models.efficientnet import FEATURES, build_efficientnet, find_weights
from postergenres.models.saved import predict_batch
from postergenres.models.transfer import BACKBONES, feature_extractor, fit_regressions
from postergenres.scores.metrics import estimate_prior, format_scores
from postergenres.training.devices import is_first
from postergenres.training.fine_tuned import FineTuned, predict_with_folds
from postergenres.training.input import Sample
from postergenres.training.precision import choose_inference_precision, computing_in
from postergenres.training.soft_targets import Teacher
from postergenres.words.combination import combine
from postergenres.words.fitting import CONSTANTS as TEXT_CONSTANTS
from postergenres.words.fitting import choose_weights, fit_text_model
from postergenres.words.reading import Words, describe_reader

import keras
import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold

FOLDS = 5  # of the posters: a training poster is predicted by a model that has not seen it
BATCH = 64  # posters per forward pass
CHUNK = 1024  # posters per feature file
POLL_SECONDS = 5  # between two looks of a process that waits for another one


@dataclass(frozen=True)
class FrozenNetwork:
    """A network with the weights of ImageNet, as a teacher."""

    architecture: str = "efficientnet_lite2"
    height: int = 288  # pixels; larger than the posters of the student
    width: int = 192  # pixels
    components: int = 384  # principal components of the features that are kept
    regularization: float = 0.0017  # C of the logistic regressions; lower it for fewer posters
    folds: int = FOLDS
    near_duplicate: int = NEAR_DUPLICATE  # bits; duplicates are in the same fold
    seed: int = 0  # of the folds
    fine_tuned: FineTuned | None = None  # backbones that predict in place of the regressions


Folds = list[tuple[np.ndarray, np.ndarray]]  # rows of a store to fit on, and rows to predict


def choose_network(fine_tuned: int | None = None) -> FrozenNetwork:
    """Return the network that teaches; `fine_tuned` is the number of folds, None for none."""
    return FrozenNetwork(fine_tuned=FineTuned(fine_tuned) if fine_tuned else None)


def open_teacher(
    data_dir: Path,
    store: Store,
    sample: Sample,
    network: FrozenNetwork,
    words: list[Words] | None = None,
    precision: str = "float32",
) -> Teacher:
    """Return what a network and the words on posters say; compute it if it is missing or stale.

    The precision is that of a fine-tuned network, and of a frozen one as in
    `precision.choose_inference_precision`; it is no reason to compute anything again. Exit with a
    line if a package or a poster is missing.
    """
    folder = data_dir / "distillation"
    basis = describe_basis(store, network, words)
    reason = find_staleness(folder, basis)
    while reason and not is_first():  # the first process does what follows
        time.sleep(POLL_SECONDS)
        reason = find_staleness(folder, basis)
    if reason:
        print(f"making the teacher's outputs: {reason}", flush=True)
        teacher = ask_network(data_dir, store, network, words=words, precision=precision)
        _, scores = sample.score(teacher.targets[sample.val])
        write_teacher(folder, teacher, {"basis": basis, "scores": scores})
        print(f"validation scores of the teacher:\n{format_scores(scores)}\nwrote {folder}")
    return read_teacher(folder)


def describe_basis(
    store: Store, network: FrozenNetwork, words: list[Words] | None
) -> dict[str, Any]:
    """Return everything that the outputs of a teacher depend on, as JSON types."""
    text_model = None if words is None else {"reader": describe_reader(), **TEXT_CONSTANTS}
    return asdict(network) | {"text_model": text_model, "store": store.sha256}


def find_staleness(folder: Path, basis: dict[str, Any]) -> str | None:
    """Return why outputs must be made (again), for a message; None if they are current."""
    if damage := find_damage(folder):
        return damage
    before = read_json(folder / "distillation.json")["basis"]
    if before["store"] != basis["store"]:
        return f"{folder} was made for another store"
    return None if before == basis else f"{folder} was made by another teacher"


def write_teacher(folder: Path, teacher: Teacher, about: dict[str, Any]) -> None:
    """Write the outputs of a teacher, and what they were made from."""
    with writing_folder(folder) as part:
        np.save(part / "targets.npy", teacher.targets)
        np.save(part / "features.npy", teacher.features)
        write_json(about | {"prior": teacher.prior.tolist()}, part / "distillation.json")


def read_teacher(folder: Path) -> Teacher:
    """Open the outputs of a teacher; its features are memory-mapped."""
    about = read_json(folder / "distillation.json")
    return Teacher(
        targets=np.load(folder / "targets.npy"),
        prior=np.array(about["prior"]),
        features=np.load(folder / "features.npy", mmap_mode="r"),
        about=about["basis"] | {"outputs": identify_folder(folder)},
    )


# --- what it says ---------------------------------------------------------------------------------


def ask_network(
    data_dir: Path, store: Store, network: FrozenNetwork, words: list[Words] | None, precision: str
) -> Teacher:
    """Return what regressions on a network's features say, or fine-tuned ones, and the words."""
    find_weights(BACKBONES[network.architecture])  # before anything takes time
    labels, train = store.labels, store.rows("train")
    features = read_features(data_dir, store, network, precision)
    groups = group_duplicates(hash_posters(store.index["id"], data_dir), network.near_duplicate)

    def plan(rows: np.ndarray, count: int = network.folds) -> Folds:
        return plan_folds(rows, groups, count, network.seed)

    def teach(rows: np.ndarray) -> Teacher:
        targets = fit_targets(features, labels, plan(rows), network.regularization)
        return Teacher(targets, estimate_prior(labels[rows]), features)

    tuned = network.fine_tuned
    if tuned is None:
        teacher = teach(train)
    else:
        folds = [fit for fit, _ in plan(train, tuned.folds)[1:]]
        targets = predict_with_folds(
            data_dir,
            store,
            tuned,
            folds=folds,
            teach=teach,
            basis=describe_basis(store, network, words=None),
            precision=precision,
        )
        teacher = Teacher(targets, estimate_prior(labels[store.rows("val")]), features)
    if words is None:
        return teacher
    return replace(
        teacher, targets=add_words(teacher.targets, words, labels, train, folds=plan(train))
    )


def read_features(
    data_dir: Path, store: Store, network: FrozenNetwork, precision: str
) -> np.ndarray:
    """Return the principal components of the features of the frozen network, float32 (N, K)."""
    precision = choose_inference_precision(precision)
    name = network.architecture.removeprefix("efficientnet_")
    name += f"-{network.height}x{network.width}"
    name += "" if precision == "float32" else f"-{precision}"
    build = partial(build_frozen, network, precision)
    features, train = extract_features(store, data_dir, name, build), store.rows("train")
    features = features / np.sqrt(features[train].var(axis=0).mean())
    return reduce_features(features, train, network.components)


def build_frozen(network: FrozenNetwork, precision: str) -> keras.Model:
    """Return the model from posters to features."""
    variant = BACKBONES[network.architecture]
    with computing_in(precision):
        return feature_extractor(build_efficientnet(variant, network.height, network.width))


def plan_folds(train: np.ndarray, groups: np.ndarray, count: int, seed: int) -> Folds:
    """Return folds that predict each poster once, a training poster by a model that never saw it.

    A model that was fitted with the poster, or with a duplicate of it, would repeat its labels.
    `train` has the rows of the training posters, `groups` the group of duplicates of each poster.
    The first of `count` + 1 folds is of all training posters, and predicts the others.
    """
    rest = np.setdiff1d(np.arange(len(groups)), train)
    splits = GroupKFold(count, shuffle=True, random_state=seed).split(train, groups=groups[train])
    return [(train, rest), *((train[fit], train[rows]) for fit, rows in splits)]


def fit_targets(
    features: np.ndarray, labels: np.ndarray, folds: Folds, regularization: float
) -> np.ndarray:
    """Return probabilities by logistic regression on the features, float32 (N, G)."""

    def predict(fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
        head = fit_regressions(features[fit], labels[fit], regularization)
        return apply_head(features[rows], *head)

    return cross_fit(predict, labels.shape, folds)


def add_words(
    targets: np.ndarray, words: list[Words], labels: np.ndarray, train: np.ndarray, folds: Folds
) -> np.ndarray:
    """Return the probabilities of `fit_targets` with the evidence of the words, float32 (N, G)."""

    def weigh(fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
        model = fit_text_model([words[row] for row in fit], labels[fit])
        return model.weigh_evidence([words[row] for row in rows])

    evidence = cross_fit(weigh, labels.shape, folds)
    weights = choose_weights(labels[train], targets[train], evidence[train])
    return combine(targets, evidence, *weights).astype(np.float32)


def cross_fit(
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray], shape: tuple[int, ...], folds: Folds
) -> np.ndarray:
    """Return what the models of the folds predict, float32 of this shape, (N, G).

    `predict` takes the rows to fit on and the rows to predict.
    """
    predicted = np.empty(shape, np.float32)
    for fit, rows in folds:
        predicted[rows] = predict(fit, rows)
    return predicted


def apply_head(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the probabilities of a sigmoid layer: features (N, F) to (N, G)."""
    return expit(features @ kernel + bias)


def reduce_features(features: np.ndarray, train: np.ndarray, components: int) -> np.ndarray:
    """Return the first principal components of the training posters, float32 (N, components).

    Their mean variance is 1. There are never more components than training posters.
    """
    pca = PCA(min(components, len(train)), svd_solver="covariance_eigh").fit(features[train])
    reduced = pca.transform(features) / np.sqrt(pca.explained_variance_.mean())
    return reduced.astype(np.float32)


def extract_features(
    store: Store, data_dir: Path, name: str, build: Callable[[], keras.Model]
) -> np.ndarray:
    """Return the features of all posters, float32 (N, F), each averaged with its mirror image.

    They are kept in files in a folder of this name; `build` is called only if one is missing.
    """
    files = FeatureFiles(data_dir / "features" / name, FEATURES, np.float32, CHUNK)
    build = cache(build)
    chunks = files.fill(
        files.split(store.index["id"].to_list(), store.poster_sha256),
        lambda movies, bar: extract_chunk(build(), movies, data_dir, bar),
    )
    # np.array drops the memory map of each file, which keeps the file open.
    return np.concatenate([np.array(features) for features in chunks])


def extract_chunk(network: keras.Model, movies: list[str], data_dir: Path, bar: Any) -> np.ndarray:
    """Return the features of some movies, float32 (M, F)."""
    height, width = network.input_shape[1:3]
    features = []
    for start in range(0, len(movies), BATCH):
        paths = [poster_path(data_dir, movie) for movie in movies[start : start + BATCH]]
        posters = np.stack([read_poster(path, height, width) for path in paths])
        features.append(np.asarray(predict_batch(network, posters), np.float32))
        bar.update(len(paths))
    return np.concatenate(features)


def read_poster(path: Path, height: int, width: int) -> np.ndarray:
    """Return the pixels of a poster, uint8 (height, width, 3); exit if it cannot be decoded."""
    pixels, error = try_decode(path, height, width)
    if pixels is None:
        sys.exit(f"{path}: {error}. Run: python database.py and python preprocessing.py")
    return pixels
