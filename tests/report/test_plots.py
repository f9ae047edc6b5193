from postergenres.report import plots
from postergenres.scores import bootstrap, metrics

import numpy as np
import pytest
from conftest import draw_predictions
from PIL import Image

GENRES = ["Action", "Comedy", "Cost: $1 or $2", "Drama", "Film-Noir", "War", "Western"]


def draw_tables():
    """Return predictions, and what `compare_with_prior` makes of them; a genre has no movies."""
    labels, probabilities, thresholds = draw_predictions(movies=60)
    labels[:, 0] = 0
    prior = metrics.estimate_prior(labels)
    tables = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    tables[1].index = GENRES
    return labels, probabilities, thresholds, prior, *tables


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_all_pictures_are_drawn_the_same_each_time(tmp_path):
    labels, probabilities, thresholds, prior, overall, per_genre = draw_tables()
    images = np.random.default_rng(0).integers(0, 256, (60, 30, 20, 3), dtype=np.uint8)
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        plots.save_average_precision(per_genre, overall, folder / "1.png")
        plots.save_precision_recall(labels, probabilities, GENRES, folder / "2.png")
        reliability = metrics.measure_reliability(labels, probabilities)
        plots.save_reliability(reliability, overall.loc["calibration_error"], folder / "3.png")
        confusions = metrics.measure_confusions(labels, probabilities >= thresholds.genres)
        plots.save_confusions(*confusions, GENRES, folder / "4.png")
        chosen = plots.choose_posters(labels, probabilities, prior)
        rows = np.arange(60)
        path = folder / "5.png"
        plots.save_posters(chosen, images, rows, labels, probabilities, GENRES, path)
        contents.append([path.read_bytes() for path in sorted(folder.glob("*.png"))])
        for path in folder.glob("*.png"):
            with Image.open(path) as picture:
                assert picture.width > 500
    assert len(contents[0]) == 5 and contents[0] == contents[1]


def test_the_best_and_the_worst_posters_are_chosen_by_cross_entropy():
    labels = np.array([[1, 0], [1, 0], [1, 0]])
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]])
    chosen = plots.choose_posters(labels, probabilities, np.array([0.5, 0.5]), count=2)
    best, drawn, worst = chosen.values()
    assert list(best) == [1, 0] and list(worst) == [2, 0]
    assert len(set(drawn)) == 2 and [title.split()[0] for title in chosen] == [
        "Best",
        "Drawn",
        "Worst",
    ]


def test_fewer_posters_than_places_leave_places_empty(tmp_path):
    images = np.zeros((2, 30, 20, 3), dtype=np.uint8)
    labels, probabilities = np.array([[1], [1]]), np.array([[0.4], [0.6]])
    chosen = plots.choose_posters(labels, probabilities, np.array([0.5]))
    plots.save_posters(chosen, images, [0, 1], labels, probabilities, ["A"], tmp_path / "x.png")
    assert (tmp_path / "x.png").is_file()
