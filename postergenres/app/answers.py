"""Answer what the page asks: predict posters, and return each as a card of HTML."""

import io
import runpy
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from postergenres.download.images import check_image
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel, ReadPoster
from postergenres.report.named_posters import LIMITS
from postergenres.report.pages import data_url, fill
from postergenres.report.poster_report import make_card
from postergenres.report.predictions import predict_read
from postergenres.report.similar import SimilarMovies, open_similar

import numpy as np
from PIL import Image

TEMPLATES = Path(__file__).resolve().parent / "templates"
DRAW = Path(__file__).parents[2] / "data" / "sample" / "draw.py"  # an installed package has none
MOST_POSTERS = 24  # that the page asks for at a time
SKIP = "SIMILAR = 0 in postergenres/app/__main__.py skips this"
AT_ONCE = 0.3  # seconds in which features that are there are found
LARGE = 4_000_000  # pixels; a poster with more is decoded alone
run_script = lru_cache(runpy.run_path)  # once; it returns the names in a script


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
        self.alone = ThreadPoolExecutor(1)  # a thread keeps the memory of its largest poster
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

    def answer(self, name: str, body: bytes, model_name: str) -> dict[str, Any]:
        """Predict a poster, the bytes of a file, and return what page.js shows of it.

        Raises:
            OSError: a file of the model is missing or damaged; the text says what to do.
        """
        try:
            opened = self.open(model_name)
        except SystemExit as error:
            raise OSError(str(error)) from None
        if count_pixels(body) > LARGE:
            poster = self.alone.submit(read_poster, name, body, opened).result()
        else:
            poster = read_poster(name, body, opened)
        movies = self.movies.get(model_name)
        (prediction,) = predict_read(opened, [poster], self.top, movies, similar=self.similar)
        card = make_card(prediction, opened.about["prior"])
        return {
            "card": fill("card.html", TEMPLATES, card=card),
            "is_read": not poster.error,
            "is_waiting": bool(self.similar) and model_name not in self.movies,
        }

    def draw_examples(self) -> list[dict[str, str]]:
        """Draw posters of invented movies; return their names and data URLs."""
        examples = draw_examples(self.examples)
        return [{"name": name, "url": data_url(body, "jpeg")} for name, body in examples]


def list_models(data_dir: Path, pretrained: str) -> dict[str, Path]:
    """Return {name: folder} of the models of this machine, the one to choose first."""
    order = sorted(PRETRAINED_FOLDERS, key=lambda name: name != pretrained)
    models = {f"{name} (pretrained)": PRETRAINED_FOLDERS[name] for name in order}
    trained = data_dir / "model"
    has_trained = (trained / "model.json").is_file()
    return ({f"your model ({trained})": trained} if has_trained else {}) | models


def draw_examples(count: int, seed: int | None = None) -> list[tuple[str, bytes]]:
    """Draw posters of invented movies, as data/sample/draw.py does; return names and JPEGs."""
    draw, rng = run_script(str(DRAW)), np.random.default_rng(seed)
    examples = []
    for number in range(1, count + 1):  # these numbers have none of the flaws of real metadata
        movie = draw["invent_movie"](number, rng)
        image = draw["draw_poster"](movie["title"], movie["looks"], rng)
        name = f"{movie['title']}, drawn as {', '.join(movie['looks'])}"
        examples.append((name, draw["encode"](image, "plain")))
    return examples


def read_poster(name: str, body: bytes, model: PosterModel) -> ReadPoster:
    """Check and decode a poster as steps 1 and 3 do."""
    error = check_image(body, LIMITS.max_bytes, LIMITS.max_pixels)
    if error:
        return ReadPoster(name, error=error)
    return model.read(body, name)


def count_pixels(body: bytes) -> int:
    """Return the pixels of an image, 0 if Pillow does not open it."""
    with suppress(Exception), Image.open(io.BytesIO(body)) as image:
        return image.width * image.height
    return 0
