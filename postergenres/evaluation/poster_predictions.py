"""Predict posters that the user names."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from postergenres.evaluation.inference import predict_batch
from postergenres.evaluation.named_posters import decode_batches
from postergenres.evaluation.report import write_sheet
from postergenres.evaluation.test_scores import name_genres, read_thresholds
from postergenres.files import write_csv
from postergenres.models.saved import open_model


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
    from postergenres.evaluation.gradcam import NO_GRAD_CAM, explain, has_grad_cam, overlay

    shown = [None] * len(thumbnails)
    read = [i for i, pixels in enumerate(thumbnails) if pixels is not None]
    if read and not has_grad_cam(network):
        print(NO_GRAD_CAM)
    elif read:
        pixels = np.stack([thumbnails[i] for i in read])
        heat_maps = explain(network, pixels, probabilities[read].argmax(axis=1))
        for i, heat in zip(read, heat_maps, strict=True):
            shown[i] = overlay(thumbnails[i], heat)
    return shown
