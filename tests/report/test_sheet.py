from dataclasses import replace

from postergenres.report.named_posters import ReadPoster
from postergenres.report.predictions import Prediction, Shown
from postergenres.report.sheet import write_sheet
from postergenres.report.similar import Neighbor
from postergenres.scores.predicted_genres import RankedGenre

import numpy as np
from conftest import image_bytes

RANKING = [RankedGenre("Action", 0.9, True), RankedGenre("Drama", 0.5, False)]
POSTER = ReadPoster("a.jpg", np.full((30, 20, 3), 99, np.uint8))
MISSING = Prediction(ReadPoster("<i>.jpg", error="HTTP 404"), np.full(2, np.nan))
HEAT = np.ones((2, 2), np.float32)


def write_page(predictions, tmp_path, **shown):
    shown = Shown(top=3, similar=5, **shown)
    write_sheet(predictions, shown, "the model", tmp_path / "predictions.html")
    return (tmp_path / "predictions.html").read_text(encoding="utf-8")


def test_the_page_shows_bars_errors_and_heat_maps_of_the_first_posters(tmp_path):
    first = Prediction(POSTER, np.array([0.9, 0.5]), RANKING, HEAT)
    last = replace(first, poster=ReadPoster("c.jpg"), heat=None)
    page = write_page([first, MISSING, last], tmp_path, sheet=2, grad_cam=1)
    assert page.count("<img") == 2 and page.count("data:image/jpeg") == 2
    assert "<b>Action</b>" in page and "<b>Drama</b>" not in page and "Drama" in page
    assert "HTTP 404" in page and "the model" in page
    assert "&lt;i&gt;.jpg" in page and "<i>.jpg" not in page and "c.jpg" not in page


def test_the_page_shows_the_similar_movies_of_each_poster(tmp_path):
    (tmp_path / "near.jpg").write_bytes(image_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    neighbors = [
        Neighbor("m1", "A <b> (1999)", ["Action", "Drama"], 0.987, tmp_path / "near.jpg"),
        Neighbor("m2", "", ["War"], 0.5, None),
        Neighbor("m3", "Third", ["War"], 0.4, tmp_path / "broken.jpg"),
    ]
    first = Prediction(POSTER, np.array([0.9, 0.5]), RANKING, neighbors=neighbors)
    page = write_page([first, MISSING], tmp_path, sheet=2, grad_cam=0)
    assert page.count("<img") == 2 and page.count('<ol class="similar">') == 1
    assert page.count('alt=""') == 1  # the title stands beside it
    assert "A &lt;b&gt; (1999)" in page and "Action, Drama" in page and "0.99" in page
    assert "m2" in page and "m1" not in page and "A similarity of 1 means" in page
    page = write_page([replace(first, neighbors=()), MISSING], tmp_path, sheet=2, grad_cam=0)
    assert '<ol class="similar">' not in page and "similar" not in page.split("</style>")[1].lower()
