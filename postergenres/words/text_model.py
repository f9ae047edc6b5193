"""Predict genres from the words that were read on a poster.

A poster's words become counts of character n-grams, so that a misread letter leaves most of a word,
and of words and pairs of words. The counts are weighted by TF-IDF, so that rare ones count more. A
logistic regression for each genre is fitted on those of the training posters (`fitting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from postergenres.words.ngrams import (
    HASHES,
    count_ngrams,
    find_words,
    hash_texts,
    normalize,
)
from postergenres.words.reading import Words, select_texts

import numpy as np

FILE = "words.npz"  # in the folder of a model


def logit(shares: np.ndarray) -> np.ndarray:
    return np.log(shares) - np.log1p(-shares)


def weigh_ngrams(lines: Words, idf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of a poster's n-grams, those that have an idf, and their TF-IDF.

    The weights of the n-grams of characters have length 1, and so have those of words.
    """
    columns, counts = count_ngrams(" ".join(select_texts(lines)))
    has_idf = idf[columns] > 0
    columns = columns[has_idf]
    weights = counts[has_idf] * idf[columns]
    first_word = np.searchsorted(columns, HASHES)
    for part in (weights[:first_word], weights[first_word:]):
        part /= np.linalg.norm(part) or 1
    return columns, weights


@dataclass(frozen=True)
class TextModel:
    """A logistic regression for each of G genres on U n-grams."""

    weights: np.ndarray  # int8 (U, G), in units of `scale`; 4 MB for 23 genres
    scale: np.ndarray  # float32 (G,)
    bias: np.ndarray  # float32 (G,)
    prior: np.ndarray  # float64 (G,), genre shares of the training posters with words
    idf: np.ndarray  # float32 (2 x HASHES,), inverse document frequencies; 0 for rare n-grams

    @cached_property
    def rows(self) -> np.ndarray:
        """The row of `weights` of each n-gram that has an idf."""
        return np.cumsum(self.idf > 0) - 1

    def predict(self, words: Sequence[Words]) -> np.ndarray:
        """Return the logits of the genres, float64 (N, G); those of the prior without words."""
        logits = np.tile(logit(self.prior), (len(words), 1))
        for poster, lines in enumerate(words):
            columns, weights = weigh_ngrams(lines, self.idf)
            if len(columns):
                logits[poster] = weights @ self.weights[self.rows[columns]] * self.scale + self.bias
        return logits

    def weigh_evidence(self, words: Sequence[Words]) -> np.ndarray:
        """Return what the words add to the logits of the prior, (N, G); 0 without words."""
        return self.predict(words) - logit(self.prior)

    def select_known(self, lines: Words) -> list[str]:
        """Return the texts of a poster with a word that was on several training posters."""
        return [text for text in select_texts(lines) if self.knows(text)]

    def knows(self, text: str) -> bool:
        words = [word for word in find_words(normalize(text)) if len(word) > 2]
        return bool((self.idf[HASHES + hash_texts(words)] > 0).any())

    def save(self, folder: Path) -> None:
        """Write words.npz into the folder of a model."""
        np.savez_compressed(folder / FILE, **{x.name: getattr(self, x.name) for x in fields(self)})


def load_text_model(folder: Path) -> TextModel:
    """Return what `TextModel.save` wrote into a folder."""
    with np.load(folder / FILE) as arrays:
        return TextModel(**arrays)
