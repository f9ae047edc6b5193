"""What the page answers, without a browser and without Gradio."""

import base64
import io
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape

from postergenres.app.answers import MOST_POSTERS, Answers, draw_examples, list_models
from postergenres.dataset.decoding import try_decode
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.scores.expected_f1 import choose_genres
from postergenres.words.reading import read_words

import numpy as np
import pytest
from conftest import draw_poster, encode_poster, faking_reader, image_bytes
from PIL import Image

MODEL = "improved (pretrained)"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with faking_reader(tmp_path_factory.mktemp("packages")):
        yield Answers(tmp_path_factory.mktemp("data"), "improved", top=5, examples=3)


def as_file(name, body):
    """Return a file as drop.js sends it."""
    data = f"data:image/jpeg;base64,{base64.b64encode(body).decode()}"
    return {"name": name, "size": len(body), "data": data}


def ask(answers, *files):
    return answers.answer_files([as_file(*file) for file in files], MODEL, len(files))


def read_errors(html):
    return [unescape(error) for error in re.findall("Could not be read: (.*?)</p>", html)]


# --- predictions ----------------------------------------------------------------------------------


def test_a_poster_is_answered_with_its_genres_floors_words_and_heat_map(answers):
    body = encode_poster(draw_poster(0))
    html = ask(answers, ("a.jpg", body))
    model = answers.open(MODEL)
    about = model.about
    pixels, _ = try_decode(body, *model.size)
    words = read_words(body)
    assert f"{words[0][0]} / " in html
    probabilities = model.words_model.add_words(model.network.predict(pixels[None])[0], [words])
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
    assert [error[:12] for error in read_errors(html)] == ["not an image"]
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


def test_examples_are_drawn_and_said_to_be(answers):
    html = answers.answer_examples(MODEL)
    assert html.count(", drawn as ") >= 3 and "3 posters" in html
    assert "The posters are drawn" in html and not read_errors(html)


def test_examples_are_drawn_posters_named_by_title_and_genres():
    examples = draw_examples(3, seed=0)
    for name, body, _ in examples:
        assert name.startswith("The ") and ", drawn as " in name
        with Image.open(io.BytesIO(body), formats=["JPEG"]) as image:
            image.load()
            assert image.size == (185, 278)
    assert examples == draw_examples(3, seed=0) != draw_examples(3, seed=1)
    assert draw_examples(2) != draw_examples(2)  # other posters at each click


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
    assert re.search(r"model\.json .*damaged.* [Rr]un: python train\.py", html)
    assert "<b>" in ask(answers, ("a.jpg", image_bytes()))


# --- bad files ------------------------------------------------------------------------------------


def encode(size):
    return encode_poster(Image.new("1", (size, size)), form="PNG")


BAD_FILES = {
    "text": (as_file("a.txt", b"text"), "not an image"),
    "cut short": (as_file("a.jpg", image_bytes()[:-99]), "cut short: "),
    "pixels": (as_file("a.png", encode(9000)), "too large: 9000 x 9000 pixels"),
    "200 MB": ({"name": "a", "size": 200_000_000, "data": None}, "too large: over 20,000,000 b"),
    "wrong size": (as_file("a", bytes(21_000_000)) | {"size": 1}, "too large: over 20,000,000 b"),
    "folder": ({"name": "a", "size": 4096, "data": None}, "the browser cannot read it"),
    "no base64": ({"name": "a", "size": 4, "data": "data:image/jpeg;base64,é"}, "not an image"),
    "no data URL": ({"name": "a", "size": 4, "data": "A"}, "not an image"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_answered_with_its_reason(answers, name):
    file, error = BAD_FILES[name]
    (found,) = read_errors(answers.answer_files([file], MODEL, 1))
    assert found.startswith(error)


def test_more_posters_than_an_answer_has_are_counted(answers):
    body = image_bytes()
    files = [as_file("a.jpg", body)] * (MOST_POSTERS + 2)
    html = answers.answer_files(files, MODEL, 99)
    assert html.count('class="path"') == MOST_POSTERS
    assert f"{MOST_POSTERS} posters of 99, which are too many at a time" in html


# --- similar posters ------------------------------------------------------------------------------


def test_an_answer_ends_with_similar_posters_once_there_are_features(pipeline):
    answers = Answers(pipeline.data, "improved", top=5, examples=3, similar=2)
    name = next(iter(answers.folders))
    while name not in answers.movies:
        time.sleep(0.01)
    movies = answers.movies.pop(name)  # as long as the features are being computed
    file = as_file("a.jpg", next(pipeline.images.glob("*.jpg")).read_bytes())
    before = answers.answer_files([file], name, 1)
    assert "are not shown yet" in before and 'class="similar"' not in before
    answers.movies[name] = movies
    after = answers.answer_files([file], name, 1)
    assert "are not shown yet" not in after
    assert after.partition('<ol class="similar">')[2].count("<li>") == 2


def test_features_that_cannot_be_written_leave_the_similar_posters_out(pipeline, tmp_path, capsys):
    for name in ("model", "store"):
        shutil.copytree(pipeline.data / name, tmp_path / name)
    shutil.copy(pipeline.data / "samples.csv", tmp_path)
    (tmp_path / "features").write_text("in the place of the folder")
    answers = Answers(tmp_path, "improved", top=5, examples=3, similar=2)
    while not answers.movies:
        time.sleep(0.01)
    assert list(answers.movies.values()) == [None]
    assert "note: no similar movies are shown: " in capsys.readouterr().out
