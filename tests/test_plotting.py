from postergenres import plotting
from postergenres.plotting import draw_heat_map, save_figure

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure


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


@pytest.fixture
def fonts(monkeypatch):
    """Return a function that chooses the font of Matplotlib and the ones to fall back on."""

    def choose(own, *others):
        monkeypatch.setattr(plotting, "FALLBACK_FONTS", others)
        plotting.load_fonts.cache_clear()
        return rc_context({"font.family": [own], "axes.formatter.use_mathtext": True})

    yield choose
    plotting.load_fonts.cache_clear()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Drama", "Drama"),
        ("Comédie, Драма, ✓ …", "Comédie, Драма, ✓ …"),
        ("Cost: $1", r"Cost: \$1"),
        ("动作 $", r"\u52a8\u4f5c \$"),
        ("🎬", r"\U0001f3ac"),
        ("a\nb\x1b", r"a\nb\x1b"),
    ],
)
def test_a_character_that_no_font_has_is_shown_as_its_number(fonts, name, label):
    with fonts("DejaVu Sans"):
        assert plotting.escape_label(name) == label


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["动作", "नाटक", "🎬", "دراما"])
def test_no_script_causes_a_warning(tmp_path, name):
    figure = Figure()
    plotting.draw_heat_map(figure.subplots(), np.full((1, 1), 50.0), [name], [name])
    plotting.save_figure(figure, tmp_path / "a.png", 50)


@pytest.mark.filterwarnings("error")
def test_an_installed_font_draws_what_the_set_one_lacks(fonts, tmp_path):
    contents = []
    for others in ((), ("not installed", "DejaVu Sans")):
        with fonts("cmr10", *others):
            label = plotting.escape_label("Драма")
            assert label.isascii() == (not others)
            figure = Figure()
            plotting.draw_heat_map(figure.subplots(), np.full((1, 1), 50.0), [label], [label])
            plotting.save_figure(figure, tmp_path / "a.png", 50)
            contents.append((tmp_path / "a.png").read_bytes())
    assert contents[0] != contents[1]


def test_a_figure_of_plain_text_does_not_depend_on_the_installed_fonts(fonts, tmp_path):
    contents = []
    for others in ((), ("Liberation Sans", "cmr10")):
        with fonts("DejaVu Sans", *others):
            figure = Figure()
            axes = figure.subplots()
            axes.set(title=f"{plotting.escape_label('Comédie')} ✓ – …", xlabel="genre")
            plotting.save_figure(figure, tmp_path / "a.png", 50)
            contents.append((tmp_path / "a.png").read_bytes())
    assert contents[0] == contents[1]
