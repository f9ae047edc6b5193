"""Step 5: score the model on the test movies, or predict the genres of posters.

    python predict.py
    python predict.py poster.jpg folder_of_posters https://host/poster.jpg

Reads   DATA_DIR/model/ and DATA_DIR/store/; or the named posters and DATA_DIR/model/, and if you
        have not trained a model, a pretrained one in data/pretrained/
Writes  without names: DATA_DIR/metrics.json, test_predictions.csv, report.html, and the pictures
        of the report; with names: DATA_DIR/predictions.csv and predictions.html
Takes   about 40 s for 2,000 test movies, a third of it for the confidence intervals.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

import postergenres.stopping  # noqa: F401  # first: Ctrl-C is one line from here on
from postergenres.evaluation.named_posters import find_posters
from postergenres.evaluation.poster_predictions import predict_paths
from postergenres.evaluation.test_scores import score_test
from postergenres.models.saved import find_model
from postergenres.settings import check_settings
from postergenres.stopping import run_from_shell, stopping_cleanly

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
PRETRAINED = "efficientnet_lite2"  # used if you have not trained a model; "improved" is faster
TOP = 3  # the number of most probable genres to show for each named poster
SHEET = 200  # posters in predictions.html, the first ones; each takes 6 to 26 kB of the page
GRAD_CAM = 12  # posters in predictions.html that get a heat map, the first ones; 0 for none
# --------------------------------------------------------------------------------------------------


def main(
    paths=(), data_dir=DATA_DIR, top=TOP, sheet=SHEET, grad_cam=GRAD_CAM, pretrained=PRETRAINED
):
    """Score the test movies or, if `paths` are given, predict posters; return the scores or table.

    Args:
        paths: files, folders and URLs of posters, or one of them.
        data_dir, top, sheet, grad_cam, pretrained: see the settings above.
    """
    check_settings("predict", locals())
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    with suppress(AttributeError):  # a notebook has another stdout
        sys.stdout.reconfigure(errors="replace")  # a path that the terminal cannot show
    with stopping_cleanly("predict", after="To start again"):
        if not paths:
            return score_test(Path(data_dir))
        folder = find_model(data_dir, pretrained)
        return predict_paths(find_posters(paths), folder, Path(data_dir), top, sheet, grad_cam)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER|URL", help="posters to predict")
    run_from_shell(main, parser.parse_args().paths)
