"""Predict genres from the words that were read on a poster.

A poster's words become counts of character n-grams, so that a misread letter leaves most of a word,
and of words and pairs of words. The counts are weighted by TF-IDF, so that rare ones count more. A
logistic regression for each genre is fitted on those of the training posters.
"""

from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from postergenres.scores.metrics import estimate_prior
from postergenres.words.reading import CONFIDENCE, Words, select_texts

import numpy as np
from scipy import sparse
from scipy.special import logit
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

FILE = "words.npz"  # in the folder of a model
REGULARIZATION = 2.0  # C of the regressions; best on 2,248 validation movies
MIN_POSTERS = 2  # training posters that an n-gram must be on; rarer ones are ignored
HASHES = 2**18  # columns of each kind of n-gram
LARGEST = 127  # of an int8
CONSTANTS = {  # what a text model depends on beside the words and the labels
    "regularization": REGULARIZATION,
    "min_posters": MIN_POSTERS,
    "hashes": HASHES,
    "confidence": CONFIDENCE,
}
hash_ngrams = partial(
    HashingVectorizer,
    n_features=HASHES,
    strip_accents="unicode",
    alternate_sign=False,
    norm=None,  # pyright: ignore[reportArgumentType]
)
VECTORIZERS = (
    hash_ngrams(analyzer="char_wb", ngram_range=(2, 5)),
    hash_ngrams(analyzer="word", ngram_range=(1, 2)),
)


def count_ngrams(words: list[Words]) -> sparse.csr_matrix:
    """Return 1 + log(count) of each n-gram, (N, 2 x HASHES): of characters, of words.

    The row of a poster without words is 0.
    """
    texts = [" ".join(select_texts(lines)) for lines in words]
    counts: Any = sparse.hstack([vectorizer.transform(texts) for vectorizer in VECTORIZERS], "csr")
    counts.data = 1 + np.log(counts.data)
    return counts


def compute_idf(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the inverse document frequency of each n-gram, float32; 0 for rare ones."""
    total, posters = counts.get_shape()[0], counts.getnnz(axis=0)
    idf = 1 + np.log((1 + total) / (1 + posters))  # as sklearn's TfidfTransformer
    return np.where(posters < MIN_POSTERS, 0, idf).astype(np.float32)


def weigh_ngrams(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """Return counts weighted by inverse document frequency, (N, U), for the n-grams that have one.

    A row has length 1 in the n-grams of characters and in those of words.
    """
    weighted = counts.multiply(idf).tocsr()
    parts = normalize(weighted[:, :HASHES]), normalize(weighted[:, HASHES:])
    ngrams: Any = sparse.hstack(parts, "csr")
    return ngrams[:, np.flatnonzero(idf)]


@dataclass(frozen=True)
class TextModel:
    """A logistic regression for each of G genres on U n-grams."""

    weights: np.ndarray  # int8 (U, G), in units of `scale`; 4 MB for 23 genres
    scale: np.ndarray  # float32 (G,)
    bias: np.ndarray  # float32 (G,)
    prior: np.ndarray  # float64 (G,), genre shares of the training posters with words
    idf: np.ndarray  # float32 (2 x HASHES,), see `compute_idf`

    @cached_property
    def kernel(self) -> np.ndarray:
        return self.weights * self.scale

    def predict(self, words: list[Words]) -> np.ndarray:
        """Return the logits of the genres, float64 (N, G); those of the prior without words."""
        ngrams = weigh_ngrams(count_ngrams(words), self.idf)
        logits = np.tile(logit(self.prior), (len(words), 1))
        has_words = ngrams.getnnz(axis=1) > 0
        logits[has_words] = ngrams[has_words] @ self.kernel + self.bias
        return logits

    def weigh_evidence(self, words: list[Words]) -> np.ndarray:
        """Return what the words add to the logits of the prior, (N, G); 0 without words."""
        return self.predict(words) - logit(self.prior)

    def save(self, folder: Path) -> None:
        """Write words.npz into the folder of a model."""
        np.savez_compressed(folder / FILE, **{x.name: getattr(self, x.name) for x in fields(self)})


def load_text_model(folder: Path) -> TextModel:
    """Return what `TextModel.save` wrote into a folder."""
    with np.load(folder / FILE) as arrays:
        return TextModel(**arrays)


def fit_text_model(
    words: list[Words], labels: np.ndarray, regularization: float = REGULARIZATION
) -> TextModel:
    """Fit a text model on those of N training posters that have words; labels are (N, G)."""
    counts = count_ngrams(words)
    idf = compute_idf(counts)
    ngrams = weigh_ngrams(counts, idf)
    has_words = ngrams.getnnz(axis=1) > 0
    ngrams, labels = ngrams[has_words], labels[has_words]
    prior = estimate_prior(labels)
    weights, bias = np.zeros((ngrams.shape[1], len(prior))), logit(prior)
    for genre, column in enumerate(labels.T):
        if 0 < column.sum() < len(column):  # a regression needs both classes
            model = LogisticRegression(C=regularization, max_iter=1000).fit(ngrams, column)
            weights[:, genre], bias[genre] = model.coef_[0], model.intercept_[0]
    scale = np.abs(weights).max(axis=0, initial=0) / LARGEST
    units = np.rint(weights / np.where(scale, scale, 1)).astype(np.int8)
    scale, bias = scale.astype(np.float32), bias.astype(np.float32)
    return TextModel(weights=units, scale=scale, bias=bias, prior=prior, idf=idf)
