import json
import re
import shutil
from html.parser import HTMLParser

from postergenres.report.score_page import PICTURES, find_commit, format_test_scores, read_pictures
from postergenres.scores.bootstrap import ComparedScores
from postergenres.scores.metrics import SCORES

import numpy as np
import pandas as pd
import pytest
from browser import check_page, list_complaints, open_browser
from PIL import Image

import predict


class Page(HTMLParser):
    """Collect the text, the images and the references of a page."""

    def __init__(self, path):
        super().__init__()
        self.references, self.images, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.references += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag == "img":
            self.images.append(attrs)

    def handle_data(self, data):
        self.text += data + " "


@pytest.fixture(scope="module")
def pages(pipeline, tmp_path_factory):
    """Return the report of the pipeline, and the page of a few of its posters."""
    folder = tmp_path_factory.mktemp("pages")
    posters = folder / "<b>posters & more"
    posters.mkdir()
    for path in sorted(pipeline.images.glob("*.jpg"))[:4]:
        shutil.copy(path, posters)
    (posters / "x.jpg").write_bytes(b"text")
    shutil.copytree(pipeline.data / "model", folder / "data" / "model")
    predict.main(posters, folder / "data", sheet=4, grad_cam=2)
    return pipeline.data / "report.html", folder / "data" / "predictions.html"


def test_the_report_shows_every_score_with_its_floor(pipeline, pages):
    page = Page(pages[0])
    content = json.loads((pipeline.data / "metrics.json").read_text())
    for name, row in content["scores"].items():
        has_none = name == "calibration_error"
        interval = "–" if has_none else f"{row['low']:.3f} to {row['high']:.3f}"
        line = f"{row['score']:.3f} {row['floor']:.3f} {interval}"
        assert f"{SCORES[name]} {line}" in page.text
    for genre, row in content["average_precision"].items():
        assert f"{genre} {row['movies']} {row['score']:.3f}" in page.text
    assert "its interval is corrected for that; with fewer than 500 test movies, " in page.text
    assert content["model_xxh3"] in page.text and content["samples_sha256"] in page.text
    assert "0.39 0.389" in page.text and "0.64 0.650" in page.text
    assert "versions during training python" in page.text
    commit = find_commit()  # None without git
    assert commit is None or f"git commit of the code during scoring {commit}" in page.text


def test_the_pages_contain_everything_they_show(pages):
    for path in pages:
        page = Page(path)
        assert page.images and all(image["alt"] for image in page.images)
        assert all(reference.startswith(("data:", "#")) for reference in page.references)
        rest = re.sub(r'"data:[^"]*"', "", path.read_text(encoding="utf-8"))
        assert not re.search(r"//|@import|url\(", rest)


def test_the_report_has_all_pictures_and_texts_with_their_scores(pipeline, pages):
    pictures = [x for x in Page(pages[0]).images if x["src"].startswith("data:image/png")]
    assert len(pictures) == len(PICTURES) == 6
    for name in PICTURES:
        with Image.open(pipeline.data / name) as picture:
            assert picture.width > 500
    texts = [picture["alt"] for picture in pictures]
    content = json.loads((pipeline.data / "metrics.json").read_text())
    highest = max(row["score"] for row in content["average_precision"].values())
    assert f" at {highest:.2f}, the lowest " in texts[0]
    assert f"error is {content['scores']['calibration_error']['score']:.3f}." in texts[2]
    assert texts[5].endswith(f"Epoch {pipeline.about['best_epoch']} was kept.")


def test_the_contents_lead_to_all_sections(pages):
    text = pages[0].read_text(encoding="utf-8")
    sections = re.findall(r'<h2 id="(\w+)">', text)
    assert re.findall(r'<a href="#(\w+)">', text) == sections and len(sections) == 8


def test_the_gallery_shows_the_listed_and_the_predicted_genres_of_test_movies(pipeline, pages):
    """The movies of the pipeline have no titles, so that their ids stand for them."""
    table = pd.read_csv(pipeline.data / "test_predictions.csv", index_col="id").fillna("")
    expected = set()
    for movie, row in table.iterrows():
        listed, predicted = (set(row[x].split("|")) for x in ("genres", "predicted_genres"))
        kinds = {"right": listed & predicted, "mistaken": predicted - listed}
        for kind, genres in (kinds | {"missed": listed - predicted}).items():
            expected |= {(movie, genre, kind) for genre in genres}
    cards = pages[0].read_text(encoding="utf-8").split('<p class="title">')[1:]
    found = {
        (card.split("<")[0], *row)
        for card in cards
        for row in re.findall(r'data-genre="(\w+)" data-kind="(\w+)"', card)
    }
    assert found <= expected and len(cards) >= 12
    assert {kind for _, _, kind in found} == {kind for _, _, kind in expected}


def test_the_page_of_predictions_shows_the_first_posters_and_their_heat_maps(pages):
    page = Page(pages[1])
    assert len(page.images) == 4 + 2  # without the last poster, which is broken
    assert "5 posters, of which 1 could not be read" in page.text
    assert "<b>posters & more" in page.text  # a path is text, not markup


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_and_axe_find_no_faults(pages, scheme, width):
    with open_browser(width, scheme) as browser:
        for path in pages:
            browser.get(path.as_uri())
            check_page(browser, width, scheme)
            assert list_complaints(browser) == []

        browser.get(pages[0].as_uri())
        movies = "table.sortable tbody td:first-of-type"
        browser.find_elements("css selector", "table.sortable button")[1].click()
        shown = [int(cell.text) for cell in browser.find_elements("css selector", movies)]
        assert shown == sorted(shown, reverse=True) and len(shown) == 3


@pytest.mark.slow
def test_the_gallery_is_filtered_and_sorted(pages):
    with open_browser() as browser:
        select = pytest.importorskip("selenium.webdriver.support.select").Select
        browser.get(pages[0].as_uri())

        def choose(name, text):
            select(browser.find_element("id", f"gallery-{name}")).select_by_visible_text(text)

        def read(attribute):
            row = "#gallery-posters [data-genre=Drama]"
            return [x.get_attribute(attribute) for x in browser.find_elements("css selector", row)]

        cards = browser.find_elements("css selector", "#gallery-posters > li")
        assert len(cards) == 12 and browser.find_element("id", "gallery-more").is_displayed()
        choose("genre", "Drama")
        choose("kind", "predicted, not listed ✗")
        choose("order", "worst predicted first")
        gains = [float(gain) for gain in read("data-gain")]
        assert gains == sorted(gains)
        count = browser.find_element("id", "gallery-count").text
        assert count == f"Shown: {len(gains)} of {len(gains)}"
        assert set(read("data-kind")) <= {"mistaken"}
        choose("kind", "all posters")
        choose("genre", "any genre")
        browser.find_element("id", "gallery-more").send_keys("\n")
        assert len(browser.find_elements("css selector", "#gallery-posters > li")) == 24
        assert list_complaints(browser) == []


def test_the_scores_are_lines_and_only_real_posters_are_compared_with_the_study():
    """Of a model that reads words, too; no test movie has the last genre."""
    columns = {"score": 0.25, "low": 0.2, "high": 0.3, "floor": 0.5}
    overall = pd.DataFrame([columns] * len(SCORES), index=list(SCORES))
    per_genre = pd.DataFrame([columns, columns | {"score": np.nan}], index=["Drama", "War"])
    compared, without_words = ComparedScores(overall, per_genre), overall.to_dict("index")
    text = format_test_scores(compared, 500, is_drawn=False, without_words=without_words)
    assert "0.250    0.200 to 0.300   0.500" in text
    assert "its interval is corrected for that\ncompared" in text  # as there are enough movies
    assert "compared with the study" in text and "drawn" not in text
    assert "0.39   0.389" in text and "0.64   0.650" in text
    assert "because no test movie has them: War" in text
    assert text.splitlines()[-1] == (
        "without the words on the posters: binary cross-entropy 0.250, mean average precision "
        "0.250, macro ROC-AUC 0.250"
    )
    text = format_test_scores(compared, 500, is_drawn=True)
    assert "drawn: scores on them say nothing about real movies" in text
    assert not any(x in text for x in ("compared with the study", "0.389", "0.650", "without the"))


def test_a_missing_picture_is_left_out(pipeline, tmp_path):
    (tmp_path / "reliability.png").write_bytes((pipeline.data / "reliability.png").read_bytes())
    ((name, url),) = read_pictures(tmp_path).items()
    assert name == "reliability.png" and url.startswith("data:image/png;base64,")
