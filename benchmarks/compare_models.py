"""Score one kind of model on the test movies, as a row of a table in RESULTS.md.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/compare_models.py thumbnails DATA_DIR   # logistic regression on 12 x 8 pixels
    python benchmarks/compare_models.py features DATA_DIR     # the teacher of train.py
    python benchmarks/compare_models.py network DATA_DIR      # the model in DATA_DIR/model
    python benchmarks/compare_models.py network DATA_DIR --model postergenres/pretrained/improved

The row has cross-entropy, mAP and macro ROC-AUC with 95 % intervals; parameters; megabytes on disk;
and posters per second from memory, each with its mirror image: median and range of three turns.

Reads   DATA_DIR, a folder in which steps 1 to 3 were run; `features` also requirements/transfer.txt
Writes  DATA_DIR/distillation/, if `features` finds no outputs of this teacher there
"""

import argparse
import sys
import time
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.models.description import check_sample
from postergenres.models.saved import open_model, predict_batch, predict_probabilities
from postergenres.models.transfer import fit_regressions
from postergenres.scores.bootstrap import compare_with_prior
from postergenres.scores.metrics import choose_thresholds, prior_of_counts
from postergenres.training.input import draw_sample
from postergenres.training.teacher import FrozenNetwork, apply_head, build_frozen, open_teacher

import numpy as np
from measuring import format_range
from PIL import Image
from sklearn.metrics import log_loss

# --- settings -------------------------------------------------------------------------------------
THUMBNAIL = (8, 12)  # pixels, width and height
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # values of C of the regressions; the best on validation wins
TIMED = 256  # posters per turn
# --------------------------------------------------------------------------------------------------


def main(kind, data_dir, model=None):
    """Score a kind of model and print its row.

    Args:
        kind: "thumbnails", "features" or "network".
        data_dir: the data folder.
        model: folder of a network; None for the model in the data folder.
    """
    data_dir = Path(data_dir)
    store = open_store(data_dir)
    if kind == "thumbnails":
        print_row(kind, store, *compare_thumbnails(store))
    elif kind == "features":
        print_row(kind, store, *compare_features(store, data_dir))
    else:
        print_row(kind, store, *compare_network(store, Path(model or data_dir / "model")))


def print_row(name, store, probabilities, parameters, megabytes, speeds):
    """Print the row of a model.

    Args:
        name: of the row.
        store: `dataset.store.Store`.
        probabilities: (N, G) of the validation movies, and of the test movies.
        parameters: number of parameters.
        megabytes: on disk.
        speeds: posters per second of each turn, or [].
    """
    val, test = store.rows("val"), store.rows("test")
    prior = prior_of_counts(store.train_counts, store.train_movies)
    on_val, on_test = probabilities
    scores, _ = compare_with_prior(
        store.labels[test],
        on_test,
        choose_thresholds(store.labels[val], on_val),
        prior,
        store.labels[val],
    )
    cells = []
    for score, digits in (("binary_cross_entropy", 4), ("mAP", 3), ("macro_roc_auc", 3)):
        row = scores.loc[score]
        low, high = (f"{row[bound]:.{digits}f}" for bound in ("low", "high"))
        cells.append(f"{row['score']:.{digits}f} [{low}, {high}], floor {row['floor']:.{digits}f}")
    speed = format_range(speeds, 0) if speeds else "-"
    print("| | cross-entropy | mAP | macro ROC-AUC | parameters | MB | posters per second |")
    print("|", " | ".join([name, *cells, f"{parameters:,}", f"{megabytes:.3g}", speed]), "|")


def time_batches(predict, posters):
    """Return the posters per second of three turns, after one turn to warm up.

    Args:
        predict: function of a batch of up to 64 posters.
        posters: uint8 (N, H, W, 3).
    """
    speeds = []
    for _ in range(4):
        start = time.perf_counter()
        for i in range(0, len(posters), 64):
            predict(posters[i : i + 64])
        speeds.append(len(posters) / (time.perf_counter() - start))
    return speeds[1:]


# --- models: each returns probabilities, parameters, megabytes, posters per second ----------------


def compare_thumbnails(store):
    pixels = np.stack([shrink(image) for image in store.images]).astype(np.float32)
    train, val, test = (store.rows(split) for split in ("train", "val", "test"))
    tried = []
    for penalty in PENALTIES:
        head = fit_regressions(pixels[train], store.labels[train], penalty)
        on_val, on_test = (apply_head(pixels[rows], *head) for rows in (val, test))
        tried.append(
            (log_loss(store.labels[val].ravel(), on_val.ravel()), penalty, (on_val, on_test))
        )
    loss, penalty, predicted = min(tried, key=lambda one: one[0])
    print(f"C = {penalty:g}, validation cross-entropy {loss:.4f}")
    parameters = (pixels.shape[1] + 1) * store.labels.shape[1]
    return predicted, parameters, parameters * 4 / 1e6, []


def shrink(image):
    return np.asarray(Image.fromarray(image).resize(THUMBNAIL, Image.Resampling.BOX)).ravel()


def compare_features(store, data_dir):
    network = FrozenNetwork()
    targets = open_teacher(data_dir, store, draw_sample(store), network).targets
    backbone = build_frozen(network, "float32")
    parameters = backbone.count_params() + (backbone.output_shape[1] + 1) * len(store.genres)
    size = network.height, network.width
    posters = np.random.default_rng(0).integers(0, 256, (TIMED, *size, 3), dtype=np.uint8)
    speeds = time_batches(lambda batch: predict_batch(backbone, batch), posters)
    predicted = [targets[store.rows(split)] for split in ("val", "test")]
    return predicted, parameters, parameters * 4 / 1e6, speeds


def compare_network(store, folder):
    model, about = open_model(folder)
    check_sample(about, store.samples_sha256, folder)
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit(
            f"{folder} needs posters of {about['H']} x {about['W']} pixels, and the store has "
            "another size. Set IMAGE_HEIGHT and IMAGE_WIDTH in preprocessing.py, then run: "
            "python preprocessing.py"
        )
    predicted = [
        predict_probabilities(model, store.images, store.rows(split)) for split in ("val", "test")
    ]
    speeds = time_batches(lambda batch: predict_batch(model, batch), store.images[:TIMED])
    megabytes = (folder / "model.keras").stat().st_size / 1e6
    return predicted, model.count_params(), megabytes, speeds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score a kind of model on the test movies.")
    parser.add_argument("kind", choices=["thumbnails", "features", "network"])
    parser.add_argument("data_dir", metavar="DATA_DIR")
    parser.add_argument("--model", metavar="FOLDER", help="instead of DATA_DIR/model")
    options = parser.parse_args()
    if options.model and options.kind != "network":
        parser.error("--model needs the kind network")
    main(**vars(options))
