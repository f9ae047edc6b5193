import numpy as np
import pandas as pd

from postergenres.evaluation.sheet import write_sheet


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
