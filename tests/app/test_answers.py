"""What the page answers, without a browser and without Gradio."""

import io
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape

from postergenres.app.answers import Answers, draw_examples, list_models
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


def ask(answers, body, name="a.jpg"):
    return answers.answer(name, body, MODEL)["card"]


def read_errors(html):
    return [unescape(error) for error in re.findall("Could not be read: (.*?)</p>", html)]


# --- predictions ----------------------------------------------------------------------------------


def test_a_poster_is_answered_with_its_genres_floors_words_and_heat_map(answers):
    body = encode_poster(draw_poster(0))
    html = ask(answers, body)
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


def test_a_file_name_is_text_and_not_markup(answers):
    html = ask(answers, image_bytes(), "<img src=x onerror=alert(1)>{{ 7 * 7 }}${1}.jpg")
    assert "<img src=x" not in html and "&lt;img src=x onerror=alert(1)&gt;{{ 7 * 7 }}" in html


def test_many_threads_get_the_answers_that_one_gets(answers):
    bodies = [encode_poster(draw_poster(seed)) for seed in range(4)]

    def genres(body):
        return re.findall('class="share">.*?<', ask(answers, body))

    alone = [genres(body) for body in bodies] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(genres, bodies * 4)) == alone
    assert alone[0] != alone[1]


def test_examples_are_drawn_posters_named_by_title_and_genres():
    examples = draw_examples(3, seed=0)
    for name, body in examples:
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
    with pytest.raises(OSError, match=r"model\.json .*damaged.* [Rr]un: python train\.py"):
        answers.answer("a.jpg", image_bytes(), next(iter(answers.folders)))
    assert "<b>" in ask(answers, image_bytes())


# --- bad files ------------------------------------------------------------------------------------


def encode(size):
    return encode_poster(Image.new("1", (size, size)), form="PNG")


BAD_FILES = {
    "text": (b"text", "not an image"),
    "cut short": (image_bytes()[:-99], "cut short: "),
    "pixels": (encode(9000), "too large: 9000 x 9000 pixels"),
    "bytes": (bytes(21_000_000), "too large: over 20,000,000 bytes"),
    "empty": (b"", "not an image"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_answered_with_its_reason(answers, name):
    body, error = BAD_FILES[name]
    answer = answers.answer("a", body, MODEL)
    (found,) = read_errors(answer["card"])
    assert found.startswith(error) and not answer["is_read"]


def test_large_posters_are_decoded_one_at_a_time(answers):
    """Small ones do not wait for them."""
    is_free = threading.Event()
    answers.alone.submit(is_free.wait)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(ask, answers, encode(3000))
        assert "floor" in ask(answers, image_bytes())
        with pytest.raises(TimeoutError):
            large.result(timeout=0.3)
        is_free.set()
        assert "floor" in large.result()


# --- similar posters ------------------------------------------------------------------------------


def test_an_answer_ends_with_similar_posters_once_there_are_features(pipeline):
    answers = Answers(pipeline.data, "improved", top=5, examples=3, similar=2)
    name = next(iter(answers.folders))
    while name not in answers.movies:
        time.sleep(0.01)
    movies = answers.movies.pop(name)  # as long as the features are being computed
    body = next(pipeline.images.glob("*.jpg")).read_bytes()
    before = answers.answer("a.jpg", body, name)
    assert before["is_waiting"] and 'class="similar"' not in before["card"]
    answers.movies[name] = movies
    after = answers.answer("a.jpg", body, name)
    assert not after["is_waiting"]
    assert after["card"].partition('<ol class="similar">')[2].count("<li>") == 2


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
