"""Optional, before step 4: a teacher that knows photographs looks at the posters.

    pip install -r requirements-transfer.txt
    python distillation.py

The teacher is EfficientNet-Lite, trained on ImageNet, with a logistic regression for each genre on
its features; or the same after it was fine-tuned by train.py, in FINE_TUNED. Its probabilities and
its features are what SOFT_TARGETS and HINTS in train.py add to the labels. The CNN learns from
them, and needs no teacher once it is trained.

Reads   DATA_DIR/store/ and DATA_DIR/posters/
Writes  DATA_DIR/distillation/: targets.npy, float32 (N, G), and features.npy, float32 (N,
        COMPONENTS), with a row for each poster of the store; last distillation.json
Takes   a quarter of an hour for 15,000 posters on two cores. A run that was stopped goes on.
"""

import hashlib
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.store import open_store, read_checksums
from postergenres.download.manifest import poster_path
from postergenres.evaluation.inference import predict_batch
from postergenres.evaluation.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    print_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.files import file_sha256, read_json, replacing, write_json
from postergenres.models.efficientnet import FEATURES, build_efficientnet
from postergenres.models.saved import check_sample, open_model
from postergenres.models.transfer import BACKBONES, feature_extractor, fit_regressions
from postergenres.progress import show_progress

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that preprocessing.py wrote
VARIANT = "lite2"  # "lite0" and "lite1" are faster, and see a little less
TEACHER_HEIGHT = 288  # pixels; the teacher sees the posters larger than the CNN does
TEACHER_WIDTH = 192  # pixels
COMPONENTS = 384  # principal components of the features that are kept
REGULARISATION = 0.0017  # C of the logistic regressions; lower it for fewer posters
FINE_TUNED = None  # or "elsewhere/model", a fine-tuned network of train.py: it teaches instead
SEED = 0  # another seed divides the training posters in another way
# --------------------------------------------------------------------------------------------------

BATCH = 64  # posters per forward pass
CHUNK = 1024  # posters per file of features
FOLDS = 5


def main(
    data_dir=DATA_DIR,
    variant=VARIANT,
    teacher_height=TEACHER_HEIGHT,
    teacher_width=TEACHER_WIDTH,
    components=COMPONENTS,
    regularisation=REGULARISATION,
    fine_tuned=FINE_TUNED,
    seed=SEED,
):
    """Extract features, fit the teacher, write what it says; returns distillation.json."""
    check_settings(components, regularisation)
    store = open_store(data_dir)
    folder = Path(data_dir) / "distillation"
    folder.mkdir(exist_ok=True)
    if fine_tuned:
        model = open_fine_tuned(Path(fine_tuned), store)
        name = file_sha256(Path(fine_tuned) / "model.keras")[:16]
        build = partial(feature_extractor, model)
    else:
        name = f"{variant}-{teacher_height}x{teacher_width}"
        build = partial(build_teacher, variant, teacher_height, teacher_width)
    try:
        seen = extract_features(store, data_dir, name, build)
    except KeyboardInterrupt:
        print("Stopped. To go on from here, run: python distillation.py", file=sys.stderr)
        sys.exit(130)
    train, val = store.rows("train"), store.rows("val")
    features = reduce_features(seen, train, components)
    if fine_tuned:
        targets = ask_head(seen, *model.get_layer("genres").get_weights()).astype(np.float32)
        prior = estimate_prior(store.labels[val])  # train.py shifts its output biases to these
        settings = {"fine_tuned": str(fine_tuned), "components": components}
    else:
        targets = teach_genres(features, store.labels, train, regularisation, seed)
        prior = estimate_prior(store.labels[train])
        settings = {
            "variant": variant,
            "teacher_height": teacher_height,
            "teacher_width": teacher_width,
            "components": components,
            "regularisation": regularisation,
            "seed": seed,
        }

    (folder / "distillation.json").unlink(missing_ok=True)  # it comes last: then all is whole
    for name, array in (("targets.npy", targets), ("features.npy", features)):
        with replacing(folder / name) as part:
            np.save(part, array)
    about = {
        "settings": settings,
        "store_sha256": store.sha256,
        "targets_sha256": file_sha256(folder / "targets.npy"),
        "features_sha256": file_sha256(folder / "features.npy"),
        "prior": prior.tolist(),
        "scores": score_teacher(store, targets),
    }
    write_json(about, folder / "distillation.json")
    report(about, folder)
    return about


def check_settings(components, regularisation):
    if not 1 <= components <= FEATURES:
        raise ValueError(f"components must be between 1 and {FEATURES}, got {components!r}")
    if not 0 < regularisation < float("inf"):
        raise ValueError(f"regularisation must be above 0, got {regularisation!r}")


# --- the teacher ----------------------------------------------------------------------------------


def open_fine_tuned(folder, store):
    """A network that train.py has fine-tuned; exits where it does not fit the store.

    It has seen the labels of the training posters, and is surer of these than of others.
    """
    model, about = open_model(folder)
    check_sample(about, store.samples_sha256, folder)
    if about["settings"]["architecture"] not in BACKBONES:
        sys.exit(
            f"{folder} holds a network without a backbone, which has nothing to teach. Set "
            "ARCHITECTURE in train.py, then run: python train.py"
        )
    return model


def build_teacher(variant, height, width):
    return feature_extractor(build_efficientnet(variant, height, width))


def extract_features(store, data_dir, name, build):
    """What the network sees in each poster: float32 (N, 1280), mean of it and its mirror image.

    Every chunk of posters has a file, by the checksums of its posters.

    Args:
        name: of the folder for these files.
        build: a function without arguments that builds the network, from posters to features.
    """
    folder = Path(data_dir) / "distillation" / name
    folder.mkdir(exist_ok=True)
    ids = store.index["id"].to_list()
    checksums = read_checksums(Path(data_dir) / "store")
    chunks, network = [], None
    with show_progress(len(ids), "poster") as bar:
        for start in range(0, len(ids), CHUNK):
            movies = ids[start : start + CHUNK]
            key = hashlib.sha256("".join(checksums[movies]).encode()).hexdigest()
            path = folder / f"{key[:16]}.npy"
            if not path.is_file():
                network = network or build()
                with replacing(path) as part:
                    np.save(part, extract_chunk(network, movies, data_dir, bar))
            else:
                bar.update(len(movies))
            chunks.append(np.load(path))
    return np.concatenate(chunks)


def extract_chunk(network, movies, data_dir, bar):
    height, width = network.input_shape[1:3]
    features = []
    for start in range(0, len(movies), BATCH):
        paths = [poster_path(data_dir, movie) for movie in movies[start : start + BATCH]]
        decoded = [try_decode(path, height, width) for path in paths]
        for path, (_, error) in zip(paths, decoded, strict=True):
            if error:
                sys.exit(f"{path}: {error}. Run: python database.py and python preprocessing.py")
        posters = np.stack([pixels for pixels, _ in decoded])
        features.append(predict_batch(network, posters).astype(np.float32))
        bar.update(len(paths))
    return np.concatenate(features)


def reduce_features(features, train, components):
    """Their principal components on the training posters, of unit variance in the mean."""
    pca = PCA(min(components, len(train)), svd_solver="covariance_eigh").fit(features[train])
    reduced = pca.transform(features) / np.sqrt(pca.explained_variance_.mean())
    return reduced.astype(np.float32)


def teach_genres(features, labels, train, regularisation, seed):
    """The probabilities of the genres by logistic regression on the features: float32 (N, G).

    A training poster gets those of a regression that was fitted without it: fitted with it, they
    would repeat its label.
    """
    probabilities = np.empty(labels.shape, np.float32)
    rest = np.setdiff1d(np.arange(len(labels)), train)
    probabilities[rest] = predict_others(features, labels, train, rest, regularisation)
    for fit, predict in KFold(FOLDS, shuffle=True, random_state=seed).split(train):
        fit, predict = train[fit], train[predict]
        probabilities[predict] = predict_others(features, labels, fit, predict, regularisation)
    return probabilities


def predict_others(features, labels, fit, predict, regularisation):
    return ask_head(features[predict], *fit_regressions(features[fit], labels[fit], regularisation))


def ask_head(features, kernel, bias):
    return expit(features @ kernel + bias)


# --- what comes out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Teacher:
    """What the teacher says of the posters of a store.

    Attributes:
        targets: float32 (N, G), probabilities of the genres.
        prior: (G,), the genre shares that they take for granted.
        features: float32 (N, K), memory-mapped; of unit mean variance on the training posters.
        sha256: the checksums of both.
    """

    targets: np.ndarray
    prior: np.ndarray
    features: np.ndarray
    sha256: list


def open_teacher(data_dir, store):
    """Open what this step wrote. Exits with one line where it is missing or out of date."""
    folder = Path(data_dir) / "distillation"
    if not (folder / "distillation.json").is_file():
        sys.exit(f"{folder / 'distillation.json'} is missing. Run: python distillation.py")
    about = read_json(folder / "distillation.json")
    if about["store_sha256"] != store.sha256 or "prior" not in about:
        sys.exit(f"{folder} is not of this store, or of older scripts. Run: python distillation.py")
    targets = np.load(folder / "targets.npy")
    features = np.load(folder / "features.npy", mmap_mode="r")
    prior = np.array(about["prior"])
    return Teacher(targets, prior, features, [about["targets_sha256"], about["features_sha256"]])


def score_teacher(store, targets):
    """The scores of the teacher on the validation movies, each beside its floor."""
    labels, targets = store.labels[store.rows("val")], targets[store.rows("val")]
    scores = compute_scores(labels, targets, choose_thresholds(labels, targets))
    prior = prior_of_counts(store.train_counts, store.train_movies)
    return beside_floor(scores, score_prior(prior, labels))


def report(about, folder):
    print("validation scores of the teacher:")
    print_scores(about["scores"])
    print(f"wrote {folder / 'targets.npy'} and features.npy")
    print("next: set SOFT_TARGETS and HINTS in train.py, and run: python train.py")


if __name__ == "__main__":
    main()
