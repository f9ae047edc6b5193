"""Step 5: score the model on the test movies, or predict the posters you name.

    python predict.py
    python predict.py poster.jpg folder_of_posters https://host/poster.jpg

Reads   DATA_DIR/model/ and DATA_DIR/store/; or the images named and DATA_DIR/model/, and where that
        is missing a model in data/pretrained/, which comes with this
Writes  without names: DATA_DIR/metrics.json, test_predictions.csv, report.html, and the pictures
        that are in it; with names: DATA_DIR/predictions.csv and predictions.html
Takes   about 40 s for 2,000 test movies, of which the confidence intervals take a third.
"""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from postergenres.evaluation.named_posters import find_posters
from postergenres.evaluation.poster_predictions import predict_paths
from postergenres.evaluation.test_scores import score_test
from postergenres.models.saved import find_model

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote
PRETRAINED = "efficientnet_lite2"  # answers where you have no model; "improved" is faster
TOP = 3  # genres to show for each poster that you name
SHEET = 200  # posters in predictions.html, the first ones; each takes 6 to 26 kB of the page
GRAD_CAM = 12  # of them, the first ones: those to show where the network looked on; 0 for none
# --------------------------------------------------------------------------------------------------


def main(
    paths=(), data_dir=DATA_DIR, top=TOP, sheet=SHEET, grad_cam=GRAD_CAM, pretrained=PRETRAINED
):
    """Score the test split, or predict `paths`; returns the table that it printed."""
    for name, value, least in (("top", top, 1), ("sheet", sheet, 0), ("grad_cam", grad_cam, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if isinstance(paths, (str, Path)):
        paths = [paths]
    with suppress(AttributeError):  # where a notebook prints
        sys.stdout.reconfigure(errors="replace")  # a name that the console cannot show
    try:
        if paths:
            folder = find_model(data_dir, pretrained)
            return predict_paths(find_posters(paths), folder, Path(data_dir), top, sheet, grad_cam)
        return score_test(Path(data_dir))
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # a full disk, a folder or a file that may not be written
        sys.exit(f"Stopped: {error}. When that is mended, run: python predict.py")


# --- posters that the user names ------------------------------------------------------------------


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER|URL", help="images to predict")
    main(parser.parse_args().paths)
