"""Answer what the page asks: predict posters, and return the answer as HTML."""

import base64
import os
import runpy
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from postergenres.download.images import check_image
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel, ReadPoster
from postergenres.report.named_posters import LIMITS
from postergenres.report.pages import fill
from postergenres.report.poster_report import make_card
from postergenres.report.predictions import predict_read
from postergenres.report.similar import SimilarMovies, open_similar

import numpy as np

TEMPLATES = Path(__file__).resolve().parent / "templates"
DRAW = Path(__file__).parents[2] / "data" / "sample" / "draw.py"  # an installed package has none
MOST_POSTERS, MOST_BYTES = 24, 60_000_000  # in an answer
SKIP = "SIMILAR = 0 in postergenres/app/__main__.py skips this"
AT_ONCE = 0.3  # seconds in which features that are there are found

run_script = lru_cache(runpy.run_path)  # once; it returns the names in a script


class Poster(NamedTuple):
    """A poster to predict: its name, and the bytes of its file or why there are none."""

    name: str
    body: bytes
    error: str = ""


class Answers:
    """Predict posters with the models of this machine. Several threads may ask at a time.

    Attributes:
        folders: {name: folder} of the models, the chosen one first.
        movies: {name of a model: the movies to search, or None}; without the models whose
            features are still being computed.

    Raises:
        SystemExit: a file of the chosen model is missing or damaged.
    """

    def __init__(
        self, data_dir: Path, pretrained: str, top: int, examples: int, similar: int = 0
    ) -> None:
        self.data_dir, self.top, self.similar = data_dir, top, similar
        self.examples = min(examples, MOST_POSTERS)
        self.folders = list_models(data_dir, pretrained)
        self.movies: dict[str, SimilarMovies | None] = {}
        self.opened: dict[str, PosterModel] = {}
        self.opening = threading.Lock()
        self.pool = ThreadPoolExecutor(os.cpu_count())
        self.open(next(iter(self.folders)))

    def open(self, name: str) -> PosterModel:
        """Return a model; it stays open."""
        with self.opening:
            if name not in self.opened:
                add_missing_export(self.folders[name])
                self.opened[name] = model = PosterModel(self.folders[name])
                if model.note:
                    print(model.note)
                if self.similar:
                    thread = threading.Thread(target=self.open_movies, args=[name], daemon=True)
                    thread.start()
                    thread.join(AT_ONCE)
            return self.opened[name]

    def open_movies(self, name: str) -> None:
        """Open the movies to search; this takes minutes if features are missing."""
        movies = None
        try:
            movies = open_similar(self.data_dir, self.opened[name], skip=SKIP)
        except OSError as error:
            print(f"note: no similar movies are shown: {error}")
        self.movies[name] = movies

    def answer_files(self, files: list[dict[str, Any]], model_name: str, count: int) -> str:
        """Predict files that a browser read: each its name, size in bytes and data URL or None.

        `count` is how many there were; a browser reads MOST_POSTERS and MOST_BYTES at most.
        """
        return self.answer([take_file(**file) for file in files], model_name, count)

    def answer_examples(self, model_name: str) -> str:
        """Draw and predict posters."""
        return self.answer(draw_examples(self.examples), model_name, are_drawn=True)

    def answer(
        self,
        posters: Sequence[Poster],
        model_name: str,
        count: int | None = None,
        are_drawn: bool = False,
    ) -> str:
        """Predict posters; `count` is how many were asked for, if there were more."""
        start = time.perf_counter()
        try:
            opened = self.open(model_name)
        except SystemExit as error:  # its text says what to do
            return fill("message.html", TEMPLATES, text=str(error))
        read = [*self.pool.map(lambda x: read_poster(x, opened), posters[:MOST_POSTERS])]
        movies = self.movies.get(model_name)
        predictions = predict_read(opened, read, self.top, movies, similar=self.similar)
        return fill(
            "answer.html",
            TEMPLATES,
            cards=[make_card(prediction, opened.about["prior"]) for prediction in predictions],
            count=count or len(posters),
            model_name=model_name,
            seconds=time.perf_counter() - start,
            are_drawn=are_drawn,
            is_waiting=bool(self.similar) and model_name not in self.movies,
        )


def list_models(data_dir: Path, pretrained: str) -> dict[str, Path]:
    """Return {name: folder} of the models of this machine, the one to choose first."""
    order = sorted(PRETRAINED_FOLDERS, key=lambda name: name != pretrained)
    models = {f"{name} (pretrained)": PRETRAINED_FOLDERS[name] for name in order}
    trained = data_dir / "model"
    has_trained = (trained / "model.json").is_file()
    return ({f"your model ({trained})": trained} if has_trained else {}) | models


def draw_examples(count: int, seed: int | None = None) -> list[Poster]:
    """Draw posters of invented movies, as data/sample/draw.py does."""
    draw, rng = run_script(str(DRAW)), np.random.default_rng(seed)
    examples = []
    for number in range(1, count + 1):  # these numbers have none of the flaws of real metadata
        movie = draw["invent_movie"](number, rng)
        image = draw["draw_poster"](movie["title"], movie["looks"], rng)
        name = f"{movie['title']}, drawn as {', '.join(movie['looks'])}"
        examples.append(Poster(name, draw["encode"](image, "plain")))
    return examples


def take_file(name: str, size: int, data: str | None) -> Poster:
    """Return a file that a browser read as a `Poster`."""
    if size > LIMITS.max_bytes:
        return Poster(name, b"", f"too large: over {LIMITS.max_bytes:,} bytes")
    if data is None:
        return Poster(name, b"", "the browser cannot read it")
    try:
        return Poster(name, base64.b64decode(data.partition(",")[2], validate=True))
    except ValueError:  # also a binascii.Error
        return Poster(name, b"", "not an image")


def read_poster(poster: Poster, model: PosterModel) -> ReadPoster:
    """Check and decode a poster as steps 1 and 3 do."""
    error = poster.error or check_image(poster.body, LIMITS.max_bytes, LIMITS.max_pixels)
    if error:
        return ReadPoster(poster.name, error=error)
    return model.read(poster.body, poster.name)
