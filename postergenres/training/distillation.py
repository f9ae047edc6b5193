"""The teacher, whose outputs train.py adds to the labels (knowledge distillation).

The teacher is EfficientNet-Lite, trained on ImageNet, with a logistic regression for each genre on
its features; or a backbone that train.py has fine-tuned. Its probabilities (SOFT_TARGETS) and its
features (HINTS) are targets of the student, which does not need the teacher after training.

DATA_DIR/distillation/ holds targets.npy, float32 (N, G), and features.npy, float32 (N, COMPONENTS),
with a row for each poster of the store; a folder of feature files, one for each chunk of posters
and each with a checksum, with which a stopped run is resumed; and last distillation.json. Making
the outputs takes a quarter of an hour for 15,000 posters on two cores.
"""

import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.feature_files import FeatureFiles
from postergenres.dataset.store import read_checksums
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
from postergenres.files import (
    add_checksum,
    check_room,
    discard_leftovers,
    file_sha256,
    has_checksum,
    lock_file,
    read_json,
    replacing,
    write_json,
)
from postergenres.models.description import check_sample
from postergenres.models.efficientnet import FEATURES, build_efficientnet
from postergenres.models.saved import open_model
from postergenres.models.transfer import BACKBONES, feature_extractor, fit_regressions
from postergenres.training.precision import choose_inference_precision, computing_in

VARIANT = "lite2"  # "lite0" and "lite1" are faster and slightly worse
TEACHER_HEIGHT = 288  # pixels; larger than the posters of the student
TEACHER_WIDTH = 192  # pixels
COMPONENTS = 384  # principal components of the features that are kept
REGULARISATION = 0.0017  # C of the logistic regressions; lower it for fewer posters
SEED = 0  # of the folds
FOLDS = 5
BATCH = 64  # posters per forward pass
CHUNK = 1024  # posters per feature file
SPARE = 10_000_000  # bytes of the disk that are left free


@dataclass(frozen=True)
class Teacher:
    """The teacher's outputs for the posters of a store.

    Attributes:
        targets: float32 (N, G), probabilities of the genres.
        prior: (G,), genre shares of the movies that the probabilities are calibrated for.
        features: float32 (N, K), memory-mapped; mean variance 1 on the training posters.
        sha256: list of the checksums of targets and features.
    """

    targets: np.ndarray
    prior: np.ndarray
    features: np.ndarray
    sha256: list


def prepare_teacher(
    data_dir, store, fine_tuned=None, may_make=True, precision="float32", **options
):
    """Return the teacher; make its outputs first if they are missing or stale.

    Args:
        data_dir: the data folder, with store/ and posters/.
        store: `dataset.store.Store`.
        fine_tuned: model folder of a fine-tuned backbone; None for the ImageNet network.
        may_make: False on one of several hosts, all of which need the same outputs.
        precision: of the ImageNet network: see `precision.choose_inference_precision`. It is no
            reason to make the outputs again.
        options: arguments of `imagenet_settings` or `fine_tuned_settings` that are not the default.

    Raises:
        SystemExit: the outputs cannot be made, or must not.
        ValueError: an option is out of range.
    """
    folder = Path(data_dir) / "distillation"
    if fine_tuned:
        settings = fine_tuned_settings(fine_tuned, **options)
    else:
        settings = imagenet_settings(**options)
    reason = find_staleness(folder, store, settings)
    if reason and not may_make:
        sys.exit(
            f"{reason}. Run train.py once on one host with HOSTS = None (it may be stopped as soon "
            f"as training begins), then copy {folder} to the other hosts."
        )
    if reason:
        print(f"making the teacher's outputs: {reason}", flush=True)
        folder.mkdir(exist_ok=True)
        refusal = (
            f"Another train.py is writing to {folder}. Wait until it ends, then run: python "
            "train.py"
        )
        with lock_file(folder / "making.lock", refusal):
            discard_leftovers([folder / "targets.npy", folder / "features.npy"])
            make_outputs(data_dir, store, settings, choose_inference_precision(precision))
    return open_teacher(data_dir)


def open_teacher(data_dir):
    """Open the outputs that `prepare_teacher` has made, whatever their teacher and store."""
    folder = Path(data_dir) / "distillation"
    about = read_json(folder / "distillation.json")
    return Teacher(
        targets=np.load(folder / "targets.npy"),
        prior=np.array(about["prior"]),
        features=np.load(folder / "features.npy", mmap_mode="r"),
        sha256=[about["targets_sha256"], about["features_sha256"]],
    )


# --- settings of the teacher ----------------------------------------------------------------------


def imagenet_settings(
    variant=VARIANT,
    teacher_height=TEACHER_HEIGHT,
    teacher_width=TEACHER_WIDTH,
    components=COMPONENTS,
    regularisation=REGULARISATION,
    seed=SEED,
):
    """Return the settings of an ImageNet teacher as distillation.json records them."""
    settings = dict(locals())
    check_components(components)
    if not 0 < regularisation < float("inf"):
        raise ValueError(f"regularisation must be above 0, got {regularisation!r}")
    return settings


def fine_tuned_settings(fine_tuned, components=COMPONENTS):
    """Return the settings of a fine-tuned teacher as distillation.json records them."""
    check_components(components)
    return {"fine_tuned": str(fine_tuned), "components": components}


def check_components(components):
    if not 1 <= components <= FEATURES:
        raise ValueError(f"components must be between 1 and {FEATURES}, got {components!r}")


def find_staleness(folder, store, settings):
    """Return why the outputs in a folder must be made (again), in words; None if they are current.

    Args:
        folder: `pathlib.Path` of DATA_DIR/distillation.
        store: `dataset.store.Store`.
        settings: see `imagenet_settings` and `fine_tuned_settings`.
    """
    if not folder.is_dir():
        return f"{folder} is missing"
    if not (folder / "distillation.json").is_file():
        return f"{folder} is unfinished"
    try:
        about = read_json(folder / "distillation.json")
        is_other_store = about["store_sha256"] != store.sha256
    except (ValueError, LookupError, TypeError):
        return f"{folder / 'distillation.json'} is damaged"
    if is_other_store:
        return f"{folder} was made for another store"
    if "prior" not in about:
        return f"{folder} was made by an older version"
    if about.get("settings") != settings:
        return f"{folder} was made by another teacher"
    if has_checksum(about) is False or not is_prior(about["prior"], store):
        return f"{folder / 'distillation.json'} is damaged"
    for name in ("targets", "features"):
        path = folder / f"{name}.npy"
        if not path.is_file() or file_sha256(path) != about.get(f"{name}_sha256"):
            return f"{path} is missing or damaged"
    return None


def is_prior(prior, store):
    is_list = isinstance(prior, list) and len(prior) == len(store.genres)
    return is_list and all(isinstance(share, float) for share in prior)


# --- making the outputs ---------------------------------------------------------------------------


def make_outputs(data_dir, store, settings, precision):
    """Make and write the outputs of a teacher, print its scores, return distillation.json.

    Nothing is deleted until all features are there.
    """
    check_room_for_outputs(data_dir, store, settings["components"])
    if "fine_tuned" in settings:
        targets, features, prior = make_fine_tuned(data_dir, store, **settings)
    else:
        targets, features, prior = make_imagenet(data_dir, store, precision, **settings)
    folder = Path(data_dir) / "distillation"
    (folder / "distillation.json").unlink(missing_ok=True)  # it marks the outputs as complete
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
    write_json(add_checksum(about), folder / "distillation.json")
    print("validation scores of the teacher:")
    print_scores(about["scores"])
    print(f"wrote {folder / 'targets.npy'} and features.npy")
    return about


def check_room_for_outputs(data_dir, store, components):
    """Raise OSError if the disk has no room for the features of the network and the outputs."""
    folder = Path(data_dir) / "distillation"
    numbers = FEATURES + components + len(store.genres)
    written = sum(path.stat().st_size for path in folder.rglob("*.npy"))  # replaced or used again
    check_room(folder, max(0, 4 * numbers * len(store.labels) - written) + SPARE)


def make_imagenet(
    data_dir,
    store,
    precision,
    variant,
    teacher_height,
    teacher_width,
    components,
    regularisation,
    seed,
):
    """Return targets, features and prior of an ImageNet network with logistic regressions.

    Raises:
        SystemExit: the package with the weights is missing, or a poster is.
    """
    name = f"{variant}-{teacher_height}x{teacher_width}"
    if precision != "float32":
        name += f"-{precision}"
    build = partial(build_teacher, variant, teacher_height, teacher_width, precision)
    extracted = extract_features(store, data_dir, name, build)
    train = store.rows("train")
    features = reduce_features(extracted, train, components)
    targets = fit_targets(features, store.labels, train, regularisation, seed)
    return targets, features, estimate_prior(store.labels[train])


def build_teacher(variant, height, width, precision):
    with computing_in(precision):
        return feature_extractor(build_efficientnet(variant, height, width))


def make_fine_tuned(data_dir, store, fine_tuned, components):
    """Return targets, features and prior of a fine-tuned backbone.

    Raises:
        SystemExit: the network does not fit the store, or a poster is missing.
    """
    model = open_fine_tuned(Path(fine_tuned), store)
    name = file_sha256(Path(fine_tuned) / "model.keras")[:16]
    extracted = extract_features(store, data_dir, name, partial(feature_extractor, model))
    features = reduce_features(extracted, store.rows("train"), components)
    targets = apply_head(extracted, *model.get_layer("genres").get_weights()).astype(np.float32)
    return targets, features, estimate_prior(store.labels[store.rows("val")])  # see shift_priors


def open_fine_tuned(folder, store):
    """Open a backbone that train.py has fine-tuned.

    It was trained on the labels of the training posters, so that its probabilities for these
    posters are overconfident.

    Raises:
        SystemExit: the network is of another sample or has no backbone.
    """
    model, about = open_model(folder)
    check_sample(about, store.samples_sha256, folder)
    if about["settings"]["architecture"] not in BACKBONES:
        sys.exit(
            f"{folder} holds a network without a backbone, which cannot be a teacher. Set "
            "FINE_TUNED in train.py to the folder of a fine-tuned backbone, then run: "
            "python train.py"
        )
    return model


# --- features -------------------------------------------------------------------------------------


def extract_features(store, data_dir, name, build):
    """Return the features of all posters, float32 (N, 1280), each averaged with its mirror image.

    Args:
        store: `dataset.store.Store`.
        data_dir: the data folder.
        name: folder name of the files.
        build: a function without arguments that returns the network from posters to features; it
            is called only if a file is missing.
    """
    files = FeatureFiles(Path(data_dir) / "distillation" / name, FEATURES, np.float32, CHUNK)
    ids = store.index["id"].to_list()
    checksums = read_checksums(Path(data_dir) / "store")[ids].to_list()
    build = cache(build)
    chunks = files.fill(
        files.split(ids, checksums),
        lambda movies, bar: extract_chunk(build(), movies, data_dir, bar),
    )
    # np.array drops the memory map of each file, which keeps the file open.
    return np.concatenate([np.array(features) for features in chunks])


def extract_chunk(network, movies, data_dir, bar):
    """Return the features of some movies, float32 (M, 1280); exit if a poster cannot be decoded."""
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
    """Return the principal components on the training posters, scaled to a mean variance of 1.

    Args:
        features: (N, F).
        train: row numbers of the training posters.
        components: how many to keep; never more than there are training posters.

    Returns:
        float32 (N, components).
    """
    pca = PCA(min(components, len(train)), svd_solver="covariance_eigh").fit(features[train])
    reduced = pca.transform(features) / np.sqrt(pca.explained_variance_.mean())
    return reduced.astype(np.float32)


# --- targets --------------------------------------------------------------------------------------


def fit_targets(features, labels, train, regularisation, seed):
    """Return probabilities of the genres by logistic regression on the features, float32 (N, G).

    The probabilities of a training poster come from a regression that was fitted without it
    (cross-fitting): a regression fitted with it would repeat its labels.

    Args:
        features: (N, F).
        labels: (N, G) of 0 and 1.
        train: row numbers of the training posters.
        regularisation: C of the regressions.
        seed: of the folds.
    """
    probabilities = np.empty(labels.shape, np.float32)
    rest = np.setdiff1d(np.arange(len(labels)), train)
    probabilities[rest] = predict_others(features, labels, train, rest, regularisation)
    for fit, predict in KFold(FOLDS, shuffle=True, random_state=seed).split(train):
        fit, predict = train[fit], train[predict]
        probabilities[predict] = predict_others(features, labels, fit, predict, regularisation)
    return probabilities


def predict_others(features, labels, fit, predict, regularisation):
    """Return probabilities for the rows `predict` of regressions fitted on the rows `fit`."""
    head = fit_regressions(features[fit], labels[fit], regularisation)
    return apply_head(features[predict], *head)


def apply_head(features, kernel, bias):
    """Return the probabilities of a sigmoid layer: features (N, F) to (N, G)."""
    return expit(features @ kernel + bias)


def score_teacher(store, targets):
    """Return the scores of the teacher on the validation movies, each beside its floor."""
    labels, targets = store.labels[store.rows("val")], targets[store.rows("val")]
    scores = compute_scores(labels, targets, choose_thresholds(labels, targets))
    prior = prior_of_counts(store.train_counts, store.train_movies)
    return beside_floor(scores, score_prior(prior, labels))
