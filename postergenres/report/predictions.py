"""Predict posters that were read: their genres, heat maps and similar posters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from postergenres.poster_model import BATCH, PosterModel, ReadPoster
from postergenres.report.named_posters import read_batches
from postergenres.report.similar import Neighbor, SimilarMovies
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.predicted_genres import RankedGenre, rank_genres

import numpy as np
from tqdm import tqdm


@dataclass(frozen=True)
class Shown:
    """How much is shown of the posters that a user names."""

    top: int  # genres of each poster, at least
    sheet: int  # posters on the page, the first ones
    grad_cam: int  # posters on the page with a heat map, the first ones
    similar: int  # training movies to find for each poster


@dataclass(frozen=True)
class Prediction:
    """A poster, and what a model says about it if it could be read."""

    poster: ReadPoster
    probabilities: np.ndarray  # (G,), or nan
    ranking: Sequence[RankedGenre] = ()  # its most probable genres
    heat: np.ndarray | None = None  # (rows, columns), what raises the first one's probability
    neighbors: Sequence[Neighbor] = ()


def predict_posters(
    model: PosterModel,
    names: Sequence[str],
    shown: Shown,
    movies: SimilarMovies | None,
    batch_size: int = BATCH,
) -> Iterator[Prediction]:
    """Read and predict posters, batch by batch; keep only the pixels that the page shows."""
    count = 0
    with tqdm(total=len(names), desc="predicting", unit="poster", disable=None) as bar:
        for batch in read_batches(names, model.read, batch_size):
            for prediction in predict_read(model, batch, shown.top, movies, similar=shown.similar):
                if count >= shown.grad_cam:
                    prediction = replace(prediction, heat=None)
                if count >= shown.sheet:
                    poster = replace(prediction.poster, pixels=None)
                    prediction = replace(prediction, poster=poster)
                yield prediction
                count += 1
            bar.update(len(batch))


def predict_read(
    model: PosterModel,
    posters: Sequence[ReadPoster],
    top: int,
    movies: SimilarMovies | None = None,
    similar: int = 0,
) -> list[Prediction]:
    """Predict posters together; those that could not be read stay without a prediction.

    At least `top` genres of each poster are ranked, and `similar` of the movies are found for it.
    """
    nothing = np.full(len(model.genres), np.nan)
    predictions = [Prediction(poster, nothing) for poster in posters]
    rows = [row for row, poster in enumerate(posters) if poster.pixels is not None]
    if not rows:
        return predictions
    outputs = model.run([posters[row] for row in rows])
    probabilities = outputs.probabilities
    neighbors = movies.find(outputs.features, similar) if movies else [()] * len(rows)
    is_predicted = choose_genres(probabilities)
    for i, row in enumerate(rows):
        predictions[row] = Prediction(
            poster=posters[row],
            probabilities=probabilities[i],
            ranking=rank_genres(probabilities[i], is_predicted[i], model.genres, top),
            heat=outputs.heat_maps[i][..., probabilities[i].argmax()],
            neighbors=neighbors[i],
        )
    return predictions
