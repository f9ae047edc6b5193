"""Answer what the page asks: predict posters, and return each as a card of HTML."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from postergenres.download.images import FORMATS, check_image
from postergenres.models.description import PRETRAINED_FOLDERS, choose_model, find_model
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel, ReadPoster
from postergenres.report.named_posters import LIMITS
from postergenres.report.pages import fill
from postergenres.report.poster_report import describe_model, make_card
from postergenres.report.predictions import predict_read
from postergenres.report.similar import SimilarMovies, open_similar

from PIL import Image

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_POSTERS = 24  # that the page asks for at a time
SKIP = "SIMILAR = 0 in postergenres/app/__main__.py skips this"
AT_ONCE = 0.3  # seconds in which features that are there are found
LARGE = 4_000_000  # pixels; a poster with more is decoded alone


class Answers:
    """Predict posters with the models of this machine. Several threads may ask at a time.

    Attributes:
        folders: {name: folder} of the models, the chosen one first.
        movies: {name of a model: the movies to search, or None}; without the models whose
            features are still being computed.

    Raises:
        SettingError: there is no such model.
        SystemExit: a file of the chosen model is missing or damaged.
    """

    def __init__(
        self, data_dir: Path, model: str | Path | None, top: int, similar: int = 0
    ) -> None:
        self.data_dir, self.top, self.similar = data_dir, top, similar
        self.folders = list_models(data_dir, model)
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
            "model": describe_model(opened),
            "is_waiting": bool(self.similar) and model_name not in self.movies,
        }


def list_models(data_dir: Path, model: str | Path | None = None) -> dict[str, Path]:
    """Return {name: folder} of the models of this machine, the one that `model` names first."""
    folders = [find_model(model or choose_model(data_dir)), *PRETRAINED_FOLDERS.values()]
    if (data_dir / "model").is_dir():
        folders.insert(1, data_dir / "model")
    return {name_model(folder): folder for folder in folders}


def name_model(folder: Path) -> str:
    """Return the name of a model on the page."""
    is_pretrained = folder in PRETRAINED_FOLDERS.values()
    return f"{folder.name} (pretrained)" if is_pretrained else f"your model ({folder})"


def read_poster(name: str, body: bytes, model: PosterModel) -> ReadPoster:
    """Check and decode a poster as steps 1 and 3 do."""
    error = check_image(body, LIMITS.max_bytes, LIMITS.max_pixels)
    if error:
        return ReadPoster(name, error=error)
    return model.read(body, name)


def count_pixels(body: bytes) -> int:
    """Return the pixels of an image, 0 if it is none."""
    with suppress(Exception), Image.open(io.BytesIO(body), formats=FORMATS) as image:
        return image.width * image.height
    return 0
