"""Compare rules that decide which genres to predict, on the validation movies.

    python benchmarks/compare_decisions.py DATA_DIR MODEL_FOLDER

MODEL_FOLDER holds the model, DATA_DIR the posters and the store of steps 1 and 3. The rules are the
highest expected F1, as in predict.py; the thresholds of each F1, which are chosen on one half of
the validation movies and used on the other; and the k most probable genres. Takes two minutes with
efficientnet_lite2 on 2,248 posters.
"""

import argparse
from pathlib import Path
from typing import Any

from postergenres import load_model
from postergenres.dataset.store import open_store
from postergenres.download.manifest import poster_path
from postergenres.scores.expected_f1 import choose_genres
from postergenres.scores.metrics import choose_thresholds, f1_of_movies

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

MOST = 3  # the largest k


def main(data_dir: Path, folder: Path) -> None:
    """Print the F1 scores and the number of predicted genres of each rule.

    Args:
        data_dir: the folder of the posters and the store.
        folder: of the model.
    """
    store = open_store(data_dir)
    rows = store.rows("val")
    labels, probabilities = (
        store.labels[rows],
        predict(data_dir, folder, list(store.index["id"].iloc[rows])),
    )
    rules = {"expected F1": choose_genres(probabilities)}
    for name, predicted in apply_thresholds(labels, probabilities).items():
        rules[f"thresholds of {name} F1"] = predicted
    order = np.argsort(-probabilities, axis=1, kind="stable")
    for k in range(1, MOST + 1):
        rules[f"the {k} most probable"] = np.argsort(order, axis=1) < k
    table = pd.DataFrame({name: score(labels, rule) for name, rule in rules.items()}).T
    print(f"{len(rows):,} validation movies with {labels.sum(axis=1).mean():.2f} genres each")
    print(table.to_string(float_format="{:.3f}".format))


def predict(data_dir: Path, folder: Path, movies: list[str]) -> np.ndarray:
    """Return the probabilities of movies, (N, G)."""
    model = load_model(folder, words=False)
    table = model.predict(poster_path(data_dir, movie) for movie in movies)
    return table[model.genres].to_numpy()


def apply_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Return {name of an F1: predicted genres, (N, G)}, by thresholds of the other half."""
    is_first = np.random.default_rng(0).permutation(len(labels)) < len(labels) // 2
    predicted = {name: np.zeros(labels.shape, bool) for name in ("macro", "micro", "samples")}
    for half in (is_first, ~is_first):
        thresholds = choose_thresholds(labels[half], probabilities[half])
        for name, threshold in zip(("macro", "micro", "samples"), thresholds, strict=True):
            predicted[name][~half] = probabilities[~half] >= threshold
    return predicted


def score(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return the F1 scores of predicted genres, (N, G), and how many there are."""
    counts = predicted.sum(axis=1)
    return {
        "samples F1": f1_of_movies(labels, predicted).mean(),
        "micro F1": f1_score(labels.ravel(), predicted.ravel()),
        "macro F1": f1_score(labels, predicted, average="macro", zero_division=0),  # pyright: ignore
        "genres": counts.mean(),
        "without a genre": (counts == 0).mean(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Compare rules that decide which genres to predict."
    )
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("folder", metavar="MODEL_FOLDER", type=Path)
    arguments = parser.parse_args()
    main(arguments.data_dir, arguments.folder)
