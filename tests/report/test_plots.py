from postergenres.report import plots
from postergenres.scores import bootstrap, metrics

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
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        plots.save_average_precision(scores, folder / "1.png")
        plots.save_precision_recall(labels, probabilities, GENRES, folder / "2.png")
        reliability = metrics.measure_reliability(labels, probabilities)
        plots.save_reliability(reliability, scores, folder / "3.png")
        confusions = metrics.measure_confusions(labels, probabilities >= thresholds.genres)
        plots.save_confusions(*confusions, GENRES, folder / "4.png")
        contents.append([path.read_bytes() for path in sorted(folder.glob("*.png"))])
        for path in folder.glob("*.png"):
            with Image.open(path) as picture:
                assert picture.width > 500
    assert len(contents[0]) == 4 and contents[0] == contents[1]
