from postergenres.report import plots
from postergenres.scores import bootstrap, metrics

import numpy as np
import pytest
from conftest import draw_predictions
from PIL import Image

GENRES = ["Action", "Comedy", "Cost: $1 or $2", "Drama", "Film-Noir", "War", "Western"]


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_all_pictures_are_drawn_the_same_each_time(tmp_path):
    """Of movies of which none has the first genre."""
    labels, probabilities, thresholds = draw_predictions(movies=60)
    labels[:, 0] = 0
    prior = metrics.estimate_prior(labels)
    scores = bootstrap.compare_with_prior(labels, probabilities, thresholds, prior, labels)
    scores.per_genre.index = GENRES
    images = np.random.default_rng(0).integers(0, 256, (60, 30, 20, 3), dtype=np.uint8)
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        plots.save_average_precision(scores, folder / "1.png")
        plots.save_precision_recall(labels, probabilities, GENRES, folder / "2.png")
        reliability = metrics.measure_reliability(labels, probabilities)
        plots.save_reliability(reliability, scores, folder / "3.png")
        confusions = metrics.measure_confusions(labels, probabilities >= thresholds.genres)
        plots.save_confusions(*confusions, GENRES, folder / "4.png")
        posters = [*zip(images, labels, probabilities, strict=True)][:6]
        plots.save_posters({"whole": posters, "part": posters[:2]}, GENRES, folder / "5.png")
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
    assert len(set(drawn)) == 2
    assert [title.split()[0] for title in chosen] == ["Best", "Drawn", "Worst"]
