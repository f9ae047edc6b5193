from postergenres.dataset.sampling_plot import draw_genre_counts, draw_pairs, save_sampling_plot

import numpy as np
import pandas as pd
from conftest import contents
from matplotlib.figure import Figure
from PIL import Image


def save(path, genres, **options):
    """Save the plot of movies with these genres; return its size in pixels."""
    labels = np.eye(len(genres), dtype=np.uint8).repeat(2, axis=0)
    drawn = np.arange(1, len(genres) + 1)
    counts = pd.DataFrame({"drawn": drawn, "sample": 2 * drawn}, index=genres)
    path.mkdir()
    save_sampling_plot(labels, counts, path, **options)
    with Image.open(path / "sampling.png") as picture:
        return picture.size


def test_equal_counts_give_equal_bytes(tmp_path):
    for name in ("first", "second"):
        save(tmp_path / name, ["Drama", "War"])
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_any_genre_name_can_be_drawn(tmp_path):
    assert save(tmp_path / "plot", ["Драма", "$\\frac{$"])[0] > 0


def test_only_the_most_common_genres_are_drawn(tmp_path):
    genres = [f"Genre {number}" for number in range(40)]
    size = save(tmp_path / "all", genres[:30])
    assert save(tmp_path / "most", genres) == size
    assert save(tmp_path / "few", genres, most=5) < size


def test_each_genre_has_a_bar_before_and_after():
    axes = Figure().subplots()
    counts = pd.DataFrame({"drawn": [5, 1], "sample": [15, 3]}, index=["Drama", "War"])
    draw_genre_counts(axes, counts)
    assert [bar.get_width() for bar in axes.patches] == [5, 1, 15, 3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Drama", "War"]


def test_cells_are_percentages_of_the_genre_at_the_left():
    axes = Figure().subplots()
    labels = np.array([[1, 0], [1, 0], [1, 0], [1, 1]], dtype=float)
    draw_pairs(axes, labels, ["Drama", "War"])
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(1, 0): "25", (0, 1): "100"}
