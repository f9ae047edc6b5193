import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

from postergenres.report.score_page import PICTURES, find_commit, read_pictures
from postergenres.scores.metrics import SCORES

import pytest
from conftest import ROOT
from PIL import Image

import predict

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


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
        line = f"{row['score']:.3f} {row['floor']:.3f} {row['low']:.3f} to {row['high']:.3f}"
        assert f"{SCORES[name]} {line}" in page.text
    for genre, row in content["average_precision"].items():
        assert f"{genre} {row['movies']} {row['score']:.3f}" in page.text
    assert content["model_xxh3"] in page.text and content["samples_sha256"] in page.text
    assert "0.39 0.389" in page.text and "0.64 0.650" in page.text


def test_the_pages_contain_everything_they_show(pages):
    for path in pages:
        page = Page(path)
        assert page.images and all(image["alt"] for image in page.images)
        assert all(reference.startswith("data:") for reference in page.references)
        rest = re.sub(r'"data:[^"]*"', "", path.read_text(encoding="utf-8"))
        assert not re.search(r"//|@import|url\(", rest)


def test_the_report_has_all_pictures(pipeline, pages):
    pictures = [
        image for image in Page(pages[0]).images if image["src"].startswith("data:image/png")
    ]
    assert len(pictures) == len(PICTURES) == 7
    for name in PICTURES:
        with Image.open(pipeline.data / name) as picture:
            assert picture.width > 500


def test_the_page_of_predictions_shows_the_first_posters_and_their_heat_maps(pages):
    page = Page(pages[1])
    assert len(page.images) == 4 + 2  # without the last poster, which is broken
    assert "5 posters, of which 1 could not be read" in page.text
    assert "<b>posters & more" in page.text  # a path is text, not markup


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_and_axe_find_no_faults(pages, scheme, width):
    """Needs chromium and chromium-driver (apt), selenium (pip) and axe-core (npm)."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not AXE.is_file() or not shutil.which("chromedriver"):
        pytest.skip("apt install chromium chromium-driver; npm install axe-core, in this folder")
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")
    options.add_argument("--disable-background-networking")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as browser:
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for path in pages:
            browser.get(Path(path).as_uri())
            assert browser.execute_script("return document.body.scrollWidth") <= width
            dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
            assert browser.execute_script(dark) == (scheme == "dark")
            browser.execute_script(AXE.read_text(encoding="utf-8"))
            found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
            assert [(each["id"], each["help"]) for each in found["violations"]] == []
            assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []

        browser.get(Path(pages[0]).as_uri())
        movies = "table.sortable tbody td:first-of-type"
        browser.find_elements("css selector", "table.sortable button")[1].click()
        shown = [int(cell.text) for cell in browser.find_elements("css selector", movies)]
        assert shown == sorted(shown, reverse=True) and len(shown) == 3


def test_versions_and_the_commit_are_reported(pages):
    page = Page(pages[0])
    assert "versions during training python" in page.text
    commit = find_commit()  # None without git
    assert commit is None or f"git commit of the code during scoring {commit}" in page.text


def test_a_missing_picture_is_left_out(pipeline, tmp_path):
    (tmp_path / "reliability.png").write_bytes((pipeline.data / "reliability.png").read_bytes())
    ((name, url),) = read_pictures(tmp_path).items()
    assert name == "reliability.png" and url.startswith("data:image/png;base64,")


def test_the_pictures_have_alternative_texts_with_their_scores(pipeline, pages):
    texts = [image["alt"] for image in Page(pages[0]).images]
    content = json.loads((pipeline.data / "metrics.json").read_text())
    best = max(content["average_precision"].items(), key=lambda item: item[1]["score"])
    assert f"The highest is {best[0]} at {best[1]['score']:.2f}, the lowest " in texts[0]
    assert f"error is {content['scores']['calibration_error']['score']:.3f}." in texts[2]
    assert texts[6].endswith(f"Epoch {pipeline.about['best_epoch']} was kept.")
