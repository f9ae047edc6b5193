"""Step 5: score the model on the test movies, or predict the posters you name.

    python predict.py
    python predict.py poster.jpg folder_of_posters https://host/poster.jpg

Reads   DATA_DIR/model/ and DATA_DIR/store/; or the images named and DATA_DIR/model/, and where that
        is missing the model in data/pretrained/, which comes with this
Writes  without names: DATA_DIR/metrics.json, test_predictions.csv, report.html, and the pictures
        that are in it; with names: DATA_DIR/predictions.csv and predictions.html
Takes   about 40 s for 2,000 test movies, of which the confidence intervals take a third.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import figures
from evaluation import (
    SCORES,
    STUDY,
    Thresholds,
    compare_with_prior,
    count_mistakes,
    measure_reliability,
    prior_of_counts,
)
from ledger import write_csv, write_json
from model import find_model, open_model, predict_batch, predict_probabilities
from posters import decode_batches, find_posters
from report import write_report, write_sheet
from store import file_sha256, open_store

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote
TOP = 3  # genres to show for each poster that you name
SHEET = 200  # posters in predictions.html, the first ones; each takes some 6 kB of the page
GRAD_CAM = 12  # of them, the first ones: those to show where the network looked on; 0 for none
# --------------------------------------------------------------------------------------------------


def main(paths=(), data_dir=DATA_DIR, top=TOP, sheet=SHEET, grad_cam=GRAD_CAM):
    """Score the test split, or predict `paths`; returns the table that it printed."""
    for name, value, least in (("top", top, 1), ("sheet", sheet, 0), ("grad_cam", grad_cam, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if isinstance(paths, (str, Path)):
        paths = [paths]
    if paths:
        return predict_paths(find_posters(paths), Path(data_dir), top, sheet, grad_cam)
    return score_test(Path(data_dir))


def read_thresholds(about):
    """The thresholds in model.json, as evaluation.py has them."""
    genres = np.array([about["thresholds"][genre] for genre in about["genres"]])
    return Thresholds(genres, **about["shared_thresholds"])


def name_genres(carried, genres):
    """Turn (N, G) of True and False into N cells such as `Action|Drama`."""
    return [
        "|".join(genre for genre, is_in in zip(genres, row, strict=True) if is_in)
        for row in carried
    ]


# --- the test split -------------------------------------------------------------------------------


def score_test(data_dir):
    """Score the test movies beside the prior; write the scores, the predictions and the report."""
    store = open_store(data_dir)
    model, about = open_model(data_dir / "model")
    if about["samples_sha256"] != store.samples_sha256:
        sys.exit(
            "The model was trained on another sample, which may hold movies of this test split. "
            "Run: python train.py"
        )
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit("The model was trained on posters of another size. Run: python train.py")
    test = store.rows("test")
    labels, thresholds = store.labels[test], read_thresholds(about)
    prior = prior_of_counts(store.train_counts, store.train_movies)
    probabilities = predict_probabilities(model, store.images, test)
    overall, per_genre = compare_with_prior(
        labels, probabilities, thresholds, prior, store.labels[store.rows("val")]
    )
    per_genre.index = pd.Index(store.genres, name="genre")
    reliability = measure_reliability(labels, probabilities)

    (data_dir / "metrics.json").unlink(missing_ok=True)  # it comes last: then all is whole
    write_test_predictions(store, test, probabilities, thresholds, data_dir)
    save_pictures(store, test, probabilities, thresholds, overall, per_genre, reliability, data_dir)
    metrics = gather_metrics(overall, per_genre, reliability, about, len(test), data_dir)
    write_report(metrics, about, store, model.count_params(), data_dir)
    write_json(metrics, data_dir / "metrics.json")
    report(overall, per_genre, about, len(test), data_dir)
    return overall


def gather_metrics(overall, per_genre, reliability, about, movies, data_dir):
    """What metrics.json holds: every score with its interval and its floor."""
    return {
        "split": "test",
        "movies": movies,
        "interval": "95 % bootstrap over movies, 1,000 resamples",
        "floor": "the prior of the training movies, through the same functions",
        "settings": about["settings"],
        "samples_sha256": about["samples_sha256"],
        "model_sha256": file_sha256(data_dir / "model" / "model.keras"),
        "scores": without_nan(overall),
        "study": {name: STUDY[name] | {"ours": without_nan(overall)[name]} for name in STUDY},
        "average_precision": without_nan(per_genre),
        "reliability": reliability.to_dict("records"),
    }


def without_nan(table):
    """A DataFrame as {row: {column: value}}, None for nan, which JSON does not have."""
    return table.astype(object).where(table.notna(), None).to_dict("index")


def write_test_predictions(store, test, probabilities, thresholds, data_dir):
    """Write test_predictions.csv: id, genres, predicted_genres, a probability for each genre."""
    names = pd.DataFrame(
        {
            "id": store.index["id"].iloc[test].to_list(),
            "genres": name_genres(store.labels[test] == 1, store.genres),
            "predicted_genres": name_genres(probabilities >= thresholds.genres, store.genres),
        }
    )
    table = pd.concat([names, pd.DataFrame(probabilities.round(4), columns=store.genres)], axis=1)
    write_csv(table, data_dir / "test_predictions.csv")


def save_pictures(
    store, test, probabilities, thresholds, overall, per_genre, reliability, data_dir
):
    labels, genres = store.labels[test], store.genres
    prior = prior_of_counts(store.train_counts, store.train_movies)
    figures.save_average_precision(per_genre, overall, data_dir / "average_precision.png")
    path = data_dir / "precision_recall.png"
    figures.save_precision_recall(labels, probabilities, genres, path)
    path = data_dir / "reliability.png"
    figures.save_reliability(reliability, overall.loc["calibration_error"], path)
    mistakes = count_mistakes(labels, probabilities >= thresholds.genres)
    figures.save_mistakes(*mistakes, genres, data_dir / "mistakes.png")
    chosen = figures.choose_posters(labels, probabilities, prior)
    path = data_dir / "test_posters.png"
    figures.save_posters(chosen, store.images, test, labels, probabilities, genres, path)


def report(overall, per_genre, about, movies, data_dir):
    """Print the score table, each score beside its floor, and what was written."""
    print(f"{about['settings']['architecture']} network on {movies:,} test movies, each once")
    print(f"{'':<50}{'score':>7}{'95 % interval':>18}{'floor':>8}")
    for name, label in SCORES.items():
        row = overall.loc[name]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{label:<50}{row['score']:>7.3f}{interval:>18}{row['floor']:>8.3f}")
    absent = per_genre.index[per_genre["score"].isna()]
    if len(absent):
        print(f"left out of the macro means, no test movie carries them: {', '.join(absent)}")
    print("floor: the prior, which answers every movie alike and never looks at a poster")
    print(
        f"{'beside the study, in its measures':<50}{'ours':>7}{'floor':>8}{'study':>8}{'floor':>8}"
    )
    for name, row in STUDY.items():
        ours = f"{overall.loc[name, 'score']:>7.3f}{overall.loc[name, 'floor']:>8.3f}"
        print(f"{SCORES[name]:<50}{ours}{row['score']:>8.2f}{row['floor']:>8.3f}")
    print(
        f"wrote {data_dir / 'metrics.json'} and {data_dir / 'test_predictions.csv'}\n"
        f"to look at: {data_dir / 'report.html'}\nnext: python predict.py POSTER.jpg"
    )


# --- posters that the user names ------------------------------------------------------------------


def predict_paths(names, data_dir, top, sheet, grad_cam, batch_size=64):
    """Predict images from files and URLs; an unreadable one is a row with its error.

    Returns:
        A DataFrame, also written to predictions.csv: path, error, predicted_genres, and a column
        of probabilities for each genre, empty where the poster could not be read.
    """
    folder = find_model(data_dir)
    model, about = open_model(folder)
    trained = data_dir / "model"
    print(
        f"{trained} answers"
        if folder == trained
        else f"{trained} holds no model: the pretrained one answers, see data/pretrained/README.md"
    )
    genres, size = about["genres"], (about["H"], about["W"])
    thresholds = read_thresholds(about)
    errors, thumbnails, probabilities = [], [], np.full((len(names), len(genres)), np.nan)
    with tqdm(total=len(names), desc="predicting", unit="poster", disable=None) as progress:
        for batch in decode_batches(names, *size, batch_size):
            read = [i for i, (pixels, _) in enumerate(batch) if pixels is not None]
            if read:
                pixels = np.stack([batch[i][0] for i in read])
                probabilities[len(errors) + np.array(read)] = predict_batch(model, pixels)
            thumbnails += [pixels for pixels, _ in batch[: max(0, sheet - len(errors))]]
            errors += [error for _, error in batch]
            progress.update(len(batch))

    predicted = name_genres(probabilities >= thresholds.genres, genres)  # nan is below any
    table = pd.DataFrame({"path": names, "error": errors, "predicted_genres": predicted})
    table = pd.concat([table, pd.DataFrame(probabilities.round(4), columns=genres)], axis=1)
    print_predictions(table, genres, top)
    data_dir.mkdir(parents=True, exist_ok=True)
    write_csv(table, data_dir / "predictions.csv")
    heat_maps = show_where(model, thumbnails[:grad_cam], probabilities)
    write_sheet(table, genres, top, thumbnails, heat_maps, folder, data_dir)
    print(
        f"wrote {data_dir / 'predictions.csv'} ({len(table):,} posters)\n"
        f"to look at: {data_dir / 'predictions.html'}"
    )
    return table


def print_predictions(table, genres, top):
    """Print a line for each poster: the genres above their thresholds, and the most probable."""
    width = min(60, max(map(len, table["path"])))
    print(f"{'poster':<{width}}  genres above their thresholds; the {top} most probable")
    for _, row in table.iterrows():
        named = row["predicted_genres"].replace("|", ", ") or "none"
        best = row[genres].astype(float).sort_values(ascending=False, kind="stable").head(top)
        answer = ", ".join(f"{genre} {100 * share:.0f} %" for genre, share in best.items())
        said = f"not read: {row['error']}" if row["error"] else f"{named}; {answer}"
        print(f"{row['path']:<{width}}  {said}")


def show_where(model, thumbnails, probabilities):
    """The posters under a heat map of what spoke for their most probable genre: Grad-CAM.

    Returns:
        A list as long as `thumbnails`, None where there is no poster.
    """
    from gradcam import explain, overlay  # here, because only this needs TensorFlow itself

    shown = [None] * len(thumbnails)
    read = [i for i, pixels in enumerate(thumbnails) if pixels is not None]
    if read:
        pixels = np.stack([thumbnails[i] for i in read])
        heat_maps = explain(model, pixels, probabilities[read].argmax(axis=1))
        for i, heat in zip(read, heat_maps, strict=True):
            shown[i] = overlay(thumbnails[i], heat)
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER|URL", help="images to predict")
    main(parser.parse_args().paths)
