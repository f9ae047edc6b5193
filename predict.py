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

import numpy as np
import pandas as pd
from tqdm import tqdm

from files import write_csv
from model import find_model, open_model, predict_batch
from posters import decode_batches, find_posters
from report import write_sheet
from scoring import name_genres, read_thresholds, score_test

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


def predict_paths(names, folder, data_dir, top, sheet, grad_cam, batch_size=64):
    """Predict images from files and URLs; an unreadable one is a row with its error.

    Returns:
        A DataFrame, also written to predictions.csv: path, error, predicted_genres, and a column
        of probabilities for each genre, empty where the poster could not be read.
    """
    network, about = open_model(folder)
    if folder == data_dir / "model":
        answers = f"the model in {folder}"
        print(f"{answers} answers")
    else:
        answers = f"the pretrained {about['settings']['architecture']}"
        print(
            f"{data_dir / 'model'} holds no model: {answers} answers, see data/pretrained/README.md"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    genres, size = about["genres"], (about["H"], about["W"])
    thresholds = read_thresholds(about)
    errors, thumbnails, probabilities = [], [], np.full((len(names), len(genres)), np.nan)
    with tqdm(total=len(names), desc="predicting", unit="poster", disable=None) as progress:
        for batch in decode_batches(names, *size, batch_size):
            read = [i for i, (pixels, _) in enumerate(batch) if pixels is not None]
            if read:
                pixels = np.stack([batch[i][0] for i in read])
                probabilities[len(errors) + np.array(read)] = predict_batch(network, pixels)
            thumbnails += [pixels for pixels, _ in batch[: max(0, sheet - len(errors))]]
            errors += [error for _, error in batch]
            progress.update(len(batch))

    predicted = name_genres(probabilities >= thresholds.genres, genres)  # nan is below any
    shown = [name.encode(errors="replace").decode() for name in names]  # also what is no Unicode
    table = pd.DataFrame({"path": shown, "error": errors, "predicted_genres": predicted})
    print_predictions(table, probabilities, genres, top)
    heat_maps = show_where(network, thumbnails[:grad_cam], probabilities)
    best = [rank_genres(row, genres, top) for row in probabilities[:sheet]]
    write_sheet(table, best, thumbnails, heat_maps, answers, data_dir)
    table = pd.concat([table, pd.DataFrame(probabilities.round(4), columns=genres)], axis=1)
    write_csv(table, data_dir / "predictions.csv")
    print(
        f"wrote {data_dir / 'predictions.csv'} ({len(table):,} posters)\n"
        f"to look at: {data_dir / 'predictions.html'}"
    )
    return table


def rank_genres(row, genres, top):
    """The most probable genres of a poster, a list of (genre, probability)."""
    return [(genres[genre], row[genre]) for genre in np.argsort(-row, kind="stable")[:top]]


def print_predictions(table, probabilities, genres, top):
    """Print a line for each poster: the genres above their thresholds, and the most probable."""
    width = min(60, max(map(len, table["path"])))
    print(f"{'poster':<{width}}  genres above their thresholds; the {top} most probable")
    rows = zip(table.itertuples(index=False), probabilities, strict=True)
    for (path, error, predicted), row in rows:
        best = rank_genres(row, genres, top)
        answer = ", ".join(f"{genre} {100 * share:.0f} %" for genre, share in best)
        said = f"{predicted.replace('|', ', ') or 'none'}; {answer}"
        print(f"{path:<{width}}  {f'not read: {error}' if error else said}")


def show_where(network, thumbnails, probabilities):
    """The posters under a heat map of what spoke for their most probable genre: Grad-CAM.

    Returns:
        A list as long as `thumbnails`, None where there is no poster.
    """
    from gradcam import explain, overlay  # here, because only this needs TensorFlow itself

    shown = [None] * len(thumbnails)
    read = [i for i, pixels in enumerate(thumbnails) if pixels is not None]
    if read:
        pixels = np.stack([thumbnails[i] for i in read])
        heat_maps = explain(network, pixels, probabilities[read].argmax(axis=1))
        for i, heat in zip(read, heat_maps, strict=True):
            shown[i] = overlay(thumbnails[i], heat)
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER|URL", help="images to predict")
    main(parser.parse_args().paths)
