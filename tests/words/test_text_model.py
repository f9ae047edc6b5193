from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.words.fitting import fit_text_model
from postergenres.words.text_model import FILE, load_text_model

import numpy as np
import pytest
from scipy.special import expit, logit

GENRES = {"Horror": ["blood", "haunted", "grave"], "Comedy": ["crazy", "laughs", "wedding"]}


@pytest.fixture(scope="module")
def posters():
    """The words on 300 posters, a tenth of them without words, and labels of Horror and Comedy."""
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 2)) < [0.2, 0.5]).astype(np.uint8)
    words = []
    for row in labels:
        texts = ["starring"] + [
            str(rng.choice(GENRES[genre])) for genre, has in zip(GENRES, row, strict=True) if has
        ]
        words.append([(text.upper(), 0.9) for text in texts] if rng.random() > 0.1 else [])
    return words, labels


@pytest.fixture(scope="module")
def model(posters):
    return fit_text_model(*posters, regularization=10)


def test_typical_words_raise_the_probability_of_their_genre(model):
    texts = "starring The Haunted", "Starring haumted", "STARRING HÄUNTED", "starring nobody"
    haunted, misread, accented, plain = expit(model.predict([[(text, 0.8)] for text in texts]))
    assert haunted[0] > 0.9 > 0.3 > haunted[1]
    assert accented[0] > 0.9 and misread[0] > 5 * plain[0]
    ((misread, _),) = expit(model.predict([[("haumted", 0.8)]]))  # no typical word beside it
    assert misread > 0.4 > 0.2 > plain[0]


def test_titles_teach_the_words_that_posters_have(posters):
    words, labels = posters
    mute = [[("starring wedding", 0.9)] for _ in words]
    titles = ["Unheard wedding" if comedy else "" for comedy in labels[:, 1]]
    with_titles, without = (fit_text_model(mute, labels, x) for x in (titles, []))
    texts = [[("wedding", 0.9)], [("unheard", 0.9)]]
    assert with_titles.weigh_evidence(texts)[0, 1] > without.weigh_evidence(texts)[0, 1] + 0.3
    assert with_titles.knows("wedding") and not with_titles.knows("unheard")
    np.testing.assert_array_equal(with_titles.idf, without.idf)


@pytest.mark.parametrize("words", [[], [("blood", 0.3)], [("", 0.9)], [("  ", 0.9)]])
def test_a_poster_without_words_gets_the_prior_and_no_evidence(posters, model, words):
    labels = posters[1][[bool(lines) for lines in posters[0]]]
    prior = logit((labels.sum(axis=0) + 0.5) / (len(labels) + 1))
    np.testing.assert_allclose(model.predict([[("blood", 0.9)], words])[1], prior)
    np.testing.assert_array_equal(model.weigh_evidence([words]), [[0, 0]])


def test_labels_without_a_poster_of_the_genre_or_without_words_give_the_prior(posters):
    words, labels = posters
    model = fit_text_model(words, labels * [1, 0])
    assert abs(model.weigh_evidence(words)[:, 1]).max() < 1e-6
    model = fit_text_model([[]] * 4, labels[:4])
    assert abs(model.weigh_evidence(words)).max() < 1e-6


def test_a_saved_model_is_small_predicts_the_same_and_is_equal_if_the_words_are(
    posters, model, tmp_path
):
    model.save(tmp_path)
    written = (tmp_path / FILE).read_bytes()
    assert len(written) < 300_000  # 2 genres
    predicted = load_text_model(tmp_path).predict(posters[0])
    fit_text_model(*posters, regularization=10).save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == written
    np.testing.assert_array_equal(predicted, model.predict(posters[0]))


def test_features_do_not_depend_on_the_case_or_the_lines(model):
    one, two, three = model.predict(
        [[("The Haunted", 0.9)], [("the", 0.9), ("haunted", 0.9)], [("THE HAUNTED", 0.9)]]
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


def test_texts_without_a_word_of_the_training_posters_are_not_shown():
    model = load_text_model(PRETRAINED_FOLDERS["improved"])
    lines = [("THE DARK", 0.9), ("xqzvw", 0.9), ("of", 0.9), ("W", 0.9), ("Night", 0.3)]
    assert model.select_known(lines) == ["THE DARK"]
    assert model.select_known([]) == []
