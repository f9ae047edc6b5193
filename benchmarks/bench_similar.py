"""Check whether posters that a network finds similar share genres, and time the exact search.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_similar.py                       # the store in data/
    python benchmarks/bench_similar.py DATA_DIR improved     # another store and pretrained model

For each movie: the mean Jaccard index of its genres with those of the five nearest training movies,
and with those of five random ones; on the validation movies also for features whose mean over the
training movies is subtracted, the alternative to the search of `predict.py`. Brackets give the 95 %
bootstrap interval over movies. Then the seconds of one exact search on one core, of one query and
of 64, among random features of the same width in float16, memory-mapped.

The features of the store are computed first if predict.py has not done it: one to two minutes for
15,000 posters and `improved`, ten for `efficientnet_lite2`. The rest takes about a minute.
"""

import sys
import tempfile
import time
from pathlib import Path

from postergenres import load_model
from postergenres.dataset.feature_files import CHUNK
from postergenres.report.similar import open_similar, search

import numpy as np
from measuring import format_range
from numpy.lib.format import open_memmap
from threadpoolctl import threadpool_limits

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # with store/
MODEL = "improved"  # folder of postergenres/pretrained/
COUNT = 5  # training movies per poster
RESAMPLES = 1000  # of the bootstrap
SIZES = (45_000, 1_000_000)  # random movies to search among
QUERIES = (1, 64)  # posters per search
TURNS = 3  # of each search
# --------------------------------------------------------------------------------------------------


def main(data_dir=DATA_DIR, model=MODEL):
    """Print the shared genres and the times.

    Args:
        data_dir: the data folder.
        model: name of a pretrained model.
    """
    movies = open_similar(Path(data_dir), load_model(model, words=False))
    if movies is None:
        sys.exit(f"{data_dir} has no usable store. Run: python preprocessing.py")
    features = np.concatenate([np.load(path) for path, _ in movies.chunks]).astype(np.float32)
    rng = np.random.default_rng(0)
    print(f"{model}: mean Jaccard index of the genres of each movie with those of {COUNT}")
    for split in ("val", "test"):
        compare_genres(movies, features, split, rng)
    for size in SIZES:
        time_search(size, features.shape[1], rng)


def compare_genres(movies, features, split, rng):
    """Print the shared genres with the nearest and with random training movies.

    Args:
        movies: `similar.SimilarMovies`.
        features: (N, F), of all posters of the store.
        split: "val" or "test".
        rng: `numpy.random.Generator`.
    """
    train, rows = movies.store.rows("train"), movies.store.rows(split)
    nearest, _ = search(features[rows], movies.read_train_features(), COUNT)
    found = {
        "nearest training movies": nearest,
        "random training movies": rng.choice(train, (len(rows), COUNT)),
    }
    if split == "val":
        centered = features - features[train].mean(axis=0)
        blocks = [(train, centered[train])]
        found["nearest, mean subtracted"], _ = search(centered[rows], blocks, COUNT)
    scores = {name: share_genres(movies.store.labels, rows, x) for name, x in found.items()}
    print(f"  {len(rows):,} {split} movies")
    for name, score in scores.items():
        print(f"    {name}: {describe_mean(score, rng)}")
    first, *others = scores
    for name in others:
        difference = describe_mean(scores[first] - scores[name], rng)
        print(f"    {first} minus {name}: {difference}", flush=True)


def share_genres(labels, rows, others):
    """Return the mean Jaccard index of each movie with some others, (M,).

    Args:
        labels: (N, G) of 0 and 1; every movie has a genre.
        rows: row numbers (M,).
        others: row numbers (M, K).
    """
    own, others = labels[rows, None], labels[others]
    return ((own & others).sum(axis=-1) / (own | others).sum(axis=-1)).mean(axis=-1)


def describe_mean(values, rng):
    """Return a mean and its 95 % bootstrap interval over movies as text."""
    resamples = [rng.choice(values, len(values)).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(resamples, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def time_search(size, width, rng):
    """Print the seconds of exact searches among random features."""
    with tempfile.TemporaryDirectory() as work, threadpool_limits(1):
        array = open_memmap(Path(work) / "x.npy", "w+", np.float16, (size, width))
        for start in range(0, size, CHUNK):
            block = array[start : start + CHUNK]
            block[:] = rng.standard_normal(block.shape, np.float32)
        for count in QUERIES:
            queries, seconds = rng.standard_normal((count, width), np.float32), []
            for _ in range(TURNS):
                blocks = (
                    (np.arange(start, min(start + CHUNK, size)), array[start : start + CHUNK])
                    for start in range(0, size, CHUNK)
                )
                begin = time.perf_counter()
                search(queries, blocks, COUNT)
                seconds.append(time.perf_counter() - begin)
            print(
                f"{size:,} movies of {width} features, posters at a time: {count}; "
                f"{format_range(seconds, 3)} s",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:3])
