"""Keep the features of posters in files, one for each chunk of posters, so that a run can resume.

A file is named by the checksums of its posters, and a file beside it has its own checksum.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.old_files import discard_leftovers, file_sha256, replacing
from postergenres.progress import show_progress

import numpy as np

CHUNK = 1024  # posters per file


@dataclass(frozen=True)
class FeatureFiles:
    """The feature files of one network.

    Attributes:
        folder: of the files; it is made when the first file is written.
        columns: number of features of a poster.
        dtype: of the features.
        chunk: posters per file.
    """

    folder: Path
    columns: int
    dtype: Any = np.float32
    chunk: int = CHUNK

    def split(self, posters, checksums):
        """Return a list of (path, posters) of all files, in the order of the posters.

        Args:
            posters: sequence of ids or row numbers.
            checksums: sequence of the SHA-256 of each poster, strings.
        """
        chunks = []
        for start in range(0, len(posters), self.chunk):
            part = slice(start, start + self.chunk)
            key = hashlib.sha256("".join(checksums[part]).encode()).hexdigest()
            chunks.append((self.folder / f"{key[:16]}.npy", posters[part]))
        return chunks

    def list_missing(self, chunks):
        """Return those of the chunks whose file is missing or damaged."""
        return [(path, posters) for path, posters in chunks if not has_checksum(path)]

    def fill(self, chunks, compute):
        """Yield the features of each chunk; compute and write those that are missing or damaged.

        Args:
            chunks: what `split` returned.
            compute: a function of the posters of a chunk and a progress bar of posters, which it
                updates; it returns the features.

        Yields:
            (posters of the chunk, columns), memory-mapped if the chunk was read.
        """
        unverified = []
        with show_progress(sum(len(posters) for _, posters in chunks), "poster") as bar:
            for path, posters in chunks:
                features, is_verified = self.read(path, len(posters))
                if features is None:
                    features = compute(posters, bar)
                    self.folder.mkdir(parents=True, exist_ok=True)
                    write_features(path, features)
                else:
                    bar.update(len(posters))
                    unverified += [path] * (not is_verified)
                yield features
        if unverified:
            for path in unverified:
                checksum_path(path).write_text(file_sha256(path))
            print(
                f"note: {len(unverified)} feature files in {self.folder} were written by an older "
                "version, without checksums; they are used, and have checksums from now on"
            )

    def read(self, path, posters):
        """Return the features in a file, and whether their checksum was verified.

        Args:
            path: of the file.
            posters: the number of posters that it must have.

        Returns:
            Memory-mapped features (posters, columns) and True; False if an older version wrote the
            file, without a checksum; None and False if the file is missing or damaged.
        """
        if not path.is_file():
            return None, False
        is_verified = has_checksum(path)
        features = None
        if is_verified or not checksum_path(path).is_file():
            with suppress(ValueError, EOFError):  # cut short
                features = np.load(path, mmap_mode="r")
        if (
            features is None
            or features.shape != (posters, self.columns)
            or features.dtype != self.dtype
            or not np.isfinite(features).all()
        ):
            print(f"note: {path} is damaged: its features are made again")
            return None, False
        return features, is_verified


def has_checksum(path):
    """Return whether a feature file is there and has the content that its checksum says."""
    if not (path.is_file() and checksum_path(path).is_file()):
        return False
    return checksum_path(path).read_bytes() == file_sha256(path).encode()


def write_features(path, features):
    """Write a feature file and its checksum, which is there before the file gets its name."""
    discard_leftovers([path, checksum_path(path)])
    with replacing(path) as part:
        np.save(part, features)
        with replacing(checksum_path(path)) as checksum:
            checksum.write_text(file_sha256(part))


def checksum_path(path):
    """Return the path of the SHA-256 of a feature file."""
    return path.with_suffix(".sha256")
