from postergenres.dataset.duplicates import PosterHash
from postergenres.dataset.genres import Dropped, Wanted, clean_genres
from postergenres.dataset.imbalance import summarize_samples
from postergenres.dataset.sampling_report import (
    draw_genre_counts,
    draw_pairs,
    report_genres,
    report_posters,
    report_sample,
    report_split,
    report_train_only,
    save_sampling_plot,
)
from postergenres.dataset.stratification import Split

import numpy as np
import pandas as pd
import pytest
from conftest import contents
from matplotlib.figure import Figure
from PIL import Image


@pytest.mark.parametrize(("missing", "is_refused"), [(2, False), (3, True), (100, True)])
def test_more_than_two_percent_of_missing_posters_are_refused(
    tmp_path, capsys, missing, is_refused
):
    posters = [PosterHash()] * missing + [PosterHash(b"x")] * (100 - missing)
    movies = pd.DataFrame({"poster": posters})
    if is_refused:
        message = f"^{missing} of 100 posters are missing in .*posters. .*run: python database.py$"
        with pytest.raises(SystemExit, match=message):
            report_posters(movies, movies, tmp_path)
        return
    report_posters(movies, movies[:-12], tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "2 posters are missing. To download them again, run: python database.py "
        f"--data-dir {tmp_path}",
        "left out 12 movies whose poster is that of 10 movies or more, so it is no poster of any "
        "of them",
    ]


def test_what_was_dropped_is_printed_with_the_reason(capsys):
    report_genres(Dropped(4, 2, 3, {"News": 6, "Talk": 1}), 52, Wanted(("TV Movie", "Foreign"), 10))
    assert capsys.readouterr().out.splitlines() == [
        "dropped 4 movies marked TV Movie or Foreign",
        "dropped 2 movies without a genre",
        "genres with fewer than 10 movies, left out: News (6), Talk (1)",
        "dropped 3 movies that have only left-out genres",
    ]


TOO_FEW = {
    "excluded": (
        ["Foreign"] * 30 + ["News", "", ""],
        "Only 0 movies are left, too few: 30 of 33 have a genre of EXCLUDED_GENRES. "
        "Edit EXCLUDED_GENRES in sampling.py, then run: python sampling.py",
    ),
    "empty": (
        [""] * 30 + ["Drama"] * 9 + ["Foreign"],
        "Only 9 movies are left, too few: 30 of 40 have no genre. "
        "Set METADATA_CSV in database.py to a CSV with genres, then run: python database.py",
    ),
    "rare": (
        ["Drama", "War"] * 2 + ["News"] * 8 + ["Foreign"],
        "Only 8 movies are left, too few: 4 of 13 have only genres of fewer than "
        "MIN_GENRE_MOVIES movies. "
        "Lower MIN_GENRE_MOVIES in sampling.py, then run: python sampling.py",
    ),
    "few": (
        ["Drama"] * 9,
        "Only 9 movies have a poster, too few. Set LIMIT to None or METADATA_CSV to a larger CSV "
        "in database.py, then run: python database.py",
    ),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_few_movies_stop_the_step_with_the_reason_and_the_setting(case):
    cells, message = TOO_FEW[case]
    with pytest.raises(SystemExit) as end:
        movies, dropped = clean_genres(pd.DataFrame({"genres": cells}), Wanted(("Foreign",), 3))
        report_genres(dropped, len(movies), Wanted(("Foreign",), 3))
    assert end.value.code == message


SPLIT = Split(0.15, 0.15, 0)


def test_titles_of_equal_posters_and_the_error_of_the_split_are_printed(capsys):
    movies = pd.DataFrame({"split": ["train"] * 73 + ["val"] * 15 + ["test"] * 12})
    movies["title"] = [*"ABCDE", "F\x1b", "G", *range(93)]
    groups = np.array([0] * 5 + [1] * 2 + list(range(2, 95)))
    report_split(movies, np.ones((100, 1)), groups, SPLIT)
    assert capsys.readouterr().out.splitlines() == [
        "7 posters are the same as another or nearly so, in 2 groups; each group stays in one "
        "split",
        "  A = B = C = D = ...",
        "  F\\x1b = G",
        "each genre of 20 movies or more has its share of each split, at most 20.0% off",
    ]
    report_split(movies, np.ones((100, 1)), np.arange(100), SPLIT)
    assert "0 posters are the same as another or nearly so\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "missing"), [(["train"], "val and test"), (["val", "test"], "train")]
)
def test_an_empty_split_is_refused_in_one_line(names, missing):
    movies = pd.DataFrame({"split": names * 10, "title": "x"})
    with pytest.raises(SystemExit) as end:
        report_split(movies, np.ones((len(movies), 1)), np.arange(len(movies)) % 3, SPLIT)
    line = end.value.code
    assert line.startswith(f"No movie is left for {missing}: there are too few movies (")
    assert "in 3 groups" in line and line.endswith(", then run: python sampling.py")


def test_train_only_movies_are_printed_if_there_are_any(capsys):
    movies = pd.DataFrame({"train_only": [False] * 9 + [True] * 6})
    report_train_only(movies[:9], movies[:0], movies[:9])
    assert capsys.readouterr().out == ""
    report_train_only(movies, movies[11:], movies[:12])
    assert capsys.readouterr().out.splitlines() == [
        "dropped 2 train-only movies with an excluded genre, or without any of the genres of the "
        "other movies",
        "left out 1 train-only movies with the poster of a validation or test movie, or nearly; "
        "3 are left",
    ]


@pytest.mark.parametrize("train_only", [False, True])
def test_the_summary_counts_added_movies_and_repeats(capsys, train_only):
    labels = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [1, 1]], dtype=np.uint8)
    movies = pd.DataFrame({"split": ["train", "train", "train", "val", "test"]})
    movies["train_only"] = [False, train_only, False, False, False]
    drawn, copies = np.array([1, 0, 1]), np.array([3, 1, 1])
    summary = summarize_samples(movies, labels, ["A", "B"], drawn=drawn, copies=copies)
    report_sample(summary, drawn, copies)
    out = capsys.readouterr().out
    assert "IRLbl sample" in out and "MeanIR" in out and "SCUMBLE" in out
    assert ("train-only movies count in train_only" in out) == train_only
    assert out.endswith("oversampling added 1 movies that were not drawn, and 2 repeats\n")


# --- sampling.png ---------------------------------------------------------------------------------


def save(path, genres):
    """Save the plot of movies with these genres; return its size in pixels."""
    labels = np.eye(len(genres), dtype=np.uint8).repeat(2, axis=0)
    drawn = np.arange(1, len(genres) + 1)
    counts = pd.DataFrame({"drawn": drawn, "sample": 2 * drawn}, index=genres)
    path.mkdir()
    save_sampling_plot(labels, counts, path)
    with Image.open(path / "sampling.png") as picture:
        return picture.size


def test_equal_counts_give_equal_bytes(tmp_path):
    for name in ("first", "second"):
        save(tmp_path / name, ["Drama", "War"])
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_only_the_most_common_genres_are_drawn(tmp_path):
    genres = [f"Genre {number}" for number in range(40)]
    assert save(tmp_path / "most", genres) == save(tmp_path / "all", genres[:30])


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
