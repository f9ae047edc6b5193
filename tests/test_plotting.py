import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from postergenres import plotting


@pytest.fixture
def fonts(monkeypatch):
    """Return a function that chooses the font of Matplotlib and the ones to fall back on."""

    def choose(own, *others):
        monkeypatch.setattr(plotting, "FALLBACK_FONTS", others)
        plotting.load_fonts.cache_clear()
        return rc_context({"font.family": [own]})

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
@pytest.mark.parametrize("name", ["动作", "ดราม่า", "드라마", "नाटक", "🎬", "a\nb\x1b\t", "دراما"])
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
