"""Score the model of step 4 on the test movies, and write the scores, predictions and report."""

import sys

from postergenres.dataset.samples import read_titles
from postergenres.dataset.store import open_store
from postergenres.download.manifest import read_manifest
from postergenres.models.description import check_sample, knows_store
from postergenres.models.inference import add_features, predict_with_features
from postergenres.models.saved import open_model
from postergenres.old_files import discard_leftovers, file_sha256, write_csv, write_json
from postergenres.report import doubtful_labels, plots, poster_map
from postergenres.report.score_page import PICTURES, write_report
from postergenres.scores.bootstrap import INTERVAL, compare_with_prior
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.metrics import (
    SCORES,
    STUDY,
    beside_floor,
    compute_scores,
    measure_confusions,
    measure_reliability,
    prior_of_counts,
)
from postergenres.scores.predicted_genres import join_genres, join_predicted, read_thresholds
from postergenres.terminal import escape_controls
from postergenres.words.cache import read_stored_posters
from postergenres.words.combination import open_words

import numpy as np
import pandas as pd

DOUBTFUL = "doubtful_labels.csv"
OUTPUTS = ["metrics.json", "test_predictions.csv", "report.html", DOUBTFUL]
OUTPUTS += [name for name in PICTURES if name != "model/training.png"]
DRAWN_POSTER = r"(.*[/\\])?drawn\d{5}\.jpg"  # the path of a poster that data/sample/draw.py drew


def score_test(data_dir):
    """Score the test movies, and write the scores, the predictions, pictures and the report.

    Args:
        data_dir: a Path, with the store and the model; the files are written there.

    Returns:
        A DataFrame with a row for each key of SCORES: see `bootstrap.compare_with_prior`.
    """
    store = open_store(data_dir)
    model, about = open_model_of_store(store, data_dir / "model")
    test = store.rows("test")
    labels, val_labels = store.labels[test], store.labels[store.rows("val")]
    prior = prior_of_counts(store.train_counts, store.train_movies)
    predicted, features = predict_splits(model, store)
    predicted, about, without_words = use_words(predicted, about, store, data_dir)
    probabilities, thresholds = predicted["test"], read_thresholds(about)
    overall, per_genre = compare_with_prior(labels, probabilities, thresholds, prior, val_labels)
    per_genre.index = pd.Index(store.genres, name="genre")
    reliability = measure_reliability(labels, probabilities)
    is_drawn = is_demonstration(data_dir)

    discard_leftovers(data_dir / name for name in OUTPUTS)
    # metrics.json is written last, once the rest is complete; the others are not always written.
    for name in ("metrics.json", "poster_map.png", DOUBTFUL):
        (data_dir / name).unlink(missing_ok=True)
    is_predicted = choose_genres(probabilities)
    write_test_predictions(store, test, probabilities, is_predicted, data_dir)
    save_pictures(store, probabilities, is_predicted, prior, overall, per_genre, data_dir)
    save_map(store, features, per_genre, data_dir)
    doubtful = write_doubtful_labels(store, predicted, prior, data_dir)
    metrics = gather_metrics(overall, per_genre, reliability, about, store, data_dir)
    if without_words:
        metrics["without_words"] = beside_floor(without_words, overall["floor"])
    write_report(metrics, about, store, model.count_params(), is_drawn, doubtful, data_dir)
    write_json(metrics, data_dir / "metrics.json")
    print(f"{about['settings']['architecture']} network on {len(test):,} test movies, each once")
    print_test_scores(overall, per_genre, is_drawn)
    if without_words:
        print_without_words(metrics["without_words"])
    print_written(data_dir)
    return overall


def predict_splits(model, store):
    """Predict the test movies, and the validation movies if their labels are to be questioned.

    Args:
        model: a network.
        store: `dataset.store.Store`.

    Returns:
        {split: probabilities, (M, G)}, and the features of the test movies on the map.
    """
    model = add_features(model)
    test, val = store.rows("test"), store.rows("val")
    is_mapped = poster_map.draw_mapped(len(test))
    probabilities, features = predict_with_features(model, store.images, test, is_mapped)
    predicted = {"test": probabilities}
    if doubtful_labels.has_cleanlab():
        is_mapped = np.zeros(len(val), bool)
        predicted["val"], _ = predict_with_features(model, store.images, val, is_mapped)
    return predicted, features


def open_model_of_store(store, folder):
    """Open the model in a folder; exit if it was trained on another sample or poster size."""
    model, about = open_model(folder)
    check_sample(about, store.samples_sha256, folder)
    if (about["H"], about["W"]) != store.images.shape[1:3]:
        sys.exit("The model was trained on posters of another size. Run: python train.py")
    if about["store_sha256"] != store.sha256 and knows_store(folder):
        print("note: posters in the store have changed since the model was trained")
    return model, about


def use_words(predicted, about, store, data_dir):
    """Add the evidence of the words on the posters, if the model was trained with words.

    Args:
        predicted: {split: probabilities, (M, G)}, of the network.
        about: content of model.json.
        store: `dataset.store.Store`.
        data_dir: the data folder.

    Returns:
        The probabilities; `about` with their thresholds; and the scores of the test movies without
        words. Without a change, the last is None.
    """
    words_model = open_words(data_dir / "model", about)
    if words_model is None:
        return predicted, about, None
    labels = store.labels[store.rows("test")]
    scores = compute_scores(labels, predicted["test"], read_thresholds(about))
    with_words = {}
    for split, probabilities in predicted.items():
        words = read_stored_posters(data_dir, store, store.rows(split))
        with_words[split] = words_model.add_words(probabilities, words)
    return with_words, about | words_model.thresholds, scores


def is_demonstration(data_dir):
    """Return whether posters.csv lists drawn posters only, as the demonstration set does."""
    if not (data_dir / "posters.csv").is_file():
        return False  # scoring does not need it
    urls = read_manifest(data_dir)["url"]
    urls = urls[urls != ""]
    return len(urls) > 0 and bool(urls.str.fullmatch(DRAWN_POSTER).all())


def gather_metrics(overall, per_genre, reliability, about, store, data_dir):
    """Return the content of metrics.json: every score with its interval and its floor."""
    scores = without_nan(overall)
    return {
        "split": "test",
        "movies": len(store.rows("test")),
        "interval": INTERVAL,
        "floor": "the prior of the training movies, through the same functions",
        "settings": about["settings"],
        "samples_sha256": about["samples_sha256"],
        "store_sha256": store.sha256,
        "model_sha256": file_sha256(data_dir / "model" / "model.keras"),
        "scores": scores,
        "study": {name: row | {"ours": scores[name]} for name, row in STUDY.items()},
        "average_precision": without_nan(per_genre),
        "reliability": reliability.to_dict("records"),
    }


def without_nan(table):
    """Return a DataFrame as {row: {column: value}}, with None for nan, which JSON does not have."""
    return table.astype(object).where(table.notna(), None).to_dict("index")


def write_test_predictions(store, test, probabilities, is_predicted, data_dir):
    """Write test_predictions.csv: id, genres, predicted_genres, and a probability per genre."""
    names = pd.DataFrame(
        {
            "id": store.index["id"].iloc[test].to_list(),
            "genres": join_genres(store.labels[test] == 1, store.genres),
            "predicted_genres": join_predicted(probabilities, is_predicted, store.genres),
        }
    )
    table = pd.concat([names, pd.DataFrame(probabilities.round(4), columns=store.genres)], axis=1)
    write_csv(table, data_dir / "test_predictions.csv")


def save_pictures(store, probabilities, is_predicted, prior, overall, per_genre, data_dir):
    """Save the pictures of the test movies; the arguments are those of `score_test`."""
    test, genres = store.rows("test"), store.genres
    labels = store.labels[test]
    plots.save_average_precision(per_genre, overall, data_dir / "average_precision.png")
    path = data_dir / "precision_recall.png"
    plots.save_precision_recall(labels, probabilities, genres, path)
    path = data_dir / "reliability.png"
    reliability = measure_reliability(labels, probabilities)
    plots.save_reliability(reliability, overall.loc["calibration_error"], path)
    confusions, floor = measure_confusions(labels, is_predicted)
    plots.save_confusions(confusions, floor, genres, data_dir / "mistakes.png")
    chosen = plots.choose_posters(labels, probabilities, prior)
    path = data_dir / "test_posters.png"
    plots.save_posters(chosen, store.images, test, labels, probabilities, genres, path)


def save_map(store, features, per_genre, data_dir):
    """Save the map of the test posters, unless there are too few.

    Args:
        store: `dataset.store.Store`.
        features: of the test movies on the map, see `predict_splits`.
        per_genre: what `bootstrap.compare_with_prior` returned.
        data_dir: the data folder.
    """
    places = poster_map.project(features)
    if places is None:
        return
    test = store.rows("test")
    labels = store.labels[test[poster_map.draw_mapped(len(test))]]
    columns = (per_genre[name] for name in ("score", "floor", "movies"))
    shown = poster_map.choose_map_genres(*columns)
    path = data_dir / "poster_map.png"
    poster_map.save_poster_map(places, labels, shown, store.genres, path)


def write_doubtful_labels(store, predicted, prior, data_dir):
    """Write doubtful_labels.csv, if cleanlab is installed.

    Args:
        store: `dataset.store.Store`.
        predicted: {split: probabilities, (M, G)}, see `predict_splits`.
        prior: (G,), the share of the training movies in each genre.
        data_dir: the data folder.

    Returns:
        For the report: {"count": number of pairs in the file, "cards": the first ones}; None
        without cleanlab.
    """
    if "val" not in predicted:
        return None
    rows = np.concatenate([store.rows(split) for split in predicted])
    probabilities = np.concatenate(list(predicted.values()))
    table = doubtful_labels.rank_labels(store.labels[rows], probabilities, prior)
    titles = read_titles(data_dir)
    write_csv(doubtful_labels.describe_pairs(table, store, rows, titles), data_dir / DOUBTFUL)
    shown = doubtful_labels.choose_shown(table)
    return {"count": len(table), "cards": doubtful_labels.list_cards(shown, store, rows, titles)}


def print_written(data_dir):
    """Print the files that were written, and the next command."""
    names = ["metrics.json", "test_predictions.csv", DOUBTFUL]
    written = [str(data_dir / name) for name in names if (data_dir / name).is_file()]
    print(
        f"wrote {', '.join(written[:-1])} and {written[-1]}\n"
        f"to view it, open {data_dir / 'report.html'}\nnext: python predict.py POSTER.jpg"
    )


def print_test_scores(overall, per_genre, is_drawn):
    """Print each score with its interval and its floor, and the comparison with the study.

    Args:
        overall, per_genre: what `bootstrap.compare_with_prior` returned.
        is_drawn: whether the movies are the demonstration set, which the study cannot be
            compared with.
    """
    print(f"{'':<50}{'score':>7}{'95 % interval':>18}{'floor':>8}")
    for name, label in SCORES.items():
        row = overall.loc[name]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{label:<50}{row['score']:>7.3f}{interval:>18}{row['floor']:>8.3f}")
    absent = per_genre.index[per_genre["score"].isna()]
    if len(absent):
        names = ", ".join(map(escape_controls, absent))
        print(f"not in the macro means, because no test movie has them: {names}")
    print("floor: the score of the prior, which predicts the same for every movie")
    if is_drawn:
        print("These posters are drawn: scores on them say nothing about real movies.")
    else:
        print_study_comparison(overall)


def print_without_words(scores):
    """Print what the network scores without the words on the posters.

    Args:
        scores: "without_words" of metrics.json.
    """
    names = ("binary_cross_entropy", "mAP", "macro_roc_auc")
    each = (f"{SCORES[name].split(' (')[0]} {scores[name]['score']:.3f}" for name in names)
    print(f"without the words on the posters: {', '.join(each)}")


def print_study_comparison(overall):
    """Print the two scores that the study reports beside ours, each with its own floor."""
    print(f"{'compared with the study':<50}{'ours':>7}{'floor':>8}{'study':>8}{'floor':>8}")
    for name, row in STUDY.items():
        ours = f"{overall.loc[name, 'score']:>7.3f}{overall.loc[name, 'floor']:>8.3f}"
        print(f"{SCORES[name]:<50}{ours}{row['score']:>8.2f}{row['floor']:>8.3f}")
