from postergenres.words.ngrams import CHARACTERS, HASHES, WORDS, count_ngrams

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

LETTERS = list("abcdefgh éÄß中文字ıſﬁİ_1-'\t\u3000\x00")


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    noise = ["".join(rng.choice(LETTERS, rng.integers(1, 80))) for _ in range(200)]
    return ["", "a", " ", "the ring of the rings", "ab " * 30, *noise]


def test_ngrams_are_counted_as_by_scikit_learn(texts):
    vectorizers = [
        HashingVectorizer(
            n_features=HASHES,
            strip_accents="unicode",
            alternate_sign=False,
            norm=None,
            analyzer=analyzer,
            ngram_range=lengths,
        )
        for analyzer, lengths in (("char_wb", CHARACTERS), ("word", WORDS))
    ]
    expected = sparse.hstack([x.transform(texts) for x in vectorizers], "csr").tocsr()
    expected.sort_indices()
    for text, row in zip(texts, expected, strict=True):
        columns, counts = count_ngrams(text)
        np.testing.assert_array_equal(columns, row.indices)
        np.testing.assert_allclose(counts, 1 + np.log(row.data))
