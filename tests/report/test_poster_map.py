import shutil

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
import pytest
from conftest import draw_predictions
from PIL import Image

import predict

GENRES = ["Action", "🎬" * 9, "Cost: $1 or $2", "x" * 10_000, "a\nb\x1b[31m", "War", "Western"]


def draw_features(labels, noise=0.3):
    """Return features, (N, 40), that depend on the labels."""
    rng = np.random.default_rng(0)
    return labels @ rng.random((labels.shape[1], 40)) + noise * rng.random((len(labels), 40))


def test_posters_of_a_genre_are_near_each_other():
    main = np.arange(90) % 3
    places = project(draw_features(np.eye(3)[main]))
    agreement = measure_agreement(places, main)
    assert places.shape == (90, 2) and np.isfinite(places).all()
    assert agreement.near > 0.95 and agreement.any == pytest.approx(29 / 89)
    shuffled = measure_agreement(np.random.default_rng(0).random((90, 2)), main)
    assert abs(shuffled.near - shuffled.any) < 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 40])
@pytest.mark.parametrize("kind", ["random", "alike", "zero", "twice"])
def test_few_or_equal_posters_have_a_map_or_none(count, kind):
    rng = np.random.default_rng(0)
    features = rng.random((count, 20), np.float32)
    if kind != "random":
        features[:] = {"alike": features[0], "zero": 0, "twice": features[np.arange(count) // 2]}[
            kind
        ]
    places = project(features)
    different = {"random": count, "alike": 1, "zero": 1, "twice": -(-count // 2)}[kind]
    assert (places is None) == (different < poster_map.FEWEST_POSTERS)
    assert places is None or np.isfinite(places).all()


def test_some_movies_are_drawn_at_random_and_always_the_same():
    assert draw_mapped(7).all()
    is_mapped = draw_mapped(100, most=30)
    assert is_mapped.sum() == 30 and (is_mapped == draw_mapped(100, most=30)).all()
    assert not is_mapped[:30].all()


def test_the_map_shows_the_genres_that_are_predicted_best_the_commonest_first():
    scores, floors = [0.5, np.nan, 0.9, 0.3, *[0.1] * 7], [0.4, 0, 0.1, 0.25, *[0.1] * 7]
    counts = [5, 0, 10, 20, *range(30, 37)]
    shown = choose_map_genres(scores, floors, counts)
    assert list(shown) == [8, 7, 6, 5, 4, 3, 2, 0]  # without the two last of those without a gain
    assert list(choose_map_genres([np.nan, 0.2], [0.1, 0.1], [0, 3])) == [1]


def test_the_main_genre_is_the_rarest_of_those_shown():
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 1]])
    assert list(find_main_genres(labels, [0, 1])) == [1, 0, OTHER]


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("movies, shown", [(80, [6, 5, 4, 3, 2, 1, 0]), (10, [0]), (12, [1, 6])])
def test_the_map_is_drawn_the_same_each_time(tmp_path, movies, shown):
    labels, _, _ = draw_predictions(movies=movies)
    features = draw_features(labels)
    for name in ("a.png", "b.png"):
        save_poster_map(project(features), labels, shown, GENRES, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 900
        assert picture.convert("L").getextrema() == (0, 255)


def test_colors_and_shapes_differ():
    colors, shapes = zip(*poster_map.STYLES, strict=True)
    assert len(set(colors)) == len(set(shapes)) == 8


def test_step_5_draws_the_map_and_deletes_an_old_one_if_it_draws_none(
    pipeline, tmp_path, monkeypatch
):
    assert (pipeline.data / "poster_map.png").is_file()
    page = (pipeline.data / "report.html").read_text(encoding="utf-8")
    assert "Map of the test posters" in page
    data = shutil.copytree(pipeline.data, tmp_path / "data")
    monkeypatch.setattr(poster_map, "FEWEST_POSTERS", 1000)
    predict.main(data_dir=data)
    assert not (data / "poster_map.png").exists()
    page = (data / "report.html").read_text(encoding="utf-8")
    assert "Map of the test posters" not in page
