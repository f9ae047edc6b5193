"""Predict the genres of posters that a user names, and find similar posters of training movies."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from postergenres.models.exported import ExportedModel, open_exported
from postergenres.old_files import discard_leftovers, write_csv
from postergenres.report.gradcam import NO_GRAD_CAM, overlay
from postergenres.report.named_posters import decode_batches
from postergenres.report.sheet import write_sheet
from postergenres.report.similar import open_similar
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.predicted_genres import join_predicted, rank_genres
from postergenres.terminal import escape_controls
from postergenres.words.reading import read_words, select_texts, uses_words

import numpy as np
import pandas as pd
from tqdm import tqdm

OUTPUTS = ("predictions.csv", "predictions.html", "similar.csv")
BATCH = 64  # posters


class OpenedModel(NamedTuple):
    """A model that predicts posters.

    Attributes:
        model, about: what `exported.open_exported` returned.
        words_model: `words.combination.WordsModel`, or None.
    """

    model: ExportedModel
    about: dict
    words_model: Any


class Predictions(NamedTuple):
    """The predictions of P posters.

    Attributes:
        probabilities: (P, G), nan for a poster that could not be read.
        errors: P strings, empty for a poster that could be read.
        words: P strings, the words that were used.
        thumbnails: the pixels of the first posters, uint8 (H, W, 3) or None.
        heat_maps: of the first posters, float32 (rows, columns, G) or None.
        neighbors: P lists of `similar.Neighbor`, empty for a poster that could not be read; no
            list at all if there is no store to search.
    """

    probabilities: np.ndarray
    errors: list
    words: list
    thumbnails: list
    heat_maps: list
    neighbors: Sequence = ()


def predict_paths(names, folder, data_dir, top, sheet, grad_cam, similar=0):
    """Predict posters, print a table, and write predictions.csv, similar.csv and predictions.html.

    Args:
        names: paths and URLs, strings.
        folder: of the model.
        data_dir: a Path, the folder to write to.
        top: show at least so many genres of each poster.
        sheet: the number of posters on the page.
        grad_cam: the number of posters on the page that get a heat map.
        similar: the number of similar training movies to find for each poster.

    Returns:
        The content of predictions.csv, a DataFrame: path, error, predicted_genres, with a model
        that uses words the column words, and a column of probabilities for each genre, empty for a
        poster that could not be read.
    """
    model, about = open_exported(folder)
    model_name = name_model(folder, about, data_dir)
    opened = OpenedModel(model, about, find_words(folder, about))
    discard_leftovers(data_dir / name for name in OUTPUTS)
    movies = open_similar(data_dir, model, about, folder) if similar else None
    predictions = predict_posters(opened, names, sheet, grad_cam, movies, similar)
    genres, is_predicted = about["genres"], choose_genres(predictions.probabilities)
    table = make_table(names, predictions, is_predicted, genres)
    if opened.words_model:
        table.insert(3, "words", predictions.words)
    rows = zip(predictions.probabilities, is_predicted, strict=True)
    rankings = [rank_genres(*row, genres, top) for row in rows]
    print_predictions(table, rankings)
    heat_maps = draw_heat_maps(predictions)
    write_sheet(
        table,
        rankings,
        predictions.thumbnails,
        heat_maps,
        model_name,
        data_dir,
        predictions.neighbors,
    )
    write_csv(table, data_dir / "predictions.csv")
    write_similar(table["path"], predictions.neighbors, data_dir / "similar.csv")
    print(
        f"wrote {data_dir / 'predictions.csv'} ({len(table):,} posters)\n"
        f"to view it, open {data_dir / 'predictions.html'}"
    )
    return table


def name_model(folder, about, data_dir):
    """Print which model predicts, and return its name in words."""
    if folder == data_dir / "model":
        name = f"the model in {folder}"
        print(f"predicted by {name}")
    else:
        name = f"the pretrained {about['settings']['architecture']}"
        print(
            f"{data_dir / 'model'} holds no model; predicted by {name}, "
            "see data/pretrained/README.md"
        )
    return name


def find_words(folder, about):
    """Return the opened `WordsModel` of a model, or None: see `combination.open_words`."""
    if not uses_words(about):
        return None
    from postergenres.words.combination import open_words  # here, because it loads scikit-learn

    return open_words(folder, about)


def predict_posters(opened, names, sheet, grad_cam, movies=None, similar=0):
    """Read and predict posters, batch by batch.

    Args:
        opened: `OpenedModel`.
        names: paths and URLs.
        sheet: the number of posters whose pixels are kept.
        grad_cam: the number of posters whose heat maps are kept.
        movies: `similar.SimilarMovies`, or None.
        similar: the number of similar movies to find for each poster.

    Returns:
        Predictions.
    """
    about = opened.about
    probabilities = np.empty((len(names), len(about["genres"])))
    errors, words, thumbnails, heat_maps, neighbors = [], [], [], [], []
    read = read_words if opened.words_model else None
    with tqdm(total=len(names), desc="predicting", unit="poster", disable=None) as bar:
        for batch in decode_batches(names, about["H"], about["W"], BATCH, read):
            start = len(errors)
            predicted, maps, nearest = predict_read(opened, batch, movies, similar)
            probabilities[start : start + len(batch)] = predicted
            heat_maps += maps[: max(0, min(sheet, grad_cam) - start)]
            neighbors += nearest
            thumbnails += [pixels for pixels, _, _ in batch[: max(0, sheet - start)]]
            errors += [error for _, error, _ in batch]
            words += [" / ".join(select_texts(lines)) for _, _, lines in batch]
            bar.update(len(batch))
    return Predictions(
        probabilities, errors, words, thumbnails, heat_maps, neighbors if movies else []
    )


def predict_read(opened, posters, movies=None, similar=0):
    """Predict posters that were read.

    Args:
        opened: `OpenedModel`.
        posters: list of B (pixels, error, words), see `named_posters.decode_batches`.
        movies: `similar.SimilarMovies`, or None.
        similar: the number of similar movies to find for each poster.

    Returns:
        probabilities, (B, G), nan for a poster that could not be read; a list of B heat maps,
        float32 (rows, columns, G), or None; and B lists of `similar.Neighbor`, empty for a poster
        that could not be read and without movies.
    """
    probabilities = np.full((len(posters), len(opened.about["genres"])), np.nan)
    heat_maps, neighbors = [None] * len(posters), [[] for _ in posters]
    rows = [i for i, (_, error, _) in enumerate(posters) if not error]
    if rows:
        pixels, _, words = zip(*(posters[i] for i in rows), strict=True)
        probabilities[rows], maps, features = opened.model.predict(np.stack(pixels))
        for row, heat_map in zip(rows, [] if maps is None else maps, strict=False):
            heat_maps[row] = heat_map
        if movies:
            for row, nearest in zip(rows, movies.find(features, similar), strict=True):
                neighbors[row] = nearest
        if opened.words_model:
            probabilities[rows] = opened.words_model.add_words(probabilities[rows], words)
    return probabilities, heat_maps, neighbors


def make_table(names, predictions, is_predicted, genres):
    """Return the content of predictions.csv."""
    names = [name.encode(errors="replace").decode() for name in names]  # a path may be no Unicode
    predicted = join_predicted(predictions.probabilities, is_predicted, genres)
    table = pd.DataFrame(
        {"path": names, "error": predictions.errors, "predicted_genres": predicted}
    )
    probabilities = pd.DataFrame(predictions.probabilities.round(4), columns=genres)
    return pd.concat([table, probabilities], axis=1)


def write_similar(paths, neighbors, path):
    """Write similar.csv, a row for each similar movie of each poster; delete it without a search.

    Args:
        paths: of the P posters.
        neighbors: P lists of `similar.Neighbor`; empty without a search.
        path: of similar.csv.
    """
    if not neighbors:
        path.unlink(missing_ok=True)
        return
    rows = [
        (poster, rank, x.id, x.title, "|".join(x.genres), round(x.similarity, 4))
        for poster, nearest in zip(paths, neighbors, strict=True)
        for rank, x in enumerate(nearest, start=1)
    ]
    columns = ["path", "rank", "id", "title", "genres", "similarity"]
    write_csv(pd.DataFrame(rows, columns=columns), path)
    print(f"wrote {path} (the most similar training movies of each poster)")


def print_predictions(table, rankings):
    """Print a line for each poster: the predicted genres, and the next most probable ones."""
    paths, errors = table["path"].map(escape_controls), table["error"].map(escape_controls)
    width = min(60, max(map(len, paths)))
    print(f"{'poster':<{width}}  predicted genres; next: the most probable other genres")
    for path, error, ranking in zip(paths, errors, rankings, strict=True):
        predicted, others = (
            ", ".join(
                f"{genre} {100 * share:.0f} %" for genre, share, is_in in ranking if is_in == x
            )
            for x in (True, False)
        )
        genres = escape_controls(f"{predicted}; next: {others}" if others else predicted)
        print(f"{path:<{width}}  {f'not read: {error}' if error else genres}")


def draw_heat_maps(predictions):
    """Draw the first posters under a heat map of their most probable genre (Grad-CAM).

    Returns:
        A list of uint8 (H, W, 3), with None for a poster that could not be read; an empty list if
        the model does not support Grad-CAM.
    """
    columns = predictions.probabilities, predictions.thumbnails, predictions.heat_maps
    first = list(zip(*columns, strict=False))
    if any(poster is not None and heat_maps is None for _, poster, heat_maps in first):
        print(NO_GRAD_CAM)
        return []
    return [
        None if poster is None else overlay(poster, heat_maps[..., row.argmax()])
        for row, poster, heat_maps in first
    ]
