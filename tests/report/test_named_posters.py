import threading
import time
from functools import partial
from types import SimpleNamespace

from postergenres.poster_model import read_poster
from postergenres.report.named_posters import find_posters, read_batches

import numpy as np
from conftest import image_bytes
from PIL import EpsImagePlugin

READ = partial(read_poster, size=(48, 32))
RED, BLUE = image_bytes((220, 40, 40), (40, 60)), image_bytes((50, 60, 160), (40, 60), form="PNG")


def fetch_red(url):
    """Stand in for `Client.fetch`."""
    if "404" in url:
        return SimpleNamespace(status="gone", error="HTTP 404", body=None)
    return SimpleNamespace(status="ok", error="", body=RED)


def test_batches_keep_the_order_of_files_and_urls(tmp_path):
    (tmp_path / "blue.png").write_bytes(BLUE)
    names = ["https://host/red.jpg", str(tmp_path / "blue.png"), "https://host/404.jpg"] * 5
    batches = list(read_batches(names, READ, batch_size=4, fetch=fetch_red))
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    posters = [poster for batch in batches for poster in batch]
    assert [poster.name for poster in posters] == names
    for red, blue, missing in zip(posters[::3], posters[1::3], posters[2::3], strict=True):
        assert red.pixels.shape == blue.pixels.shape == (48, 32, 3)
        assert red.pixels[0, 0, 0] > red.pixels[0, 0, 2]
        assert blue.pixels[0, 0, 0] < blue.pixels[0, 0, 2]
        assert missing.pixels is None and missing.error == "HTTP 404"


def test_posters_are_fetched_while_earlier_ones_are_predicted(tmp_path):
    (tmp_path / "blue.png").write_bytes(BLUE)
    names = [str(tmp_path / "blue.png"), *[f"https://host/{i}.jpg" for i in range(9)]]
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def fetch(url):
        asked.release()
        may_answer.wait(10)
        return fetch_red(url)

    batches = read_batches(names, READ, batch_size=1, fetch=fetch)
    begin = time.monotonic()
    assert next(batches)[0].error == ""
    assert asked.acquire(timeout=5) and asked.acquire(timeout=5)  # two batches ahead
    batches.close()  # a stopped run does not wait for slow hosts
    assert time.monotonic() - begin < 5
    may_answer.set()


def test_words_are_read_from_the_bytes_of_each_poster(tmp_path):
    (tmp_path / "blue.png").write_bytes(BLUE)
    names = [str(tmp_path / "blue.png"), "https://host/red.jpg", "none.jpg"]
    seen = []

    def read_words(source):
        seen.append(source)
        return [("a title", 0.9), ("unsure", 0.2)]

    (batch,) = read_batches(names, partial(READ, read_words=read_words), 4, fetch_red)
    assert [poster.text for poster in batch] == ["a title", "a title", ""]
    assert sorted(seen, key=str) == sorted([names[0], RED], key=str)


def test_a_folder_stands_for_its_images_by_name(tmp_path):
    for name in ("b.png", "a.jpg"):
        (tmp_path / name).write_bytes(image_bytes())
    (tmp_path / "notes.txt").write_text("no poster")
    (tmp_path / "empty").mkdir()
    found = find_posters(["https://host/x.jpg", tmp_path, tmp_path / "empty", "none.jpg"])
    expected = [tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "empty"]
    assert found == ["https://host/x.jpg", *map(str, expected), "none.jpg"]


def test_an_eps_file_never_reaches_ghostscript(tmp_path, monkeypatch):
    """Whatever its name."""

    def refuse(*arguments, **options):
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)
    for name in ("a.jpg", "b.eps"):
        (tmp_path / name).write_bytes(image_bytes(form="EPS"))
    (batch,) = read_batches([str(tmp_path / "a.jpg"), str(tmp_path / "b.eps")], READ, 4)
    for poster in batch:
        assert poster.error == "UnidentifiedImageError: cannot identify image file"


def test_the_formats_that_people_have_are_read(tmp_path):
    for form in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        (tmp_path / form).write_bytes(image_bytes((220, 40, 40), (40, 60), form=form))
    names = [str(path) for path in tmp_path.iterdir()]
    (batch,) = read_batches(names, READ, batch_size=8)
    for poster in batch:
        assert poster.error == "", poster
        assert abs(np.mean(poster.pixels, axis=(0, 1)) - [220, 40, 40]).max() < 10
