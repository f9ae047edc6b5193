"""Steps 4 and 5 with the words on posters, from a reader that sees the color of each half."""

import shutil
from types import SimpleNamespace

from postergenres.dataset.store import open_store
from postergenres.files import read_json
from postergenres.models.saved import open_model, predict_probabilities
from postergenres.scores.metrics import compute_scores
from postergenres.scores.predicted_genres import read_thresholds
from postergenres.words.combination import open_words

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, contents, faking_reader, image_bytes, load_script

import predict
import train

SETTINGS = {"epochs": 1, "batch_size": 16, "precision": "float32", "words": True}
SETTINGS["learning_rate"] = 1e-6  # the network learns nothing


def copy_inputs(pipeline, folder):
    """Copy what steps 4 and 5 read."""
    for name in ("store", "posters"):
        shutil.copytree(pipeline.data / name, folder / name)
    shutil.copy(pipeline.data / "samples.csv", folder)
    return folder


@pytest.fixture(scope="module")
def trained(pipeline, tmp_path_factory):
    """A network with words: its data folder, the content of model.json, and the test scores."""
    with faking_reader(tmp_path_factory.mktemp("packages")):
        data = copy_inputs(pipeline, tmp_path_factory.mktemp("words"))
        about = train.main(data, **SETTINGS)
        scores = predict.main(data_dir=data)
        yield SimpleNamespace(data=data, about=about, scores=scores)


def test_words_raise_the_scores(trained):
    words = trained.about["words"]
    for name in ("mAP", "macro_roc_auc"):
        without = trained.about["scores"][name]["score"]
        assert words["scores"][name]["score"] > max(without, 0.9)
    assert words["mAP_gain"]["low"] > 0 and min(words["text_weight"]) > 0
    assert trained.scores.loc["mAP", "score"] > 0.9
    assert set(words["thresholds"]) == {"Action", "Comedy", "Drama"}
    assert words["thresholds"] != trained.about["thresholds"]


def test_the_test_scores_are_those_of_both_and_those_of_the_network_are_kept(trained):
    metrics = read_json(trained.data / "metrics.json")
    store = open_store(trained.data)
    test = store.rows("test")
    network, about = open_model(trained.data / "model")
    probabilities = predict_probabilities(network, store.images, test)
    alone = compute_scores(store.labels[test], probabilities, read_thresholds(about))
    for name, row in metrics["without_words"].items():
        assert row["score"] == pytest.approx(alone[name])
        assert row["floor"] == metrics["scores"][name]["floor"]
    assert metrics["scores"]["mAP"]["score"] > metrics["without_words"]["mAP"]["score"]
    page = (trained.data / "report.html").read_text(encoding="utf-8")
    assert "The model also read the words on the posters." in page


def test_the_words_of_all_posters_are_read_once(trained, capsys):
    before = contents(trained.data / "words")
    predict.main(data_dir=trained.data)
    out = capsys.readouterr().out
    assert "the words on the posters are used, too\n" in out and "reading the words" not in out
    assert "without the words on the posters: binary cross-entropy 0." in out
    assert contents(trained.data / "words") == before


def test_named_posters_are_predicted_like_those_of_the_store(trained, pipeline):
    scored = pd.read_csv(trained.data / "test_predictions.csv").set_index("id")
    movie = scored.index[0]
    names = [pipeline.images / f"{movie}.jpg", "none.jpg"]
    table = predict.main(names, trained.data)
    assert list(table.columns[:4]) == ["path", "error", "predicted_genres", "words"]
    for genre in ("Action", "Comedy", "Drama"):
        assert table[genre][0] == pytest.approx(scored[genre][movie], abs=3e-4)
    assert table["predicted_genres"][0] == scored["predicted_genres"][movie]
    assert set(table["words"][0].split(" / ")) <= {"explosion", "giggle", "tears"}
    assert table["words"][1] == "" and table["error"][1] != ""
    page = (trained.data / "predictions.html").read_text(encoding="utf-8")
    assert page.count("Words: ") == 1 and f"Words: {table['words'][0]}" in page


def test_urls_are_read_for_words_too_and_only_once(trained, host):
    host.bodies["red"] = image_bytes((220, 40, 40), (40, 60))
    names, before = [f"{host.url}/red/a.jpg"], contents(trained.data / "words")
    table = predict.main(names, trained.data)
    assert table["words"][0] == "explosion / explosion"
    kept = contents(trained.data / "words")
    assert len(kept) == len(before) + 1
    assert predict.main(names, trained.data).equals(table)
    assert contents(trained.data / "words") == kept


def test_without_a_reader_the_network_is_scored_and_predicts_alone(
    trained, pipeline, tmp_path, monkeypatch, capsys
):
    data = shutil.copytree(trained.data, tmp_path / "data")
    monkeypatch.setattr("postergenres.words.reading.can_read", lambda: False)
    predict.main(data_dir=data)
    out = capsys.readouterr().out
    assert "words are not used. To use them, run: python -m pip install -r requirements/text" in out
    alone, both = read_json(data / "metrics.json"), read_json(trained.data / "metrics.json")
    assert "without_words" not in alone
    for name, row in both["without_words"].items():
        assert alone["scores"][name]["score"] == pytest.approx(row["score"])
    table = predict.main([pipeline.images / "m000.jpg"], data)
    assert "words" not in table.columns
    assert "words are not used" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_without_words_leaves_none(trained, tmp_path):
    data = shutil.copytree(trained.data, tmp_path / "data")
    about = train.main(data, **SETTINGS | {"words": False})
    assert "words" not in about and not (data / "model" / "words.npz").exists()
    network, same = open_model(data / "model")
    whole, _ = open_model(trained.data / "model")
    for one, other in zip(network.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("thresholds", "shared_thresholds", "scores"):  # of the network alone
        assert same[name] == trained.about[name]


@pytest.mark.slow
def test_a_packed_model_has_its_words(trained, tmp_path, monkeypatch):
    pack = load_script(ROOT / "benchmarks" / "pack.py")
    monkeypatch.setattr(pack, "PRETRAINED_FOLDERS", {"improved": tmp_path / "packed"})
    pack.main(trained.data)
    _, about = open_model(tmp_path / "packed")
    opened = open_words(tmp_path / "packed", about)
    assert opened.weights[1].tolist() == trained.about["words"]["text_weight"]


def test_a_missing_reader_is_reported_before_anything_is_changed(pipeline, tmp_path, monkeypatch):
    data = copy_inputs(pipeline, tmp_path / "data")
    before = contents(data)
    monkeypatch.setattr("postergenres.words.reading.can_read", lambda: False)
    with pytest.raises(
        SystemExit, match="missing. Run: python -m pip install -r requirements/text"
    ):
        train.main(data, **SETTINGS)
    assert contents(data) == before | {".train.lock": b""}
