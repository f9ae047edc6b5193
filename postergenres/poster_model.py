"""A trained model that predicts posters, which `postergenres.load_model` opens.

The scripts and the page predict posters with it, too. It needs neither TensorFlow nor a clone of
the repository.
"""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from postergenres.dataset.decoding import try_decode
from postergenres.models.description import PRETRAINED_FOLDERS, read_about
from postergenres.models.exported import FILE, ExportedModel, Outputs
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.predicted_genres import join_predicted
from postergenres.words.reading import Words, find_fault, read_words, select_texts, uses_words

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

BATCH = 64  # posters that are predicted together

T = TypeVar("T")
Poster = str | Path | bytes | np.ndarray | Image.Image


@dataclass(frozen=True)
class ReadPoster:
    """A poster that was read, or why it could not be."""

    name: str  # path or URL; empty for what has none
    pixels: np.ndarray | None = None  # uint8 (H, W, 3), the same as in a store of that poster
    error: str = ""  # empty if it was read
    words: Words = ()  # text and confidence of each line of text on it

    @property
    def text(self) -> str:
        """The words that are used, for people."""
        return " / ".join(select_texts(self.words))


class PosterModel:
    """A trained model that predicts the genres of posters. Threads may share it.

    Attributes:
        name: of a pretrained model, or its folder.
        genres: in the order of the probabilities.
        size: height and width in pixels that posters are resized to.
        scores: of the validation movies, {name: {"score": number, "floor": number}}; of the
            network and the words together if words are read.
        about: content of model.json.
        words_model: `words.combination.WordsModel`, or None if words are not read.
        note: why words are not read as in training, for people; empty if there is no reason to ask.

    Raises:
        SystemExit: a file of the model is missing or damaged.
    """

    def __init__(self, folder: Path, words: bool = True) -> None:
        self.folder = folder
        self.about = read_about(folder, ["model.json", FILE])
        self.network = ExportedModel(folder / FILE)
        self.words_model: Any = None
        self.note = find_fault(self.about) if words else ""
        if words and uses_words(self.about):
            from postergenres.words.combination import open_words  # loads scikit-learn

            self.words_model = open_words(folder, self.about)
        self.is_pretrained = folder in PRETRAINED_FOLDERS.values()
        self.name = folder.name if self.is_pretrained else str(folder)
        self.genres: list[str] = self.about["genres"]
        self.size: tuple[int, int] = self.about["H"], self.about["W"]
        source = self.about["words"] if self.words_model else self.about
        self.scores: dict[str, Any] = {k: v for k, v in source["scores"].items() if k != "split"}

    def __repr__(self) -> str:
        words = "and the words on posters" if self.words_model else "without words"
        return f"<PosterModel {self.name}, {words}: {len(self.genres)} genres>"

    def predict(self, posters: Poster | Iterable[Poster]) -> pd.DataFrame:
        """Return the genres of one or several posters, a row for each, in their order.

        Args:
            posters: paths, bytes of image files, arrays, uint8 (height, width, 3), or PIL images.

        Returns:
            The columns `path`, empty for what has none; `error`, why a poster cannot be read, else
            empty; `predicted_genres`, such as `Drama|Romance`, the most probable first; `words`, if
            words are read; and the probability of each genre, nan after an error.

        Raises:
            TypeError: a poster is none of these.
        """
        read, rows = [], [np.zeros((0, len(self.genres)))]
        for batch in read_ahead(self.read, list_posters(posters)):
            probabilities = np.full((len(batch), len(self.genres)), np.nan)
            whole = [i for i, poster in enumerate(batch) if poster.pixels is not None]
            if whole:
                probabilities[whole] = self.run([batch[i] for i in whole]).probabilities
            rows.append(probabilities)
            read += [replace(poster, pixels=None) for poster in batch]
        return self.tabulate(read, np.concatenate(rows))

    def read(self, poster: Poster, name: str | None = None) -> ReadPoster:
        """Decode a poster and read its words; its name is its path unless another one is given."""
        if isinstance(poster, str | Path):
            name = name or str(poster)
        elif not isinstance(poster, bytes):
            try:
                poster = encode(poster)
            except OSError as error:  # a file that PIL reads only now
                return ReadPoster(name or "", error=f"{type(error).__name__}: {error}")
        reader = read_words if self.words_model else None
        return read_poster(poster, name or "", self.size, reader)

    def run(self, posters: Sequence[ReadPoster]) -> Outputs:
        """Return what the network says about N >= 1 posters with pixels, and the words added."""
        pixels: Any = [poster.pixels for poster in posters]
        outputs = self.network.predict(np.stack(pixels))
        probabilities = outputs.probabilities.astype(np.float64)
        if self.words_model:
            words = [poster.words for poster in posters]
            probabilities = self.words_model.add_words(probabilities, words)
        return outputs._replace(probabilities=probabilities)

    def tabulate(self, posters: Sequence[ReadPoster], probabilities: np.ndarray) -> pd.DataFrame:
        """Return the table of `predict`, of N posters and their probabilities, (N, G)."""
        is_predicted = choose_genres(probabilities)
        columns: dict[str, Any] = {
            "path": [poster.name for poster in posters],
            "error": [poster.error for poster in posters],
            "predicted_genres": join_predicted(probabilities, is_predicted, self.genres),
        }
        if self.words_model:
            columns["words"] = [poster.text for poster in posters]
        shares = pd.DataFrame(probabilities, columns=pd.Index(self.genres))
        return pd.concat([pd.DataFrame(columns), shares], axis=1)


# --- reading --------------------------------------------------------------------------------------


def read_poster(
    source: str | Path | bytes, name: str, size: tuple[int, int], read_words: Callable | None = None
) -> ReadPoster:
    """Decode a poster from its path or bytes to a height and width, and read its words.

    `read_words` is `words.reading.read_words`, or None to read no words.
    """
    pixels, error = try_decode(source, *size)
    return ReadPoster(name, pixels, error, read_words(source) if read_words and not error else ())


def list_posters(posters: Any) -> list[Any]:
    """Return several posters, or one, as a list."""
    is_array = isinstance(posters, np.ndarray) and posters.ndim in (2, 3)
    if is_array or isinstance(posters, str | Path | bytes | Image.Image):
        return [posters]
    return list(posters)


def encode(poster: np.ndarray | Image.Image) -> bytes:
    """Return an array or an image as an uncompressed file, for what reads files.

    Raises:
        OSError: the file of a PIL image cannot be read.
        TypeError: it is no image.
    """
    if isinstance(poster, np.ndarray):
        poster = Image.fromarray(poster)  # a TypeError for what is not uint8
    if not isinstance(poster, Image.Image):
        kinds = "a path, the bytes of a file, an array or a PIL image"
        raise TypeError(f"a poster must be {kinds}, not {type(poster).__name__}")
    image = ImageOps.exif_transpose(poster)
    if image.has_transparency_data:  # of a palette, which TIFF has none of
        image = image.convert("RGBA")
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    return buffer.getvalue()


def read_ahead(
    read: Callable[[T], ReadPoster],
    sources: Sequence[T],
    batch_size: int = BATCH,
    threads: int | None = None,
) -> Iterator[list[ReadPoster]]:
    """Yield batches of posters that threads read, up to two batches ahead of the caller."""
    pool = ThreadPoolExecutor(threads or os.cpu_count())
    ahead = deque()
    try:
        for start in range(0, len(sources), batch_size):
            ahead.append([pool.submit(read, x) for x in sources[start : start + batch_size]])
            if len(ahead) > 2:
                yield [future.result() for future in ahead.popleft()]
        while ahead:
            yield [future.result() for future in ahead.popleft()]
    finally:  # do not wait for slow hosts
        pool.shutdown(wait=False, cancel_futures=True)
