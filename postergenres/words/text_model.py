"""Predict genres from the words that were read on a poster.

A poster's words become counts of character n-grams, so that a misread letter leaves most of a word.
The counts are weighted by TF-IDF, so that rare n-grams count more. A logistic regression for each
genre is fitted on those of the training posters.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy.special import logit
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from postergenres.evaluation.metrics import estimate_prior
from postergenres.files import discard_leftovers, file_sha256, replacing
from postergenres.words.reading import select_texts

REGULARIZATION = 3.0  # C of the regressions; best on 2,248 validation movies
VECTORIZER = HashingVectorizer(
    analyzer="char_wb",
    ngram_range=(2, 5),
    n_features=2**16,
    strip_accents="unicode",
    alternate_sign=False,
    norm=None,
)


def count_ngrams(words):
    """Return counts of n-grams, 1 + log(count), sparse (N, features).

    Args:
        words: for each poster a list of (text, confidence); without words, its row is 0.
    """
    counts = VECTORIZER.transform(" ".join(select_texts(lines)) for lines in words)
    counts.data = 1 + np.log(counts.data)
    return counts


def weigh_ngrams(counts, idf):
    """Return counts of n-grams weighted by inverse document frequency, with rows of length 1.

    Args:
        counts: see `count_ngrams`.
        idf: (features,).
    """
    return normalize(counts.multiply(idf).tocsr())


@dataclass(frozen=True)
class TextModel:
    """A logistic regression for each of G genres.

    Attributes:
        weights: float16 (features, G); 3 MB for 23 genres, compressed half of it.
        bias: float32 (G,).
        prior: float64 (G,), genre shares of the training posters with words.
        idf: float32 (features,), the inverse document frequency of the n-grams.
    """

    weights: np.ndarray
    bias: np.ndarray
    prior: np.ndarray
    idf: np.ndarray

    @cached_property
    def kernel(self):
        return self.weights.astype(np.float32)

    def predict(self, words):
        """Return the logits of the genres, float64 (N, G); those of the prior without words."""
        ngrams = weigh_ngrams(count_ngrams(words), self.idf)
        logits = np.tile(logit(self.prior), (len(words), 1))
        has_words = ngrams.getnnz(axis=1) > 0
        logits[has_words] = ngrams[has_words] @ self.kernel + self.bias
        return logits

    def weigh_evidence(self, words):
        """Return what the words add to the logits of the prior, (N, G); 0 without words."""
        return self.predict(words) - logit(self.prior)

    def save(self, path):
        """Write the model as a .npz file, completely or not at all; return its SHA-256."""
        discard_leftovers([path])
        with replacing(path) as part:
            arrays = {field.name: getattr(self, field.name) for field in fields(self)}
            np.savez_compressed(part, **arrays)
            return file_sha256(part)


def load_text_model(path):
    """Return the `TextModel` in a file that `TextModel.save` wrote."""
    with np.load(path) as arrays:
        return TextModel(**arrays)


def fit_text_model(words, labels, regularization=REGULARIZATION):
    """Fit a `TextModel` on the posters with words.

    Args:
        words: for each training poster a list of (text, confidence), see `reading.read_words`.
        labels: 0 or 1, (N, G).
        regularization: C of the regressions, the inverse of the penalty's weight.
    """
    counts = count_ngrams(words)
    idf = TfidfTransformer().fit(counts).idf_.astype(np.float32)
    ngrams = weigh_ngrams(counts, idf)
    has_words = ngrams.getnnz(axis=1) > 0
    labels, prior = labels[has_words], estimate_prior(labels[has_words])
    weights, bias = np.zeros((ngrams.shape[1], len(prior)), np.float16), logit(prior)
    used = np.flatnonzero(ngrams.getnnz(axis=0))  # the other weights stay 0
    ngrams = ngrams[has_words][:, used]
    for genre, column in enumerate(labels.T):
        if 0 < column.sum() < len(column):  # a regression needs both classes
            model = LogisticRegression(C=regularization, max_iter=1000).fit(ngrams, column)
            weights[used, genre], bias[genre] = model.coef_[0], model.intercept_[0]
    return TextModel(weights, bias.astype(np.float32), prior, idf)
