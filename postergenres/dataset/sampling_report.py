"""What step 2 prints, the line that it ends with if too little is left, and sampling.png."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from postergenres.dataset.duplicates import list_groups
from postergenres.dataset.genres import Dropped, Wanted
from postergenres.dataset.imbalance import Summary
from postergenres.dataset.samples import FEWEST, SPLITS
from postergenres.dataset.stratification import MIN_MOVIES, Split, share_errors
from postergenres.download.manifest import PLACEHOLDER
from postergenres.plotting import draw_heat_map, escape_label, save_figure
from postergenres.step import add_data_dir
from postergenres.terminal import escape_controls

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GENRES = 30  # of the plot; labels of more would be too small to read
MOST_MISSING = 0.02  # of the posters; with more, a folder was probably moved or deleted
TOO_FEW = {  # what is true of the dropped movies, and what to do
    "excluded": (
        "have a genre of EXCLUDED_GENRES",
        "Edit EXCLUDED_GENRES in sampling.py, then run: python sampling.py",
    ),
    "empty": (
        "have no genre",
        "Set METADATA_CSV in database.py to a CSV with genres, then run: python database.py",
    ),
    "rare": (
        "have only genres of fewer than MIN_GENRE_MOVIES movies",
        "Lower MIN_GENRE_MOVIES in sampling.py, then run: python sampling.py",
    ),
}


def report_posters(downloaded: pd.DataFrame, usable: pd.DataFrame, data_dir: Path) -> None:
    """Print how many posters are missing, and how many are placeholders, which are not usable.

    Raises:
        SystemExit: more than MOST_MISSING of the posters cannot be read.
    """
    missing = sum(poster.digest is None for poster in downloaded.poster)
    if missing > MOST_MISSING * len(downloaded):
        sys.exit(
            f"{missing:,} of {len(downloaded):,} posters are missing in {data_dir / 'posters'}. "
            "To download them again, run: python database.py"
        )
    if missing:
        line = f"{missing:,} posters are missing. To download them again, run: python database.py"
        print(add_data_dir(line, data_dir))
    if placeholders := len(downloaded) - len(usable):
        print(
            f"left out {placeholders:,} movies whose poster is that of {PLACEHOLDER} movies or "
            "more, so it is no poster of any of them"
        )


def report_genres(dropped: Dropped, left: int, wanted: Wanted) -> None:
    """Print how many movies and genres were dropped, and why; exit if too few are left."""
    excluded = " or ".join(wanted.excluded_genres) or "nothing"
    rare = [f"{escape_controls(genre)} ({n})" for genre, n in dropped.rare_genres.items()]
    print(
        f"dropped {dropped.excluded:,} movies marked {excluded}\n"
        f"dropped {dropped.empty:,} movies without a genre\n"
        f"genres with fewer than {wanted.min_genre_movies} movies, left out: "
        f"{', '.join(rare) or 'none'}\n"
        f"dropped {dropped.rare:,} movies that have only left-out genres"
    )
    if left < FEWEST:
        sys.exit(explain_too_few(dropped, left))


def explain_too_few(dropped: Dropped, left: int) -> str:
    """Return one line that names the main reason why too few movies remain, and what to edit."""
    counts = {name: getattr(dropped, name) for name in TOO_FEW}
    total = left + sum(counts.values())
    if total < FEWEST:
        return (
            f"Only {total} movies have a poster, too few. Set LIMIT to None or METADATA_CSV to a "
            "larger CSV in database.py, then run: python database.py"
        )
    reason = max(TOO_FEW, key=lambda name: counts[name])
    what, advice = TOO_FEW[reason]
    return f"Only {left} movies are left, too few: {counts[reason]:,} of {total:,} {what}. {advice}"


def report_split(
    movies: pd.DataFrame, labels: np.ndarray, groups: np.ndarray, split: Split
) -> None:
    """Print which posters are the same, and how far the genres are off their share of each split.

    Raises:
        SystemExit: a split is empty.
    """
    alike = list_groups(movies.title, groups)
    where = f", in {len(alike):,} groups; each group stays in one split" if alike else ""
    print(f"{sum(map(len, alike)):,} posters are the same as another or nearly so{where}")
    for titles in alike[:5]:
        shown = " = ".join(map(escape_controls, titles[:4]))
        print(f"  {shown}{' = ...' if len(titles) > 4 else ''}")
    if missing := [name for name in SPLITS if name not in set(movies.split)]:
        sys.exit(
            f"No movie is left for {' and '.join(missing)}: there are too few movies "
            f"({len(labels):,}, in {len(np.unique(groups)):,} groups of like posters), or a share "
            "is too small. Take more movies, lower NEAR_DUPLICATE, or change VAL_SHARE and "
            "TEST_SHARE in sampling.py, then run: python sampling.py"
        )
    errors = share_errors(labels, movies.split.to_numpy(), split.shares)
    if not np.isnan(errors).all():
        print(
            f"each genre of {MIN_MOVIES} movies or more has its share of each split, "
            f"at most {np.nanmax(errors):.1%} off"
        )


def report_train_only(usable: pd.DataFrame, cleaned: pd.DataFrame, movies: pd.DataFrame) -> None:
    """Print how many train-only movies were dropped, and why; nothing if there were none."""
    total, left, added = usable.train_only.sum(), len(cleaned), movies.train_only.sum()
    if total:
        print(
            f"dropped {total - left:,} train-only movies with an excluded genre, or without any of "
            "the genres of the other movies\n"
            f"left out {left - added:,} train-only movies with the poster of a validation or test "
            f"movie, or nearly; {added:,} are left"
        )


def report_sample(summary: Summary, drawn: np.ndarray, copies: np.ndarray) -> None:
    """Print the genre counts and the measures of imbalance.

    `drawn` and `copies` are (training movies,), copies before oversampling and after.
    """
    counts = summary.counts.sort_values("movies", ascending=False, kind="stable")
    if "train_only" in counts:
        print("train-only movies count in train_only, drawn and sample, not in movies and train")
    print("movies of each genre; IRLbl is the count of the most common genre over the genre's own:")
    print(counts.rename(index=escape_controls).to_string(float_format="{:.1f}".format))
    others = ", the train-only movies" if "train_only" in counts else ""
    print(f"all training movies{others}, the drawn movies, and the sample after oversampling:")
    print(summary.measures.to_string(float_format="{:.3f}".format))
    added = copies[drawn == 0].astype(bool).sum()
    repeats = (copies - 1).clip(min=0).sum()
    print(f"oversampling added {added:,} movies that were not drawn, and {repeats:,} repeats")


# --- sampling.png ---------------------------------------------------------------------------------


def save_sampling_plot(labels: np.ndarray, counts: pd.DataFrame, data_dir: Path) -> None:
    """Write sampling.png: the counts of the most common genres, and which occur together."""
    from matplotlib.figure import Figure  # here: importing it takes a second

    order = np.argsort(-labels.sum(axis=0, dtype=int), kind="stable")[:MOST_GENRES]
    height = 2.2 + 0.3 * len(order)
    figure = Figure(figsize=(6.5 + 1.4 * height, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.4 * height))
    draw_genre_counts(left, counts.iloc[order])
    draw_pairs(right, labels[:, order].astype(float), list(counts.index[order]))
    save_figure(figure, data_dir / "sampling.png", dpi=120)


def draw_genre_counts(axes: "Axes", counts: pd.DataFrame) -> None:
    """Draw two bars per genre, as drawn and after oversampling."""
    rows = np.arange(len(counts))
    axes.barh(rows - 0.2, counts["drawn"], 0.4, color="0.65", label="as drawn")
    axes.barh(rows + 0.2, counts["sample"], 0.4, color="C0", label="after oversampling")
    axes.set_yticks(rows, [escape_label(genre) for genre in counts.index])
    axes.invert_yaxis()
    axes.set(title="Movies of each genre to train on", xlabel="movies, copies counted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")


def draw_pairs(axes: "Axes", labels: np.ndarray, genres: list[str]) -> None:
    """Draw how often each genre occurs together with each other genre; labels are floats."""
    percentages = 100 * (labels.T @ labels) / labels.sum(axis=0)[:, None]
    np.fill_diagonal(percentages, np.nan)
    draw_heat_map(axes, percentages, genres, genres)
    axes.set_title(
        "Genres that occur together: of 100 movies of the genre\n"
        "at the left, so many are also of the genre below"
    )
