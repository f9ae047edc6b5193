"""Find labels of validation and test movies that the model doubts, with cleanlab; change none.

The model was not trained on these movies, so its predictions of them are out of sample, as
confident learning (Northcutt et al. 2021) needs them. requirements/labels.txt installs cleanlab.
"""

import importlib.util
import warnings
from typing import Any

from postergenres.dataset.store import Store
from postergenres.report.pages import encode, shorten_title
from postergenres.scores.metrics import mean_without_nan, roc_auc_of_genres

import numpy as np
import pandas as pd

INSTALL = "python -m pip install -r requirements/labels.txt"
SHOWN = 24  # pairs on the page, half of them of a listed genre
SHOWN_OF_GENRE = 3  # listed, and as many missing; otherwise, every missing one is Comedy or Drama
LEAST_ROC_AUC = 0.7  # macro, of the validation movies; here flags are twice as good as chance
SPLIT_NAMES = {"val": "validation movie", "test": "test movie"}


def has_cleanlab() -> bool:
    """Return whether the package of requirements/labels.txt is installed."""
    return importlib.util.find_spec("cleanlab") is not None


def describe_weakness(labels: np.ndarray, probabilities: np.ndarray) -> str:
    """Return why a model is too weak to question labels, as one line, or "".

    Labels and probabilities are (M, G), of the validation movies. With a model at its floor,
    cleanlab flags half of the listed genres, because it only compares probabilities.
    """
    score = measure_roc_auc(labels, probabilities)
    if score >= LEAST_ROC_AUC:
        return ""
    return (
        "The model is too weak to question labels: its macro ROC-AUC on the validation movies is "
        f"{score:.3f}, below {LEAST_ROC_AUC} (floor 0.5)"
    )


def measure_roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the macro ROC-AUC; its floor, 0.5, if every genre has no movie or every movie."""
    score = mean_without_nan(roc_auc_of_genres(labels, probabilities))
    return 0.5 if np.isnan(score) else score


def rank_labels(labels: np.ndarray, probabilities: np.ndarray, prior: np.ndarray) -> pd.DataFrame:
    """Return the pairs of a movie and a genre that cleanlab flags, the most doubtful first.

    Labels and probabilities are (M, G), of movies that the model was not trained on; the prior is
    (G,), of the training movies. The columns movie and genre are the row and the column of a label;
    listed is whether the movie has the genre; see `rate_labels` for label_quality.
    """
    quality = rate_labels(labels, probabilities, prior)
    movies, genres = np.nonzero(flag_labels(labels, probabilities))
    columns = {
        "movie": movies,
        "genre": genres,
        "listed": labels[movies, genres] == 1,
        "probability": probabilities[movies, genres],
        "label_quality": quality[movies, genres],
    }
    table = pd.DataFrame(columns)
    return table.sort_values("label_quality", kind="stable", ignore_index=True)


def flag_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the labels that cleanlab flags by confident learning, bool (M, G).

    A missing genre is flagged if its probability is above one half and reaches the mean probability
    of the movies that list the genre; a listed genre likewise, with 1 minus the probability. A
    genre that no movie has, or every movie, is never flagged.
    """
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    is_flagged = np.zeros(labels.shape, bool)
    mixed = np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0))
    if len(mixed):
        genres = [np.flatnonzero(row).tolist() for row in labels[:, mixed]]
        with warnings.catch_warnings():  # of genres that few movies have
            warnings.simplefilter("ignore")
            is_flagged[:, mixed] = find_multilabel_issues_per_class(
                genres, probabilities[:, mixed], filter_by="confident_learning", n_jobs=1
            )
    return is_flagged


def rate_labels(labels: np.ndarray, probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return how probable it is that each label is right, from 0 to 1: (M, G).

    For a missing genre this is cleanlab's self-confidence, 1 minus the probability. For a listed
    genre it is the probability if half of all movies had the genre, because rare genres, which have
    low probabilities on all posters, would come first otherwise.
    """
    yes, no = probabilities * (1 - prior), (1 - probabilities) * prior
    return np.where(labels == 1, yes / (yes + no), 1 - probabilities)


def choose_shown(
    table: pd.DataFrame, count: int = SHOWN, most_of_genre: int = SHOWN_OF_GENRE
) -> pd.DataFrame:
    """Choose the pairs for the page: half listed, half missing, each of another movie.

    At most `most_of_genre` listed pairs are of the same genre, and as many missing ones.
    """
    first = table.drop_duplicates("movie")
    allowed = first[first.groupby(["listed", "genre"]).cumcount() < most_of_genre]
    is_half = np.asarray(allowed.groupby("listed").cumcount() < count // 2)
    order = np.argsort(~is_half, kind="stable")  # others follow, if one half is short
    return allowed.iloc[np.sort(order[:count])]


def list_cards(
    table: pd.DataFrame, store: Store, rows: np.ndarray, titles: dict[str, str]
) -> list[dict[str, Any]]:
    """Return what the page shows of the pairs; `rows` is the row in the store of each movie."""
    cards = []
    for pair in table.to_dict("records"):
        row = rows[pair["movie"]]
        movie = store.index.iloc[row]
        card = {
            "title": shorten_title(titles.get(movie["id"]) or movie["id"]),
            "split": SPLIT_NAMES[movie["split"]],
            "genres": [store.genres[i] for i in np.flatnonzero(store.labels[row])],
            "genre": store.genres[pair["genre"]],
            "poster": encode(store.images[row]),
        }
        cards.append(pair | card)
    return cards


def describe_pairs(
    table: pd.DataFrame, store: Store, rows: np.ndarray, titles: dict[str, str]
) -> pd.DataFrame:
    """Return the pairs as doubtful_labels.csv has them; `rows` is the row of each movie."""
    movies = store.index.iloc[rows[table["movie"]]]
    return pd.DataFrame(
        {
            "id": movies["id"].to_list(),
            "title": [titles.get(movie, "") for movie in movies["id"]],
            "split": movies["split"].to_list(),
            "genre": [store.genres[genre] for genre in table["genre"]],
            "listed": np.where(table["listed"], "yes", "no"),
            "probability": table["probability"].round(4),
            "label_quality": table["label_quality"].round(4),
        }
    )
