"""The teacher, whose outputs train.py adds to the labels (knowledge distillation).

The teacher is one or more networks trained on photographs, with a logistic regression for each
genre on their features, and, with WORDS, the words on the posters; or a backbone that train.py has
fine-tuned. Its probabilities (SOFT_TARGETS) and its features (HINTS) are targets of the student,
which does not need the teacher after training.

DATA_DIR/distillation/ holds targets.npy, float32 (N, G), and features.npy, float32 (N, COMPONENTS x
networks), with a row for each poster of the store; a folder of feature files for each network, one
file for each chunk of posters and each with a checksum, with which a stopped run is resumed; and
last distillation.json. Making the outputs of one network takes a quarter of an hour for 15,000
posters on two cores.
"""

import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.feature_files import FeatureFiles
from postergenres.dataset.store import read_checksums
from postergenres.download.manifest import poster_path
from postergenres.models import efficientnet, resnet
from postergenres.models.description import check_sample
from postergenres.models.efficientnet import build_efficientnet
from postergenres.models.inference import predict_batch
from postergenres.models.resnet import build_resnet50
from postergenres.models.saved import open_model
from postergenres.models.transfer import BACKBONES, feature_extractor, fit_regressions
from postergenres.old_files import (
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
from postergenres.scores.metrics import (
    beside_floor,
    choose_thresholds,
    compute_scores,
    estimate_prior,
    format_scores,
    prior_of_counts,
    score_prior,
)
from postergenres.training.precision import choose_inference_precision, computing_in
from postergenres.words.combination import combine
from postergenres.words.fitting import choose_weights
from postergenres.words.reading import describe_reader
from postergenres.words.text_model import fit_text_model

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

NETWORKS = ("efficientnet_lite2",)  # of settings.TEACHERS
TEACHER_HEIGHT = 288  # pixels; larger than the posters of the student
TEACHER_WIDTH = 192  # pixels
COMPONENTS = 384  # principal components of the features that are kept, for each network
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
    data_dir,
    store,
    fine_tuned=None,
    may_make=True,
    precision="float32",
    words=None,
    networks=NETWORKS,
    **options,
):
    """Return the teacher; make its outputs first if they are missing or stale.

    Args:
        data_dir: the data folder, with store/ and posters/.
        store: `dataset.store.Store`.
        fine_tuned: model folder of a fine-tuned backbone; None for frozen networks.
        may_make: False on one of several hosts, all of which need the same outputs.
        precision: of the frozen networks: see `precision.choose_inference_precision`. It is
            no reason to make the outputs again.
        words: for each row of the store a list of (text, confidence), see `reading.read_words`;
            None for a teacher that does not read. A fine-tuned backbone does not.
        networks: names of the frozen networks, of `settings.TEACHERS`.
        options: arguments of `frozen_settings` or `fine_tuned_settings` that are not the default.

    Raises:
        SystemExit: the outputs cannot be made, or must not.
        ValueError: an option is out of range.
    """
    folder = Path(data_dir) / "distillation"
    if fine_tuned:
        settings = fine_tuned_settings(fine_tuned, **options)
    else:
        reader = None if words is None else describe_reader()
        settings = frozen_settings(networks, reader=reader, **options)
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
            make_outputs(data_dir, store, settings, choose_inference_precision(precision), words)
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


def frozen_settings(
    networks=NETWORKS,
    teacher_height=TEACHER_HEIGHT,
    teacher_width=TEACHER_WIDTH,
    components=COMPONENTS,
    regularisation=REGULARISATION,
    seed=SEED,
    reader=None,
):
    """Return the settings of frozen networks, as distillation.json records them."""
    settings = locals() | {"networks": list(networks)}
    check_components(components)
    if not 0 < regularisation < float("inf"):
        raise ValueError(f"regularisation must be above 0, got {regularisation!r}")
    return settings


def fine_tuned_settings(fine_tuned, components=COMPONENTS):
    """Return the settings of a fine-tuned teacher as distillation.json records them."""
    check_components(components)
    return {"fine_tuned": str(fine_tuned), "components": components}


def check_components(components):
    if not 1 <= components <= efficientnet.FEATURES:
        most = efficientnet.FEATURES
        raise ValueError(f"components must be between 1 and {most}, got {components!r}")


def find_staleness(folder, store, settings):
    """Return why the outputs in a folder must be made (again), in words; None if they are current.

    Args:
        folder: `pathlib.Path` of DATA_DIR/distillation.
        store: `dataset.store.Store`.
        settings: see `frozen_settings` and `fine_tuned_settings`.
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


def make_outputs(data_dir, store, settings, precision, words):
    """Make and write the outputs of a teacher, print its scores, return distillation.json.

    Nothing is deleted until all features are there.
    """
    check_room_for_outputs(data_dir, store, settings)
    if "fine_tuned" in settings:
        targets, features, prior = make_fine_tuned(data_dir, store, **settings)
    else:
        targets, features, prior = make_frozen(data_dir, store, precision, words, **settings)
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
    print(format_scores(about["scores"]))
    print(f"wrote {folder / 'targets.npy'} and features.npy")
    return about


def check_room_for_outputs(data_dir, store, settings):
    """Raise OSError if the disk has no room for the features of the networks and the outputs."""
    folder = Path(data_dir) / "distillation"
    widths = [count_features(network) for network in settings.get("networks", NETWORKS)]
    numbers = sum(widths) + settings["components"] * len(widths) + len(store.genres)
    written = sum(path.stat().st_size for path in folder.rglob("*.npy"))  # replaced or used again
    check_room(folder, max(0, 4 * numbers * len(store.labels) - written) + SPARE)


def make_frozen(
    data_dir,
    store,
    precision,
    words,
    networks,
    teacher_height,
    teacher_width,
    components,
    regularisation,
    seed,
    reader,
):
    """Return targets, features and prior of frozen networks with logistic regressions.

    Raises:
        SystemExit: a package with weights is missing, or a poster is.
    """
    for network in networks:
        require_package(network)
    train = store.rows("train")
    extracted = []
    for network in networks:
        name = f"{network.removeprefix('efficientnet_')}-{teacher_height}x{teacher_width}"
        if precision != "float32":
            name += f"-{precision}"
        build = partial(build_teacher, network, teacher_height, teacher_width, precision)
        features = extract_features(store, data_dir, name, build, count_features(network))
        # The features of each network have the same mean variance.
        extracted.append(features / np.sqrt(features[train].var(axis=0).mean()))
    features = reduce_features(np.hstack(extracted), train, components * len(networks))
    targets = fit_targets(features, store.labels, train, regularisation, seed)
    if reader:
        targets = add_words(targets, words, store.labels, train, seed)
    return targets, features, estimate_prior(store.labels[train])


def require_package(network):
    """Exit with one line if the package with the weights of a network is missing."""
    if network == "resnet50":
        resnet.find_package()
    else:
        efficientnet.find_weights(BACKBONES[network])


def build_teacher(network, height, width, precision):
    with computing_in(precision):
        if network == "resnet50":
            return build_resnet50(height, width)
        return feature_extractor(build_efficientnet(BACKBONES[network], height, width))


def count_features(network):
    return resnet.FEATURES if network == "resnet50" else efficientnet.FEATURES


def make_fine_tuned(data_dir, store, fine_tuned, components):
    """Return targets, features and prior of a fine-tuned backbone.

    Raises:
        SystemExit: the network does not fit the store, or a poster is missing.
    """
    model = open_fine_tuned(Path(fine_tuned), store)
    name = file_sha256(Path(fine_tuned) / "model.keras")[:16]
    build = partial(feature_extractor, model)
    extracted = extract_features(store, data_dir, name, build, efficientnet.FEATURES)
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


def extract_features(store, data_dir, name, build, width):
    """Return the features of all posters, float32 (N, F), each averaged with its mirror image.

    Args:
        store: `dataset.store.Store`.
        data_dir: the data folder.
        name: folder name of the files.
        build: a function without arguments that returns the network from posters to features; it
            is called only if a file is missing.
        width: F.
    """
    files = FeatureFiles(Path(data_dir) / "distillation" / name, width, np.float32, CHUNK)
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
    """Return the features of some movies, float32 (M, F); exit if a poster cannot be decoded."""
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

    Args:
        features: (N, F).
        labels: (N, G) of 0 and 1.
        train: row numbers of the training posters.
        regularisation: C of the regressions.
        seed: of the folds.
    """

    def predict(fit, rows):
        return predict_others(features, labels, fit, rows, regularisation)

    return cross_fit(predict, labels.shape, train, seed)


def add_words(targets, words, labels, train, seed):
    """Return the probabilities with the evidence of the words on the posters, float32 (N, G).

    Args:
        targets: see `fit_targets`.
        words: for each row of the store a list of (text, confidence), see `reading.read_words`.
        labels, train, seed: see `fit_targets`.
    """

    def weigh(fit, rows):
        model = fit_text_model([words[row] for row in fit], labels[fit])
        return model.weigh_evidence([words[row] for row in rows])

    evidence = cross_fit(weigh, labels.shape, train, seed)
    weights = choose_weights(labels[train], targets[train], evidence[train])
    return combine(targets, evidence, *weights).astype(np.float32)


def cross_fit(predict, shape, train, seed):
    """Return what models predict that are fitted on the training posters, float32 (N, G).

    A training poster is predicted by a model that was fitted without it: one that was fitted with
    it would repeat its labels.

    Args:
        predict: a function of the rows to fit on and the rows to predict; returns (rows, G).
        shape: (N, G).
        train: row numbers of the training posters.
        seed: of the folds.
    """
    predicted = np.empty(shape, np.float32)
    rest = np.setdiff1d(np.arange(shape[0]), train)
    predicted[rest] = predict(train, rest)
    for fit, rows in KFold(FOLDS, shuffle=True, random_state=seed).split(train):
        predicted[train[rows]] = predict(train[fit], train[rows])
    return predicted


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
