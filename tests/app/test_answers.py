"""What the page answers, without a browser and without Gradio."""

import base64
import io
import re
import shutil
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from types import SimpleNamespace

from postergenres.app import answers as module
from postergenres.app.answers import MOST_POSTERS, Answers, Poster, list_models
from postergenres.download import addresses
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.report.predictions import OpenedModel
from postergenres.report.similar import open_similar
from postergenres.scores.expected_f1 import choose_genres

import numpy as np
import pytest
from conftest import draw_poster, encode_poster, image_bytes, progressive
from PIL import Image

MODEL = "improved (pretrained)"
LOCAL = "it leads to this machine or its local network, from where nothing is fetched"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postergenres.words.reading.can_read", lambda: False)
        yield Answers(tmp_path_factory.mktemp("data"), "improved", top=5, examples=3)


def as_file(name, body):
    """Return a file as drop.js sends it."""
    data = f"data:image/jpeg;base64,{base64.b64encode(body).decode()}"
    return {"name": name, "size": len(body), "data": data}


def ask(answers, *files):
    return answers.answer_files([as_file(*file) for file in files], MODEL, len(files))


def read_errors(html):
    return [unescape(error) for error in re.findall("Could not be read: (.*?)</p>", html)]


def shape_bomb(width, height):
    """Return the bytes of a small PNG of many pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    size = min((width // 8 + 1) * height, 20_000_000)  # enough, if the pixels are not read
    pixels = chunk(b"IDAT", zlib.compress(bytes(size)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


# --- predictions ----------------------------------------------------------------------------------


def test_a_poster_is_answered_with_its_genres_floors_and_heat_map(answers):
    body = encode_poster(draw_poster(0))
    html = ask(answers, ("a.jpg", body))
    model, about, _ = answers.open(MODEL)
    pixels, _ = module.try_decode(body, about["H"], about["W"])
    probabilities, _ = model.predict(pixels[None])[:2]
    predicted = [about["genres"][i] for i in np.flatnonzero(choose_genres(probabilities)[0])]
    assert sorted(re.findall("<b>(.*?)</b>", html)) == sorted(predicted)
    order = np.argsort(-probabilities[0])[: max(5, len(predicted))]
    shown = re.findall(r'<span class="share">(\d+) %', html)
    assert shown == [f"{100 * probabilities[0, i]:.0f}" for i in order]
    floors = re.findall(r"floor (\d+) %", html)
    assert floors == [f"{100 * about['prior'][about['genres'][i]]:.0f}" for i in order]
    assert html.count("<em style=") == len(order)
    assert html.count("data:image/jpeg;base64,") == 2
    assert f"bright regions raise the probability of {about['genres'][order[0]]}" in html
    assert "1 poster,\n" in html and MODEL in html


def test_several_posters_stand_in_order_and_a_bad_one_has_its_reason(answers):
    red, blue = image_bytes((220, 40, 40), (40, 60)), image_bytes((50, 60, 160), (40, 60))
    html = ask(answers, ("red.jpg", red), ("notes.txt", b"text"), ("blue.jpg", blue))
    assert re.findall('class="path">(.*?)<', html) == ["red.jpg", "notes.txt", "blue.jpg"]
    assert read_errors(html) == ["not an image"]
    both = ask(answers, ("red.jpg", red)), ask(answers, ("blue.jpg", blue))
    urls = [re.findall('src="(.*?)"', one) for one in both]
    assert re.findall('src="(.*?)"', html) == urls[0] + urls[1]


def test_a_file_name_is_text_and_not_markup(answers):
    html = ask(answers, ("<img src=x onerror=alert(1)>{{ 7 * 7 }}${1}.jpg", image_bytes()))
    assert "<img src=x" not in html and "&lt;img src=x onerror=alert(1)&gt;{{ 7 * 7 }}" in html


def test_many_threads_get_the_answers_that_one_gets(answers):
    bodies = [encode_poster(draw_poster(seed)) for seed in range(4)]
    files = [("a.jpg", body) for body in bodies] * 4

    def genres(file):
        return re.findall('class="share">.*?<', ask(answers, file))

    alone = [genres(file) for file in files[:4]] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(genres, files)) == alone
    assert alone[0] != alone[1]


def test_an_older_model_is_answered_without_heat_maps(answers):
    _, about, _ = answers.open(MODEL)
    shares = np.linspace(0.9, 0.1, len(about["genres"]))[None]
    model = SimpleNamespace(predict=lambda pixels: (shares, None, None))
    (card,) = answers.make_cards([Poster("a.jpg", image_bytes())], OpenedModel(model, about, None))
    assert card["heat_map"] is None and card["ranking"][0][:2] == (about["genres"][0], 0.9)


def test_words_count_if_the_model_knows_about_them(answers, monkeypatch):
    model, about, _ = answers.open(MODEL)
    monkeypatch.setattr(module, "read_words", lambda body: [("explosion", 0.99)])
    words_model = SimpleNamespace(add_words=lambda probabilities, lines: 0 * probabilities + 0.25)
    posters = [Poster("a.jpg", image_bytes()), Poster("b.jpg", b"text")]
    good, bad = answers.make_cards(posters, OpenedModel(model, about, words_model))
    assert good["words"] == "explosion" and good["ranking"][0][1] == 0.25
    assert bad["words"] == "" and bad["error"] == "not an image"


def test_examples_are_drawn_and_said_to_be(answers):
    html = answers.answer_examples(MODEL)
    assert html.count(", drawn as ") >= 3 and "3 posters" in html
    assert "The posters are drawn" in html and not read_errors(html)


# --- models ---------------------------------------------------------------------------------------


def test_your_model_is_the_first_choice_and_a_pretrained_one_the_second(tmp_path):
    assert list(list_models(tmp_path, "improved")) == [MODEL, "efficientnet_lite2 (pretrained)"]
    shutil.copytree(PRETRAINED_FOLDERS["improved"], tmp_path / "model")
    first, second, third = list_models(tmp_path, "efficientnet_lite2")
    assert first == f"your model ({tmp_path / 'model'})"
    assert (second, third) == ("efficientnet_lite2 (pretrained)", MODEL)


def test_a_damaged_model_is_a_sentence_that_says_what_to_do(tmp_path):
    shutil.copytree(PRETRAINED_FOLDERS["improved"], tmp_path / "model")
    answers = Answers(tmp_path, "improved", top=3, examples=3)
    answers.opened.clear()
    (tmp_path / "model" / "model.json").write_text("{")
    html = answers.answer_files([], next(iter(answers.folders)), 0)
    assert "model.json is damaged. Run: python train.py" in html
    assert "<b>" in ask(answers, ("a.jpg", image_bytes()))


# --- bad files ------------------------------------------------------------------------------------


BAD_FILES = {
    "text": (lambda: as_file("a.txt", b"text"), "not an image"),
    "empty": (lambda: as_file("a.jpg", b""), "not an image"),
    "cut short": (lambda: as_file("a.jpg", image_bytes()[:-99]), "cut short: "),
    "SVG": (lambda: as_file("a.svg", b"<svg onload='alert(1)'/>"), "not an image: it begins like"),
    "EPS": (lambda: as_file("a.jpg", image_bytes(form="EPS")), "not an image: it begins like"),
    "bomb": (lambda: as_file("a.png", shape_bomb(9000, 9000)), "too large: 9000 x 9000 pixels"),
    "larger bomb": (
        lambda: as_file("a.png", shape_bomb(60_000, 60_000)),
        "too large: 3,600,000,000 pixels, over 50,000,000",
    ),
    "scans": (lambda: as_file("a.jpg", progressive(700, 100)), "not an image: over 100 scans"),
    "21 MB": (lambda: as_file("a.jpg", bytes(21_000_000)), "too large: over 20,000,000 bytes"),
    "200 MB": (
        lambda: {"name": "a", "size": 200_000_000, "data": None},
        "too large: over 20,000,000 bytes",
    ),
    "wrong size": (
        lambda: as_file("a.jpg", bytes(21_000_000)) | {"size": 1},
        "too large: over 20,000,000 bytes",
    ),
    "folder": (
        lambda: {"name": "a", "size": 4096, "data": None},
        "the browser cannot read it",
    ),
    "no base64": (
        lambda: {"name": "a.jpg", "size": 4, "data": "data:image/jpeg;base64,é"},
        "not an image",
    ),
    "no data URL": (lambda: {"name": "a.jpg", "size": 4, "data": "A"}, "not an image"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_answered_with_its_reason(answers, name):
    make_file, error = BAD_FILES[name]
    (found,) = read_errors(answers.answer_files([make_file()], MODEL, 1))
    assert found.startswith(error)


def test_more_posters_than_an_answer_has_are_counted(answers):
    body = image_bytes()
    files = [as_file("a.jpg", body)] * (MOST_POSTERS + 2)
    html = answers.answer_files(files, MODEL, 99)
    assert html.count('class="path"') == MOST_POSTERS
    assert f"{MOST_POSTERS} posters of 99, which are too many at a time" in html


# --- URLs -----------------------------------------------------------------------------------------


def test_a_url_of_this_machine_is_refused_and_gets_no_request(answers, host):
    port = host.url.rpartition(":")[2]
    names = ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "0.0.0.0"]
    urls = [f"http://{name}:{port}/ok/a.jpg" for name in names] + ["https://10.0.0.1/a.jpg"]
    assert read_errors(answers.answer_urls(" ".join(urls), MODEL)) == [LOCAL] * len(urls)
    for number in ("2130706433", "127.1", "0x7f.1"):
        (error,) = read_errors(answers.answer_urls(f"http://{number}:{port}/ok/a.jpg", MODEL))
        assert error
    assert not host.connections


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://host/a.jpg", "a.jpg"])
def test_what_is_no_http_url_is_refused(answers, url):
    error = "only URLs that begin with http:// or https:// are fetched"
    assert read_errors(answers.answer_urls(url, MODEL)) == [error]


def test_without_a_url_the_page_says_what_to_do(answers):
    assert "Paste the URL of a poster first" in answers.answer_urls(" \n", MODEL)


def test_posters_at_public_urls_are_predicted(answers, host, monkeypatch):
    """The test host counts as public here."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    monkeypatch.setattr(addresses, "is_near", lambda address, family: False)
    host.bodies["red"] = body = image_bytes((220, 40, 40), (40, 60))
    html = answers.answer_urls(f"{host.url}/red/a.jpg\n{host.url}/404/b.jpg", MODEL)
    assert read_errors(html) == ["HTTP 404"]
    pictures = re.findall('src="(.*?)"', html)
    assert pictures == re.findall('src="(.*?)"', ask(answers, ("a.jpg", body)))
    error = "a page, and its host has sent no image"
    assert read_errors(answers.answer_urls(f"{host.url}/page/c.jpg", MODEL)) == [error]


def test_pictures_of_an_answer_are_jpegs_of_the_size_that_the_model_sees(answers):
    html = ask(answers, ("a.jpg", image_bytes(size=(400, 600))))
    for content in re.findall(r"base64,(.*?)\"", html):
        with Image.open(io.BytesIO(base64.b64decode(content)), formats=["JPEG"]) as image:
            assert image.size == (101, 150)


# --- similar posters ------------------------------------------------------------------------------


def test_an_answer_ends_with_similar_posters_once_there_are_features(pipeline, monkeypatch):
    go, name = threading.Event(), f"your model ({pipeline.data / 'model'})"
    monkeypatch.setattr(module, "AT_ONCE", 0.01)
    monkeypatch.setattr(module, "open_similar", lambda *a: go.wait() and open_similar(*a))
    answers = Answers(pipeline.data, "improved", top=5, examples=3, similar=2)
    poster = next(pipeline.images.glob("*.jpg")).read_bytes()
    before = answers.answer_files([as_file("a.jpg", poster)], name, 1)
    assert "are not shown yet" in before and 'class="similar"' not in before
    go.set()
    while name not in answers.movies:
        time.sleep(0.01)
    after = answers.answer_files([as_file("a.jpg", poster)], name, 1)
    assert "are not shown yet" not in after
    assert after.partition('<ol class="similar">')[2].count("<li>") == 2


def test_a_full_disk_leaves_the_similar_posters_out(pipeline, monkeypatch, capsys):
    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(module, "open_similar", fail)
    answers = Answers(pipeline.data, "improved", top=5, examples=3, similar=2)
    assert list(answers.movies.values()) == [None]
    assert "note: no similar movies are shown: no room" in capsys.readouterr().out
