from postergenres.report import poster_map
from postergenres.report.poster_map import (
    OTHER,
    choose_map_genres,
    draw_mapped,
    find_main_genres,
    measure_agreement,
    project,
    save_poster_map,
)

import numpy as np
import pandas as pd
import pytest
from conftest import draw_predictions
from PIL import Image

GENRES = ["Action", "🎬" * 9, "Cost: $1 or $2", "x" * 10_000, "a\nb\x1b[31m", "War", "Western"]


def draw_features(labels, noise=0.3):
    """Return features, (N, 40), that depend on the labels."""
    rng = np.random.default_rng(0)
    return labels @ rng.random((labels.shape[1], 40)) + noise * rng.random((len(labels), 40))


def test_posters_of_a_genre_are_near_each_other():
    main = np.arange(90) % 3
    places = project(draw_features(np.eye(3)[main]))
    near, floor = measure_agreement(places, main)
    assert places.shape == (90, 2) and np.isfinite(places).all()
    assert near > 0.95 and floor == pytest.approx(29 / 89)
    near, floor = measure_agreement(np.random.default_rng(0).random((90, 2)), main)
    assert abs(near - floor) < 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("count", "different"), [(1, 1), (9, 9), (10, 10), (40, 1), (20, 10)])
def test_few_or_equal_posters_have_a_map_or_none(count, different):
    features = np.random.default_rng(0).random((different, 20), np.float32)
    places = project(features[np.arange(count) % different])
    assert (places is None) == (different < poster_map.FEWEST_POSTERS)
    assert places is None or np.isfinite(places).all()
    assert project(np.zeros((40, 20), np.float32)) is None


def test_some_movies_are_drawn_at_random_and_always_the_same():
    assert draw_mapped(7).all()
    is_mapped = draw_mapped(100, most=30)
    assert is_mapped.sum() == 30 and (is_mapped == draw_mapped(100, most=30)).all()
    assert not is_mapped[:30].all()


def test_the_map_shows_the_genres_that_are_predicted_best_the_commonest_first():
    scores, floors = [0.5, np.nan, 0.9, 0.3, *[0.1] * 7], [0.4, 0, 0.1, 0.25, *[0.1] * 7]
    counts = [5, 0, 10, 20, *range(30, 37)]
    table = pd.DataFrame({"score": scores, "floor": floors, "movies": counts})
    # Without the genre without movies, and the two last of those without a gain.
    assert list(choose_map_genres(table)) == [8, 7, 6, 5, 4, 3, 2, 0]


def test_the_main_genre_is_the_rarest_of_those_shown():
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 1]])
    assert list(find_main_genres(labels, [0, 1])) == [1, 0, OTHER]


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("movies, shown", [(80, [6, 5, 4, 3, 2, 1, 0]), (10, [0]), (12, [1, 6])])
def test_the_map_is_drawn_the_same_each_time(tmp_path, movies, shown):
    labels, _, _ = draw_predictions(movies=movies)
    features = draw_features(labels)
    for name in ("a.png", "b.png"):
        places = project(features)
        save_poster_map(places, labels, shown=shown, genres=GENRES, path=tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 900
        assert picture.convert("L").getextrema() == (0, 255)
