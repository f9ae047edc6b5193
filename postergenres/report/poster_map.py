"""Draw a map of the test posters: a point for each, near those that the network sees as alike."""

from pathlib import Path
from typing import Any

from postergenres.plotting import escape_label, save_figure

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

MOST_POINTS = 5000  # t-SNE takes 9 s for 2,248 posters
FEWEST_POSTERS = 10  # that differ; t-SNE has no use for fewer
COMPONENTS = 50  # of the features, which t-SNE gets
ITERATIONS = 500  # of t-SNE; with 1,000 the neighbors agree no better
PERPLEXITY = 30  # about the number of neighbors that t-SNE tries to keep
COLUMNS = 4  # small maps in a row
NEIGHBORS = 10  # of a poster, whose genres are compared
OTHER = -1  # the group of movies that have none of the genres that are shown
# The colors of Okabe and Ito, each with a shape, for up to eight genres, the commonest first: the
# rarer a genre, the more its points stand out.
COLORS = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#D55E00", "#009E73", "#0072B2", "#000000")
STYLES = tuple(zip(COLORS, "osv*P^DX", strict=True))
OTHER_STYLE = ("#B8B8B8", ".")


def draw_mapped(count: int, most: int = MOST_POINTS, seed: int = 0) -> np.ndarray:
    """Return which of `count` movies are on the map, bool (count,): all, or some at random."""
    is_mapped = np.zeros(count, bool)
    is_mapped[np.random.default_rng(seed).permutation(count)[:most]] = True
    return is_mapped


def project(features: np.ndarray) -> np.ndarray | None:
    """Return the places of posters on a map, (N, 2), by t-SNE (van der Maaten and Hinton 2008).

    Features, (N, F), are scaled to unit length, so that near means a small angle. One thread is
    used, because several add up in another order in every run. Return None if fewer than
    FEWEST_POSTERS posters differ.
    """
    directions = np.asarray(normalize(features.astype(np.float64)))
    if len(np.unique(directions, axis=0)) < FEWEST_POSTERS:
        return None
    with threadpool_limits(1):
        components = min(COMPONENTS, *directions.shape)
        # This solver takes no random numbers.
        reduced = PCA(components, svd_solver="covariance_eigh").fit_transform(directions)
        perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, max_iter=ITERATIONS, init="pca", random_state=0)
        return tsne.fit_transform(reduced).astype(np.float64)


def choose_map_genres(per_genre: pd.DataFrame) -> np.ndarray:
    """Return the numbers of up to eight genres that the network sees best, the commonest first."""
    gains = np.nan_to_num(per_genre["score"] - per_genre["floor"], nan=-np.inf)
    best = np.argsort(-gains, kind="stable")[: len(STYLES)]
    best = best[np.isfinite(gains[best])]
    return best[np.argsort(-per_genre["movies"].to_numpy()[best], kind="stable")]


def find_main_genres(labels: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the main genre of each movie, (N,): the rarest of its genres that are shown, or OTHER.

    Labels are (N, G); `shown` is what `choose_map_genres` returned.
    """
    main = np.full(len(labels), OTHER)
    for genre in shown:
        main[labels[:, genre] == 1] = genre
    return main


def measure_agreement(places: np.ndarray, main: np.ndarray) -> tuple[float, float]:
    """Return how often near posters have the same main genre, and any other posters, the floor.

    Places are (N, 2), and main genres (N,). Posters without a main genre are not counted.
    """
    count = min(NEIGHBORS, len(places) - 1)
    near = NearestNeighbors(n_neighbors=count).fit(places).kneighbors(return_distance=False)
    has_main = main != OTHER
    if not has_main.any():
        return 0.0, 0.0
    same = [(main == genre).sum() - 1 for genre in main[has_main]]
    near_same = (main[near] == main[:, None])[has_main]
    return float(near_same.mean()), float(np.mean(same) / (len(main) - 1))


def save_poster_map(
    places: np.ndarray, labels: np.ndarray, shown: np.ndarray, genres: list[str], path: Path
) -> None:
    """Draw the map, and below it a small map for each genre with all movies that have it.

    `places` is what `project` returned; `shown` is what `choose_map_genres` returned.
    """
    main = find_main_genres(labels, shown)
    size = float(np.clip(60_000 / len(places), 12, 60))  # of a point, in square points
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(9, 8 + 2.4 * rows), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(8, 2.4 * rows))
    large, small = halves
    axes = large.subplots()
    others = places[main == OTHER]
    if len(others):
        draw_points(axes, others, OTHER_STYLE, size, label=f"other ({len(others):,})")
    for genre, style in zip(shown, STYLES, strict=False):
        points = places[main == genre]
        label = f"{shorten(genres[genre])} ({len(points):,})"
        draw_points(axes, points, style, size, label=label)
    large.legend(loc="outside lower center", ncols=5, frameon=False, labelspacing=0.8)
    grid = small.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.ravel()[len(shown) :]:
        axes.remove()
    for genre, axes, style in zip(shown, grid.ravel(), STYLES, strict=False):
        has_it = labels[:, genre] == 1
        draw_points(axes, places[~has_it], OTHER_STYLE, size / 6)
        draw_points(axes, places[has_it], style, size / 3)
        axes.set_title(f"{shorten(genres[genre])}, all {has_it.sum():,}", fontsize=9)
    near, floor = measure_agreement(places, main)
    figure.suptitle(
        f"{len(places):,} test posters; near posters look alike to the network. "
        f"Of the {NEIGHBORS} nearest, {100 * near:.0f} % have\nthe same main genre "
        f"(floor: {100 * floor:.0f} % of all posters). The main genre is the rarest of "
        "a movie's genres in the legend.",
        fontsize=10,
    )
    save_figure(figure, path, dpi=110)


def shorten(genre: str, most: int = 20) -> str:
    """Return the name of a genre as a label of at most `most` characters."""
    label = escape_label(genre)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def draw_points(
    axes: Axes, places: np.ndarray, style: tuple[str, str], size: float, label: str | None = None
) -> None:
    """Draw points without ticks; stars and crosses are larger, because they look smaller."""
    color, marker = style
    axes.scatter(
        *places.T,
        s=1.6 * size if marker in "*PX" else size,
        c=color,
        label=label,
        marker=marker,
        edgecolors="none" if marker == "." else "black",
        linewidths=0.3,
    )
    axes.set(xticks=[], yticks=[])
