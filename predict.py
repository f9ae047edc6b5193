"""Step 5: score the model on the test movies, or predict the posters you name.

    python predict.py
    python predict.py poster.jpg folder_of_posters

Reads   DATA_DIR/model/ and DATA_DIR/store/; or the images named and DATA_DIR/model/, and where that
        is missing the model in data/pretrained/, which comes with this
Writes  without names: DATA_DIR/metrics.json, test_predictions.csv, average_precision.png and
        test_posters.png; with names: DATA_DIR/predictions.csv
Takes   about 30 s for 2,000 test movies, of which the confidence intervals take a third.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from database import list_images
from decoding import try_decode
from evaluation import SCORES, Thresholds, choose_thresholds, compare_with_prior, estimate_prior
from ledger import replacing, write_csv, write_json
from model import find_model, open_model, predict_batch, predict_probabilities
from store import file_sha256, open_store

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote
TOP = 3  # genres to show for each poster that you name
# --------------------------------------------------------------------------------------------------


def main(paths=(), data_dir=DATA_DIR, top=TOP):
    """Score the test split, or predict `paths`; returns the table that it printed."""
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top!r}")
    if isinstance(paths, (str, Path)):
        paths = [paths]
    if paths:
        return predict_paths(find_posters(paths), data_dir, top)
    return score_test(data_dir)


# --- the test split -------------------------------------------------------------------------------


def score_test(data_dir):
    """Score the test movies beside the prior; write the scores, the predictions and pictures."""
    store = open_store(data_dir)
    model, about = open_model(Path(data_dir) / "model")
    if about["samples_sha256"] != store.samples_sha256:
        sys.exit(
            "The model was trained on another sample, which may hold movies of this test split. "
            "Run: python train.py"
        )
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit("The model was trained on posters of another size. Run: python train.py")
    data_dir = Path(data_dir)
    val, test = store.rows("val"), store.rows("test")
    thresholds = read_thresholds(about)
    prior = estimate_prior(store.labels[val])
    constant = np.broadcast_to(prior, store.labels[val].shape)
    prior_thresholds = choose_thresholds(store.labels[val], constant)
    probabilities = predict_probabilities(model, store.images, test)
    overall, per_genre = compare_with_prior(
        store.labels[test], probabilities, thresholds, prior, prior_thresholds
    )
    per_genre.index = pd.Index(store.genres, name="genre")

    (data_dir / "metrics.json").unlink(missing_ok=True)  # it comes last: then all is whole
    write_test_predictions(store, test, probabilities, thresholds, data_dir)
    save_average_precision(per_genre, overall, data_dir / "average_precision.png")
    save_test_posters(store, test, probabilities, data_dir / "test_posters.png")
    write_metrics(overall, per_genre, about, len(test), data_dir)
    report(overall, per_genre, about, len(test), data_dir)
    return overall


def write_metrics(overall, per_genre, about, movies, data_dir):
    """Write metrics.json: every score with its interval and its floor."""
    content = {
        "split": "test",
        "movies": movies,
        "interval": "95 % bootstrap over movies, 1,000 resamples",
        "floor": "the prior of the validation movies, through the same functions",
        "settings": about["settings"],
        "samples_sha256": about["samples_sha256"],
        "model_sha256": file_sha256(data_dir / "model" / "model.keras"),
        "scores": without_nan(overall),
        "average_precision": without_nan(per_genre),
    }
    write_json(content, data_dir / "metrics.json")


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


def save_average_precision(per_genre, overall, path):
    """Draw the average precision of each genre with its interval, and its floor as a tick."""
    table = per_genre.dropna(subset="score").sort_values("score")
    places = np.arange(len(table))
    figure = Figure(figsize=(7.5, 1.2 + 0.27 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, table["score"], color="#8fb8de", label="model")
    low, high = table["low"], table["high"]
    axes.hlines(places, low, high, color="#1f3b57", lw=2, label="95 % interval")
    axes.plot(table["floor"], places, "|", color="black", ms=11, mew=2.5, label="floor (prior)")
    names = [f"{genre} ({count})" for genre, count in table["movies"].items()]
    axes.set_yticks(places, names)
    axes.set(xlim=(0, 1), ylim=(-0.7, len(table) - 0.3), xlabel="average precision on test movies")
    row = overall.loc["mAP"]
    axes.set_title(f"Mean {row['score']:.3f}, floor {row['floor']:.3f} (test movies in brackets)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    with replacing(path) as part:
        figure.savefig(part, dpi=150)


def save_test_posters(store, test, probabilities, path, count=12):
    """Draw posters of the first test movies with their genres and the three most probable ones."""
    count = min(count, len(test))
    columns = 6
    rows = -(-count // columns)
    figure = Figure(figsize=(2.05 * columns, 4 * rows), layout="constrained")
    names = name_genres(store.labels[test[:count]] == 1, store.genres)
    top = np.argsort(-probabilities[:count], axis=1, kind="stable")[:, :3]
    for place, axes in enumerate(np.ravel(figure.subplots(rows, columns))):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if place >= count:
            continue
        axes.imshow(store.images[test[place]])
        axes.set_title(names[place].replace("|", ",\n"), fontsize=8, va="bottom")
        lines = [
            f"{'✓' if store.labels[test[place], genre] else '–'} {store.genres[genre]} "
            f"{100 * probabilities[place, genre]:.0f} %"
            for genre in top[place]
        ]
        axes.set_xlabel("\n".join(lines), fontsize=8, loc="left")
    figure.suptitle(
        "The first test movies: their genres above, the three most probable ones below", fontsize=10
    )
    with replacing(path) as part:
        figure.savefig(part, dpi=110)


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
        f"wrote {data_dir / 'metrics.json'} and {data_dir / 'test_predictions.csv'}\n"
        f"pictures: {data_dir / 'average_precision.png'}, {data_dir / 'test_posters.png'}, "
        f"{data_dir / 'model' / 'training.png'}\nnext: python predict.py POSTER.jpg"
    )


# --- posters that the user names ------------------------------------------------------------------


def find_posters(paths):
    """The images named, in order; a folder stands for the images directly in it, by name."""
    found = []
    for path in map(Path, paths):
        images = list_images(path) if path.is_dir() else []
        found += map(str, images or [path])  # a folder without images is a row with its error
    return found


def predict_paths(paths, data_dir, top, batch_size=64):
    """Predict image files; an unreadable one is a row with its error.

    Returns:
        A DataFrame, also written to predictions.csv: path, error, predicted_genres, and a column
        of probabilities for each genre, empty where the file could not be read.
    """
    folder = find_model(data_dir)
    model, about = open_model(folder)
    trained = Path(data_dir) / "model"
    print(
        f"{trained} answers"
        if folder == trained
        else f"{trained} holds no model: the pretrained one answers, see data/pretrained/README.md"
    )
    genres = about["genres"]
    thresholds = read_thresholds(about)
    errors, probabilities = [], np.full((len(paths), len(genres)), np.nan)
    for start in tqdm(range(0, len(paths), batch_size), desc="predicting", unit="batch"):
        chunk = paths[start : start + batch_size]
        batch = [try_decode(path, about["H"], about["W"]) for path in chunk]
        errors += [error for _, error in batch]
        read = [i for i, (pixels, _) in enumerate(batch) if pixels is not None]
        if read:
            pixels = np.stack([batch[i][0] for i in read])
            probabilities[start + np.array(read)] = predict_batch(model, pixels)

    predicted = name_genres(probabilities >= thresholds.genres, genres)  # nan is below any
    table = pd.DataFrame({"path": paths, "error": errors, "predicted_genres": predicted})
    table = pd.concat([table, pd.DataFrame(probabilities.round(4), columns=genres)], axis=1)
    for path, error, row in zip(paths, errors, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        answer = ", ".join(f"{genres[genre]} {100 * row[genre]:.0f} %" for genre in best)
        print(f"{path}  {f'not read: {error}' if error else answer}")
    Path(data_dir).mkdir(parents=True, exist_ok=True)
    write_csv(table, Path(data_dir) / "predictions.csv")
    print(f"wrote {Path(data_dir) / 'predictions.csv'} ({len(table):,} posters)")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the test movies, or predict posters.")
    parser.add_argument("paths", nargs="*", metavar="POSTER|FOLDER", help="images to predict")
    main(parser.parse_args().paths)
