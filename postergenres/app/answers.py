"""Answer what the page asks: predict posters, and return the answer as HTML."""

import base64
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from postergenres.app.examples import draw_examples
from postergenres.download.faults import Fault
from postergenres.download.images import check_image
from postergenres.download.metadata import is_url
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.exported import open_exported
from postergenres.report.named_posters import LIMITS, ReadPoster
from postergenres.report.named_posters import read_poster as decode
from postergenres.report.pages import fill
from postergenres.report.predictions import OpenedModel, find_words, predict_read
from postergenres.report.sheet import make_card
from postergenres.report.similar import open_similar
from postergenres.words.reading import read_words

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_POSTERS, MOST_BYTES = 24, 60_000_000  # in an answer
URL_LIMITS = replace(LIMITS, retries=0, time_limit=20)  # somebody is waiting
SKIP = "SIMILAR = 0 in postergenres/app/__main__.py skips this"
AT_ONCE = 0.3  # seconds in which features that are there are found


class Poster(NamedTuple):
    """A poster to predict: its name, and the bytes of its file or why there are none."""

    name: str
    body: bytes | None
    error: str = ""


class Answers:
    """Predict posters with the models of this machine. Several threads may ask at a time.

    Args:
        data_dir: the folder that train.py wrote to.
        pretrained: the model that is chosen unless there is one in `data_dir`.
        top: show at least so many genres of each poster.
        examples: posters to draw.
        similar: the number of similar movies to show for each poster.

    Attributes:
        folders: {name: folder} of the models, the chosen one first.
        movies: {name of a model: `similar.SimilarMovies` or None}; without the models whose
            features are still being computed.

    Raises:
        SystemExit: a file of the chosen model is missing or damaged.
    """

    def __init__(self, data_dir, pretrained, top, examples, similar=0):
        self.data_dir, self.top, self.examples, self.similar = data_dir, top, examples, similar
        self.folders, self.movies = list_models(Path(data_dir), pretrained), {}
        self.opened, self.opening = {}, threading.Lock()
        self.pool = ThreadPoolExecutor(os.cpu_count())
        self.open(next(iter(self.folders)))

    def open(self, name):
        """Return an `OpenedModel`; it stays open."""
        with self.opening:
            if name not in self.opened:
                folder = self.folders[name]
                model, about = open_exported(folder)
                self.opened[name] = OpenedModel(model, about, find_words(folder, about))
                if self.similar:
                    thread = threading.Thread(target=self.open_movies, args=[name], daemon=True)
                    thread.start()
                    thread.join(AT_ONCE)
            return self.opened[name]

    def open_movies(self, name):
        """Open the movies to search; this takes minutes if features are missing."""
        model, about, _ = self.opened[name]
        movies = None
        try:
            movies = open_similar(self.data_dir, model, about, self.folders[name], SKIP)
        except OSError as error:
            print(f"note: no similar movies are shown: {error}")
        self.movies[name] = movies

    def answer_files(self, files, model_name, count):
        """Predict the files that a browser read.

        Args:
            files: a list of {"name": str, "size": bytes, "data": a data URL or None}.
            model_name: a key of `folders`.
            count: how many files there were; a browser reads MOST_POSTERS and MOST_BYTES at most.

        Returns:
            HTML, as from the other methods.
        """
        return self.answer([take_file(**file) for file in files], model_name, count)

    def answer_urls(self, text, model_name):
        """Fetch and predict the posters at one or several URLs, which spaces separate."""
        urls = text.split()
        if not urls:
            return show_message("Paste the URL of a poster first, then click “Fetch and predict”.")
        return self.answer(fetch_posters(urls[:MOST_POSTERS]), model_name, len(urls))

    def answer_examples(self, model_name):
        """Draw and predict posters."""
        posters = [Poster(*example) for example in draw_examples(self.examples)]
        return self.answer(posters, model_name, are_drawn=True)

    def answer(self, posters, model_name, count=None, are_drawn=False):
        """Predict posters.

        Args:
            posters: a list of `Poster`.
            model_name: a key of `folders`.
            count: how many posters were asked for, if there were more.
            are_drawn: whether the posters are examples.
        """
        start = time.perf_counter()
        try:
            opened = self.open(model_name)
        except SystemExit as error:  # its text says what to do
            return show_message(str(error))
        movies = self.movies.get(model_name)
        cards = self.make_cards(posters[:MOST_POSTERS], opened, movies)
        return fill(
            "answer.html",
            TEMPLATES,
            cards=cards,
            count=count or len(posters),
            model_name=model_name,
            seconds=time.perf_counter() - start,
            are_drawn=are_drawn,
            is_waiting=bool(self.similar) and model_name not in self.movies,
        )

    def make_cards(self, posters, opened, movies=None):
        """Predict posters, and return their cards for templates/cards.html."""
        read = [*self.pool.map(lambda poster: read_poster(poster, opened), posters)]
        predictions = predict_read(opened, read, top=self.top, movies=movies, similar=self.similar)
        return [make_card(each, opened.about["prior"]) for each in predictions]


def list_models(data_dir, pretrained):
    """Return {name: folder} of the models of this machine, the one to choose first."""
    order = sorted(PRETRAINED_FOLDERS, key=lambda name: name != pretrained)
    models = {f"{name} (pretrained)": PRETRAINED_FOLDERS[name] for name in order}
    trained = data_dir / "model"
    has_trained = (trained / "model.json").is_file()
    return ({f"your model ({trained})": trained} if has_trained else {}) | models


def take_file(name, size, data):
    """Return a file that a browser read as a `Poster`."""
    if size > LIMITS.max_bytes:
        return Poster(name, None, Fault.TOO_MANY_BYTES.format(LIMITS.max_bytes))
    if data is None:
        return Poster(name, None, "the browser cannot read it")
    try:
        return Poster(name, base64.b64decode(data.partition(",")[2], validate=True))
    except ValueError:  # also a binascii.Error
        return Poster(name, None, Fault.NOT_AN_IMAGE.format())


def fetch_posters(urls):
    """Fetch URLs, but not from this machine or its local network; return a list of `Poster`."""
    from postergenres.download.client import Downloader as Fetcher  # goes with the box of URLs

    fetcher = Fetcher(URL_LIMITS, public_only=True)
    try:
        fetched = [fetcher.start(url) if is_url(url) else None for url in urls]
        refusal = None, "only URLs that begin with http:// or https:// are fetched"
        results = [refusal if future is None else future.result() for future in fetched]
    finally:
        fetcher.stop()
    return [Poster(url, *result) for url, result in zip(urls, results, strict=True)]


def read_poster(poster, opened):
    """Check and decode a poster as steps 1 and 3 do.

    Returns:
        ReadPoster.
    """
    error = poster.error
    if not error and len(poster.body) > LIMITS.max_bytes:
        error = Fault.TOO_MANY_BYTES.format(LIMITS.max_bytes)
    if not error:
        _, error = check_image(poster.body, LIMITS.max_pixels)
    if error:
        return ReadPoster(poster.name, error=error)
    size = opened.about["H"], opened.about["W"]
    return decode(poster.name, poster.body, size, read_words if opened.words_model else None)


def show_message(text):
    """Return a sentence as HTML."""
    return fill("message.html", TEMPLATES, text=text)
