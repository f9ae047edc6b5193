"""Count the n-grams of texts, as scikit-learn's HashingVectorizer does.

A model is fitted with scikit-learn, but predicts without it: importing it takes longer than reading
a poster.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

HASHES = 2**18  # columns of each kind of n-gram
CHARACTERS, WORDS = (2, 5), (1, 2)  # shortest and longest n-gram


def count_ngrams(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the n-grams of a text, sorted, and 1 + log(count) of each.

    The first HASHES columns are of n-grams of characters, the others of n-grams of words.
    """
    text = normalize(text)
    columns = hash_texts(split_characters(text)), HASHES + hash_texts(split_words(text))
    columns, counts = np.unique(np.concatenate(columns), return_counts=True)
    return columns, 1 + np.log(counts)


def normalize(text: str) -> str:
    """Return a text in lower case and without accents."""
    letters = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def split_characters(text: str) -> list[str]:
    """Return the n-grams of characters within words, whose ends count as blanks."""
    shortest, longest = CHARACTERS
    padded = [f" {word} " for word in text.split()]
    return [
        word[start : start + length]
        for word in padded
        for length in range(shortest, min(longest, len(word)) + 1)
        for start in range(len(word) - length + 1)
    ]


def find_words(text: str) -> list[str]:
    """Return the words of at least two letters or digits."""
    return re.findall(r"\b\w\w+\b", text)


def split_words(text: str) -> list[str]:
    """Return words, and sequences of words."""
    words = find_words(text)
    shortest, longest = WORDS
    return [
        " ".join(words[start : start + length])
        for length in range(shortest, longest + 1)
        for start in range(len(words) - length + 1)
    ]


def hash_texts(texts: Sequence[str]) -> np.ndarray:
    """Return the columns of n-grams, from 0 to HASHES - 1: MurmurHash3 of 32 bits with seed 0.

    Source: Appleby 2011, MurmurHash3_x86_32, https://github.com/aappleby/smhasher
    """
    bodies = [text.encode() for text in texts]
    lengths = np.array([len(body) for body in bodies], np.uint32)
    width = -(-int(lengths.max(initial=1)) // 4)  # in blocks of four bytes, filled up with zeros
    blocks = np.array(bodies, f"S{4 * width}").view("<u4").reshape(len(bodies), width)
    hashes = np.zeros(len(bodies), np.uint32)
    for end, block in enumerate(blocks.T, start=1):
        hashes ^= rotate(block * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        mixed = rotate(hashes, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        hashes = np.where(lengths >= 4 * end, mixed, hashes)
    hashes ^= lengths
    hashes = (hashes ^ hashes >> 16) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ hashes >> 13) * np.uint32(0xC2B2AE35)
    hashes ^= hashes >> 16
    return np.abs(hashes.view(np.int32).astype(np.int64)) % HASHES


def rotate(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Rotate numbers of 32 bits to the left."""
    return numbers << bits | numbers >> (32 - bits)
