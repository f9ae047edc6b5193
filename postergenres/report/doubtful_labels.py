"""Find labels of validation and test movies that the model doubts, with cleanlab; change none.

The model was not trained on these movies, so its predictions of them are out of sample, as
confident learning (Northcutt et al. 2021) needs them. requirements/labels.txt installs cleanlab.
"""

import importlib.util
import warnings

from postergenres.report.pages import encode
from postergenres.terminal import escape_controls

import numpy as np
import pandas as pd

INSTALL = "python -m pip install -r requirements/labels.txt"
SHOWN = 24  # pairs on the page, half of them of a listed genre
SHOWN_OF_GENRE = 3  # listed, and as many missing; otherwise, every missing one is Comedy or Drama
MOST_CHARACTERS = 100  # of a title on the page
SPLIT_NAMES = {"val": "validation movie", "test": "test movie"}


def has_cleanlab():
    """Return whether the package of requirements/labels.txt is installed."""
    return importlib.util.find_spec("cleanlab") is not None


def rank_labels(labels, probabilities, prior):
    """Return the pairs of a movie and a genre that cleanlab flags, the most doubtful first.

    Args:
        labels: 0 or 1, (M, G), of movies that the model was not trained on.
        probabilities: (M, G).
        prior: (G,), the share of the training movies in each genre.

    Returns:
        A DataFrame of movie and genre, the row and the column of the label; listed, whether the
        movie has the genre; probability; and label_quality, see `rate_labels`.
    """
    quality = rate_labels(labels, probabilities, prior)
    movies, genres = np.nonzero(flag_labels(labels, probabilities))
    table = pd.DataFrame(
        {
            "movie": movies,
            "genre": genres,
            "listed": labels[movies, genres] == 1,
            "probability": probabilities[movies, genres],
            "label_quality": quality[movies, genres],
        }
    )
    return table.sort_values("label_quality", kind="stable", ignore_index=True)


def flag_labels(labels, probabilities):
    """Return the labels that cleanlab flags by confident learning, bool (M, G).

    A missing genre is flagged if its probability is above one half and reaches the mean probability
    of the movies that list the genre; a listed genre likewise, with 1 minus the probability. A
    genre that no movie has, or every movie, is never flagged.

    Args:
        labels: 0 or 1, (M, G).
        probabilities: (M, G).
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


def rate_labels(labels, probabilities, prior):
    """Return how probable it is that each label is right, from 0 to 1: (M, G).

    For a missing genre this is cleanlab's score, the self-confidence: 1 minus the probability of
    the genre. For a listed genre it is the probability if half of all movies had the genre.
    Otherwise, rare genres, which have low probabilities on all posters, would come first.

    Args:
        labels: 0 or 1, (M, G).
        probabilities: (M, G).
        prior: (G,), the share of the training movies in each genre.
    """
    yes, no = probabilities * (1 - prior), (1 - probabilities) * prior
    return np.where(labels == 1, yes / (yes + no), 1 - probabilities)


def choose_shown(table, count=SHOWN, most_of_genre=SHOWN_OF_GENRE):
    """Choose the pairs for the page: half listed, half missing, from several genres and movies.

    Args:
        table: what `rank_labels` returned.
        count: the most pairs to choose.
        most_of_genre: the most listed pairs of a genre, and the most missing ones.

    Returns:
        The chosen rows of `table`, the most doubtful first, each of another movie.
    """
    first = table.drop_duplicates("movie")
    allowed = first[first.groupby(["listed", "genre"]).cumcount() < most_of_genre]
    halves = allowed.groupby("listed").head(count // 2)
    others = allowed.drop(index=halves.index).head(count - len(halves))  # if one half is short
    return pd.concat([halves, others]).sort_index()


def list_cards(table, store, rows, titles):
    """Return what the page shows of each pair: a list of dicts.

    Args:
        table: what `choose_shown` returned.
        store: `dataset.store.Store`.
        rows: (M,), the row in the store of each movie.
        titles: {id: title}.
    """
    cards = []
    for pair in table.itertuples():
        row = rows[pair.movie]
        movie, split = store.index.loc[row, ["id", "split"]]
        title = escape_controls(titles.get(movie) or movie)
        is_long = len(title) > MOST_CHARACTERS
        cards.append(
            {
                "title": title[: MOST_CHARACTERS - 1] + "…" if is_long else title,
                "split": SPLIT_NAMES[split],
                "genres": [store.genres[i] for i in np.flatnonzero(store.labels[row])],
                "genre": store.genres[pair.genre],
                "listed": pair.listed,
                "probability": pair.probability,
                "poster": encode(store.images[row]),
            }
        )
    return cards


def describe_pairs(table, store, rows, titles):
    """Return the pairs as doubtful_labels.csv has them.

    Args:
        table: what `rank_labels` returned.
        store, rows, titles: see `list_cards`.

    Returns:
        A DataFrame of id, title, split, genre, listed (yes or no), probability, label_quality.
    """
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
