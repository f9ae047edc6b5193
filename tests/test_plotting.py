import numpy as np
import pytest
from matplotlib.figure import Figure

from postergenres.plotting import draw_heat_map, escape_label, save_figure


def test_a_dollar_sign_is_shown_literally():
    assert escape_label("Cost: $1 or $2") == r"Cost: \$1 or \$2"
    assert escape_label("Film-Noir") == "Film-Noir"


def test_equal_figures_give_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        figure = Figure()
        figure.subplots().plot([1, 2])
        save_figure(figure, tmp_path / name, dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Matplotlib" not in (tmp_path / "a.png").read_bytes()


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    figure = Figure()
    figure.text(0, 0, "$\\nonsense$")
    with pytest.raises(ValueError, match="nonsense"):
        save_figure(figure, path, dpi=50)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_heat_map_has_a_number_in_each_cell_of_at_least_half_a_percent():
    axes = Figure().subplots()
    percentages = np.array([[100, 0.2, 49.6], [np.nan, 12, 0.5]])
    draw_heat_map(axes, percentages, ["Action", "$1"], ["a", "b", "c"])
    texts = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert texts == {
        (0, 0): ("100", "white"),
        (2, 0): ("50", "black"),
        (1, 1): ("12", "black"),
        (2, 1): ("0", "black"),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Action", r"\$1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
