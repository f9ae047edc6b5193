"""Keep the features of posters in files, one for each chunk of posters, so that a run can resume.

A file is named by the checksums of its posters; checksums.json has the checksum of each file.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.files import describe_file, read_checksums, record_checksums, replacing
from postergenres.progress import show_progress

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

CHUNK = 1024  # posters per file

Chunk = tuple[Path, Any]  # the file, and a sequence or an array of its posters


@dataclass(frozen=True)
class FeatureFiles:
    """The feature files of one network."""

    folder: Path  # it is made when the first file is written
    columns: int  # features of a poster
    dtype: DTypeLike = np.float32
    chunk: int = CHUNK

    def split(self, posters: Sequence[Any] | np.ndarray, checksums: Sequence[str]) -> list[Chunk]:
        """Return (path, posters) of all files; posters are ids or rows, checksums their SHA-256."""
        chunks = []
        for start in range(0, len(posters), self.chunk):
            part = slice(start, start + self.chunk)
            key = hashlib.sha256("".join(checksums[part]).encode()).hexdigest()
            chunks.append((self.folder / f"{key[:16]}.npy", posters[part]))
        return chunks

    def list_missing(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Return the chunks whose file is missing, damaged or of another form."""
        known = read_checksums(self.folder)
        return [
            (path, posters)
            for path, posters in chunks
            if not path.is_file()
            or known.get(path.name) != describe_file(path)
            or (features := np.load(path, mmap_mode="r")).shape != (len(posters), self.columns)
            or features.dtype != self.dtype
        ]

    def fill(
        self, chunks: Sequence[Chunk], compute: Callable[[Any, tqdm], np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield the features of each chunk; compute and write those that are missing or damaged.

        Args:
            chunks: what `split` returned.
            compute: a function of the posters of a chunk and a progress bar of posters, which it
                updates; it returns the features.
        """
        missing = {path for path, _ in self.list_missing(chunks)}
        with show_progress(sum(len(posters) for _, posters in chunks), "poster") as bar:
            for path, posters in chunks:
                if path not in missing:
                    features = np.load(path, mmap_mode="r")
                    bar.update(len(posters))
                else:
                    if path.is_file():
                        print(f"note: {path} is damaged: its features are made again")
                    features = compute(posters, bar)
                    self.folder.mkdir(parents=True, exist_ok=True)
                    with replacing(path) as part:
                        np.save(part, features)
                    record_checksums(self.folder, [path.name])
                yield features
