from postergenres.files import writing_folder
from postergenres.words.combination import combine, open_words
from postergenres.words.fitting import fit_text_model
from postergenres.words.reading import describe_reader, find_fault

import numpy as np
import pytest
from scipy.special import expit, logit

WORDS = [[("blood", 0.9)], [("laughs", 0.9)]] * 20


@pytest.fixture
def folder(tmp_path):
    """A folder with a words.npz of genre Horror."""
    with writing_folder(tmp_path / "model") as part:
        fit_text_model(WORDS, np.array([[1], [0]] * 20)).save(part)
    return tmp_path / "model"


@pytest.fixture
def about(fake_reader):
    """The content of its model.json."""
    entry = {"reader": describe_reader(), "image_weight": [0.9], "text_weight": [0.5]}
    entry |= {"offset": [0.1]}
    entry |= {"thresholds": {"Horror": 0.3}, "shared_thresholds": {"micro": 0.3, "samples": 0.2}}
    return {"words": entry, "thresholds": {"Horror": 0.6}}


def test_logits_are_weighted_and_added():
    probabilities, evidence = np.array([[0.2, 0.7]]), np.array([[1.5, -3]])
    expected = expit(0.9 * logit(probabilities) + 0.5 * evidence)
    np.testing.assert_allclose(combine(probabilities, evidence, 0.9, 0.5), expected)
    moved = combine(probabilities, evidence, np.array([0.9, 0.0]), 0.5, np.array([0.0, 2.0]))
    np.testing.assert_allclose(moved, [[expected[0, 0], expit(0.5 * -3 + 2)]])
    certain = combine(np.array([[0, 1.0]], np.float32), evidence, 1, 1)
    assert np.isfinite(logit(certain)).all() and certain[0, 0] < 1e-5 and certain[0, 1] > 1 - 1e-5


def test_words_change_the_probabilities_of_their_posters_only(folder, about, capsys):
    model = open_words(folder, about)
    assert capsys.readouterr() == ("", "") and find_fault(about) == ""
    assert (about | model.thresholds)["thresholds"] == {"Horror": 0.3}
    alone = np.full((3, 1), 0.5)
    blood, laughs, none = model.add_words(alone, [*WORDS[:2], []])
    assert blood > 0.6 and laughs < 0.4 and none == pytest.approx(expit(0.1))
    assert blood == combine(alone, model.text_model.weigh_evidence(WORDS[:1]), 0.9, 0.5, 0.1)[0]


def test_a_model_without_words_opens_nothing(folder):
    assert open_words(folder, {"thresholds": {}}) is None and find_fault({"thresholds": {}}) == ""


def test_another_reader_is_noted(folder, about):
    about["words"]["reader"] = "an older one"
    assert open_words(folder, about)
    assert find_fault(about).startswith("note: words are read by rapidocr 0, onnxruntime 0; ")


def test_a_damaged_text_model_is_one_line(folder, about):
    fit_text_model(WORDS, np.array([[0], [1]] * 20)).save(folder)
    with pytest.raises(SystemExit, match=r"words\.npz was changed or damaged\. Run: python train"):
        open_words(folder, about)
