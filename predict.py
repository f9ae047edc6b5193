"""Step 5: score the model on the test movies, or predict the genres of posters.

    python predict.py
    python predict.py poster.jpg folder_of_posters https://host/poster.jpg

Reads   without arguments: DATA_DIR/model/ and DATA_DIR/store/; with arguments: the posters and
        DATA_DIR/model/ or, if you have not trained a model, a pretrained one in data/pretrained/;
        and DATA_DIR/store/, if there is one, for similar posters
Writes  without arguments: DATA_DIR/metrics.json, test_predictions.csv, report.html, its pictures
        and, if requirements/labels.txt is installed, doubtful_labels.csv; with arguments:
        predictions.csv and predictions.html; with a store also similar.csv and features/
Takes   about 35 s for 2,000 test movies, also if the labels of 2,000 validation movies are
        questioned; a third of it for the confidence intervals.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

import postergenres.stopping  # noqa: F401  # first: Ctrl-C is one line from here on
from postergenres.models.description import find_model
from postergenres.old_files import lock_file
from postergenres.old_settings import check_settings
from postergenres.report.named_posters import find_posters
from postergenres.report.poster_report import predict_paths
from postergenres.stopping import run_from_shell, stopping_cleanly

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
PRETRAINED = "efficientnet_lite2"  # used if you have not trained a model; "improved" is faster
TOP = 3  # show at least so many genres of each poster: the predicted ones, then the next
SHEET = 200  # posters in predictions.html, the first ones; each takes 6 to 35 kB of the page
GRAD_CAM = 12  # posters in predictions.html that get a heat map, the first ones; 0 for none
SIMILAR = 5  # training movies with the most similar posters to find for each poster; 0 for none
# --------------------------------------------------------------------------------------------------


def main(
    paths=(),
    data_dir=DATA_DIR,
    top=TOP,
    sheet=SHEET,
    grad_cam=GRAD_CAM,
    pretrained=PRETRAINED,
    similar=SIMILAR,
):
    """Score the test movies or, if `paths` are given, predict posters; return the scores or table.

    Args:
        paths: files, folders and URLs of posters, or one of them.
        data_dir, top, sheet, grad_cam, pretrained, similar: see the settings above.
    """
    check_settings("predict", locals())
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    with suppress(AttributeError):  # a notebook has another stdout
        sys.stdout.reconfigure(errors="replace")  # a path that the terminal cannot show
    data_dir = Path(data_dir)
    refusal = (
        f"Another predict.py is at work on {data_dir}. Wait until it ends, then run this again"
    )
    with stopping_cleanly("predict", after="To start again"):
        data_dir.mkdir(parents=True, exist_ok=True)
        with lock_file(data_dir / "predict.lock", refusal):
            if not paths:  # it needs TensorFlow, which posters are predicted without
                from postergenres.report.test_report import score_test

                return score_test(data_dir)
            folder = find_model(data_dir, pretrained)
            names = find_posters(paths)
            return predict_paths(names, folder, data_dir, top, sheet, grad_cam, similar)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER|URL", help="posters to predict")
    run_from_shell(main, parser.parse_args().paths)
