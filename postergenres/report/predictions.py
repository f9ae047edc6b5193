"""Predict posters that were read: their genres, heat maps and similar posters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from postergenres.models.exported import ExportedModel
from postergenres.report.named_posters import ReadPoster, read_batches
from postergenres.report.similar import Neighbor, SimilarMovies
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.predicted_genres import RankedGenre, rank_genres
from postergenres.words.reading import read_words, uses_words

import numpy as np
from tqdm import tqdm

BATCH = 64  # posters


@dataclass(frozen=True)
class Shown:
    """How much is shown of the posters that a user names."""

    top: int  # genres of each poster, at least
    sheet: int  # posters on the page, the first ones
    grad_cam: int  # posters on the page with a heat map, the first ones
    similar: int  # training movies to find for each poster


class OpenedModel(NamedTuple):
    """A model that predicts posters."""

    model: ExportedModel
    about: dict[str, Any]  # content of model.json
    words_model: Any  # `words.combination.WordsModel`, or None


@dataclass(frozen=True)
class Prediction:
    """A poster, and what a model says about it if it could be read."""

    poster: ReadPoster
    probabilities: np.ndarray  # (G,), or nan
    ranking: Sequence[RankedGenre] = ()  # its most probable genres
    heat: np.ndarray | None = None  # (rows, columns), what raises the first one's probability
    neighbors: Sequence[Neighbor] = ()
    words: str = ""  # those on it that mean something to the model


def find_words(folder: Path, about: dict[str, Any]) -> Any:
    """Return the opened `WordsModel` of a model, or None: see `combination.open_words`."""
    if not uses_words(about):
        return None
    from postergenres.words.combination import open_words

    return open_words(folder, about)


def predict_posters(
    opened: OpenedModel,
    names: Sequence[str],
    shown: Shown,
    movies: SimilarMovies | None,
    read_words: Callable = read_words,
    batch_size: int = BATCH,
) -> Iterator[Prediction]:
    """Read and predict posters, batch by batch; keep only the pixels that the page shows."""
    size = opened.about["H"], opened.about["W"]
    reader = read_words if opened.words_model else None
    count = 0
    with tqdm(total=len(names), desc="predicting", unit="poster", disable=None) as bar:
        for batch in read_batches(names, size, batch_size, reader):
            for prediction in predict_read(opened, batch, shown.top, movies, similar=shown.similar):
                if count >= shown.grad_cam:
                    prediction = replace(prediction, heat=None)
                if count >= shown.sheet:
                    poster = replace(prediction.poster, pixels=None)
                    prediction = replace(prediction, poster=poster)
                yield prediction
                count += 1
            bar.update(len(batch))


def predict_read(
    opened: OpenedModel,
    posters: Sequence[ReadPoster],
    top: int,
    movies: SimilarMovies | None = None,
    similar: int = 0,
) -> list[Prediction]:
    """Predict posters together; those that could not be read stay without a prediction.

    At least `top` genres of each poster are ranked, and `similar` of the movies are found for it.
    """
    genres = opened.about["genres"]
    predictions = [Prediction(poster, np.full(len(genres), np.nan)) for poster in posters]
    pixels = {i: poster.pixels for i, poster in enumerate(posters) if poster.pixels is not None}
    if not pixels:
        return predictions
    outputs = opened.model.predict(np.stack(list(pixels.values())))
    probabilities = outputs.probabilities.astype(np.float64)
    if opened.words_model:
        words = [posters[i].words for i in pixels]
        probabilities = opened.words_model.add_words(probabilities, words)
    neighbors = movies.find(outputs.features, similar) if movies else [()] * len(pixels)
    is_predicted = choose_genres(probabilities)
    for i, row in enumerate(pixels):
        predictions[row] = Prediction(
            poster=posters[row],
            probabilities=probabilities[i],
            ranking=rank_genres(probabilities[i], is_predicted[i], genres, top),
            heat=outputs.heat_maps[i][..., probabilities[i].argmax()],
            neighbors=neighbors[i],
            words=opened.words_model.show(posters[row].words) if opened.words_model else "",
        )
    return predictions
