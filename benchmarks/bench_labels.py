"""Measure how many of the labels that step 5 questions are wrong: labels are flipped on purpose.

    python -m pip install -e . -r requirements/bench.txt -r requirements/labels.txt
    python benchmarks/bench_labels.py             # the store and the model of the folder data
    python benchmarks/bench_labels.py DATA_DIR --model FOLDER

In a copy of the labels of the validation movies, which the model was not trained on, 2 % are
flipped. There are two kinds of flips:

- any: all pairs of a movie and a genre alike. Nine of ten flips add a genre, mostly a rare one, so
  that it is enough to know which genres are rare: see the floor.
- balanced: each genre is removed from as many movies as it is added to, in proportion to the movies
  that have it. No genre becomes more common, so that only the poster tells what is wrong.

If DATA_DIR/store is missing, the demonstration set is drawn and a model is trained on it.

Prints  the macro ROC-AUC of the model, on which it depends whether step 5 questions labels;
        precision and recall of cleanlab's filters; for each ranking of all labels the precision
        among the first 24, 100 and 500, and among the first 100 that are listed and that are
        missing; the same for the labels that step 5 flags, and for those on its page
Takes   about two minutes with `improved` and 2,248 validation movies on two cores
"""

import argparse
import tempfile
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.models.description import check_sample
from postergenres.models.saved import open_model, predict_probabilities
from postergenres.report import doubtful_labels
from postergenres.scores.metrics import prior_of_counts

import numpy as np
import pandas as pd
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from measuring import draw_demonstration, run_step

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder with store/ of step 3 and model/ of step 4; it is only read
SHARE = 0.02  # of the labels, flipped
SEEDS = range(5)  # of the flips
FILTERS = (
    "confident_learning",
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
)
FIRST = (24, 100, 500)  # labels of a ranking
# --------------------------------------------------------------------------------------------------


def main(data_dir=DATA_DIR, model=None, seeds=SEEDS, share=SHARE):
    """Print the tables for both kinds of flips, means over the seeds.

    Args:
        data_dir: the folder with store/.
        model: the folder of a model; None for data_dir/model.
        seeds: of the flips.
        share: of the labels, flipped.
    """
    with tempfile.TemporaryDirectory() as work:
        if not (Path(data_dir) / "store" / "store.json").is_file():
            print(f"{Path(data_dir) / 'store'} is missing: using the demonstration set")
            data_dir, model = make_demonstration(Path(work)), None
        store = open_store(data_dir)
        network, about = open_model(Path(model or Path(data_dir) / "model"))
        check_sample(about, store.samples_sha256, model)
        val = store.rows("val")
        labels = store.labels[val]
        probabilities = predict_probabilities(network, store.images, val)
        prior = prior_of_counts(store.train_counts, store.train_movies)
        roc_auc = doubtful_labels.measure_roc_auc(labels, probabilities)
        print(f"macro ROC-AUC {roc_auc:.3f}; step 5 needs {doubtful_labels.LEAST_ROC_AUC}")
        for kind in (flip_any, flip_balanced):
            filters, rankings = [], []
            for seed in seeds:
                is_flipped = kind(labels, share, np.random.default_rng(seed))
                flipped = labels ^ is_flipped
                filters += score_filters(flipped, is_flipped, probabilities)
                rankings += score_rankings(flipped, is_flipped, probabilities, prior)
            removed = (is_flipped & (labels == 1)).sum()
            added = is_flipped.sum() - removed
            print(
                f"\n{kind.__name__}: {is_flipped.sum():,} flips of {labels.size:,} labels: ", end=""
            )
            print(f"{removed:,} removed genres, {added:,} added ones, which makes ", end="")
            print(f"{added / flipped.sum():.1%} of the listed genres wrong")
            print_means(filters, "filter")
            print_means(rankings, "ranking")


def make_demonstration(folder):
    """Run steps 1 to 4 on the demonstration set; returns the data folder."""
    movies, posters = draw_demonstration(folder / "drawn")
    data = folder / "data"
    run_step("database", data_dir=data, metadata_csv=movies, poster_base=posters)
    for step in ("sampling", "preprocessing", "train"):
        run_step(step, data_dir=data)
    return data


def print_means(rows, name):
    means = pd.DataFrame(rows).groupby(name, sort=False).mean()
    print(means.to_string(float_format="{:.3f}".format), flush=True)


# --- flips: bool (N, G) ---------------------------------------------------------------------------


def flip_any(labels, share, rng):
    is_flipped = np.zeros(labels.size, bool)
    is_flipped[rng.permutation(labels.size)[: round(share * labels.size)]] = True
    return is_flipped.reshape(labels.shape)


def flip_balanced(labels, share, rng):
    is_flipped = np.zeros(labels.shape, bool)
    of_listed = share * labels.size / 2 / labels.sum()
    for genre, column in enumerate(labels.T):
        count = round(of_listed * column.sum())
        for value in (0, 1):
            is_flipped[rng.permutation(np.flatnonzero(column == value))[:count], genre] = True
    return is_flipped


# --- filters and rankings -------------------------------------------------------------------------


def list_genres(labels):
    """Return the labels as cleanlab wants them: a list of genre numbers for each movie."""
    return [np.flatnonzero(row).tolist() for row in labels]


def score_filters(flipped, is_flipped, probabilities):
    """Return a dict for each filter: how many labels it flags, precision and recall.

    Args:
        flipped: the labels, (N, G), some of them flipped.
        is_flipped: which ones, bool (N, G).
        probabilities: (N, G).
    """
    rows = []
    for name in FILTERS:
        is_flagged = find_multilabel_issues_per_class(
            list_genres(flipped), probabilities, filter_by=name, n_jobs=1
        )
        hits = (is_flagged & is_flipped).sum()
        scores = {"precision": hits / is_flagged.sum(), "recall": hits / is_flipped.sum()}
        rows.append({"filter": name, "flagged": is_flagged.sum()} | scores)
    return rows


def score_rankings(flipped, is_flipped, probabilities, prior):
    """Return a dict of precisions for each ranking.

    Args:
        flipped, is_flipped, probabilities: see `score_filters`.
        prior: (G,), the share of the training movies in each genre.
    """
    qualities = rate(flipped, probabilities, prior)
    orders = {
        name: np.argsort(quality.ravel(), kind="stable") for name, quality in qualities.items()
    }
    table = doubtful_labels.rank_labels(flipped, probabilities, prior)
    for name, part in {
        "step 5: flagged labels": table,
        "step 5: labels on the page": doubtful_labels.choose_shown(table),
    }.items():
        orders[name] = np.ravel_multi_index((part["movie"], part["genre"]), flipped.shape)
    return [
        {"ranking": name} | score_order(order, flipped.ravel() == 1, is_flipped.ravel())
        for name, order in orders.items()
    ]


def rate(flipped, probabilities, prior):
    """Return label qualities, {name: (N, G)}; the lower, the more doubtful."""
    genres = list_genres(flipped)
    qualities = {
        "chance": np.random.default_rng(0).random(flipped.shape),
        "floor: self-confidence of the prior": np.where(flipped == 1, prior, 1 - prior),
    }
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        rated = get_label_quality_scores_per_class(genres, probabilities, method=method)
        qualities[method] = np.asarray(rated)
    rated = get_label_quality_scores_per_class(genres, probabilities, adjust_pred_probs=True)
    qualities["self_confidence, adjusted"] = np.asarray(rated)
    qualities["step 5: all labels"] = doubtful_labels.rate_labels(flipped, probabilities, prior)
    return qualities


def score_order(order, is_listed, is_flipped):
    """Return the precision among the first labels of a ranking, of all and of both kinds.

    Args:
        order: numbers of labels, the most doubtful first.
        is_listed, is_flipped: (labels,).
    """
    listed, missing = order[is_listed[order]], order[~is_listed[order]]
    parts = {f"first {count}": order[:count] for count in FIRST if len(order) >= count}
    parts |= {"first 100 listed": listed[:100], "first 100 missing": missing[:100]}
    return {name: is_flipped[part].mean() for name, part in parts.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how many questioned labels are wrong.")
    parser.add_argument("data_dir", nargs="?", default=DATA_DIR)
    parser.add_argument("--model", help="the folder of a model (default: DATA_DIR/model)")
    main(**vars(parser.parse_args()))
