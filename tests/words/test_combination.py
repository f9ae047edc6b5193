from postergenres.old_files import file_sha256
from postergenres.words.combination import FILE, combine, open_words
from postergenres.words.reading import describe_reader
from postergenres.words.text_model import fit_text_model

import numpy as np
import pytest
from hostile.outcomes import EVERY, HARMS
from scipy.special import expit, logit

WORDS = [[("blood", 0.9)], [("laughs", 0.9)]] * 20


@pytest.fixture
def about(tmp_path, fake_reader):
    """A folder with a words.npz of genre Horror; content of its model.json."""
    model = fit_text_model(WORDS, np.array([[1], [0]] * 20))
    entry = {"sha256": model.save(tmp_path / FILE), "reader": describe_reader()}
    entry |= {"image_weight": 0.9, "text_weight": 0.5}
    entry |= {"thresholds": {"Horror": 0.3}, "shared_thresholds": {"micro": 0.3, "samples": 0.2}}
    return {"words": entry, "thresholds": {"Horror": 0.6}}


def test_logits_are_weighted_and_added():
    probabilities, evidence = np.array([[0.2, 0.7]]), np.array([[1.5, -3]])
    expected = expit(0.9 * logit(probabilities) + 0.5 * evidence)
    np.testing.assert_allclose(combine(probabilities, evidence, 0.9, 0.5), expected)
    certain = combine(np.array([[0, 1.0]], np.float32), evidence, 1, 1)
    assert np.isfinite(logit(certain)).all() and certain[0, 0] < 1e-5 and certain[0, 1] > 1 - 1e-5


def test_words_change_the_probabilities_of_their_posters_only(tmp_path, about, capsys):
    model = open_words(tmp_path, about)
    assert capsys.readouterr().out == "the words on the posters are used, too\n"
    assert (about | model.thresholds)["thresholds"] == {"Horror": 0.3}
    alone = np.full((3, 1), 0.5)
    blood, laughs, none = model.add_words(alone, [*WORDS[:2], []])
    assert blood > 0.6 and laughs < 0.4 and none == 0.5


def test_a_model_without_words_opens_nothing(tmp_path, capsys):
    assert open_words(tmp_path, {"thresholds": {}}) is None
    assert capsys.readouterr().out == ""


def test_without_a_reader_words_are_not_used_and_a_line_says_how(
    tmp_path, about, capsys, monkeypatch
):
    monkeypatch.setattr("postergenres.words.reading.can_read", lambda: False)
    assert open_words(tmp_path, about) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(
        "not used. To use them, run: python -m pip install -r requirements/text.txt"
    )


def test_another_reader_is_noted(tmp_path, about, capsys):
    about["words"]["reader"] = "an older one"
    assert open_words(tmp_path, about)
    assert "note: words are read by rapidocr 0, onnxruntime 0; " in capsys.readouterr().out


def test_a_text_model_of_an_older_version_is_one_line(tmp_path, about):
    with np.load(tmp_path / FILE) as arrays:
        older = {name: values for name, values in arrays.items() if name != "scale"}
    np.savez(tmp_path / FILE, **older)
    about["words"]["sha256"] = file_sha256(tmp_path / FILE)
    with pytest.raises(SystemExit, match="was written by an older version. Run: python train.py"):
        open_words(tmp_path, about)


@pytest.mark.parametrize("harm", EVERY)
def test_a_damaged_text_model_is_one_line(tmp_path, about, harm):
    other = tmp_path / "other.npz"
    fit_text_model(WORDS, np.array([[0], [1]] * 20)).save(other)
    HARMS[harm](tmp_path / FILE, other)
    with pytest.raises(
        SystemExit, match=r"words\.npz is missing or damaged\. Run: python train.py"
    ):
        open_words(tmp_path, about)
