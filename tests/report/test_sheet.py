from postergenres.report.sheet import write_sheet
from postergenres.report.similar import Neighbor

import numpy as np
import pandas as pd
from conftest import image_bytes


def test_the_page_shows_bars_errors_and_heat_maps_of_the_first_posters(tmp_path):
    poster = np.full((30, 20, 3), 99, np.uint8)
    table = pd.DataFrame({"path": ["a.jpg", "<i>.jpg", "c.jpg"], "error": ["", "HTTP 404", ""]})
    rankings = [[("Action", 0.9, True), ("Drama", 0.5, False)]] * 3
    write_sheet(table, rankings, [poster, None], [poster], "the model", tmp_path)
    page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
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
    pixels = np.full((30, 20, 3), 99, np.uint8)
    table = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "error": ["", "HTTP 404"]})
    rankings = [[("Action", 0.9, True)]] * 2
    write_sheet(table, rankings, [pixels, None], [], "it", tmp_path, [neighbors, []])
    page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and page.count('<ol class="similar">') == 1
    assert page.count('alt=""') == 1  # the title stands beside it
    assert "A &lt;b&gt; (1999)" in page and "Action, Drama" in page and "0.99" in page
    assert "m2" in page and "m1" not in page and "A similarity of 1 means" in page
    write_sheet(table, rankings, [pixels, None], [], "it", tmp_path)
    page = (tmp_path / "predictions.html").read_text(encoding="utf-8")
    assert '<ol class="similar">' not in page and "similar" not in page.split("</style>")[1].lower()
