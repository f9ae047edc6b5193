import json

import keras
import numpy as np
import pytest

from model import build_network
from postergenres.evaluation.inference import predict_probabilities
from postergenres.models import saved


def test_a_saved_model_predicts_the_same(tmp_path):
    network = build_network("improved", 40, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 32, 3), dtype=np.uint8)
    rows = np.array([7, 2, 2, 5])
    before = predict_probabilities(network, images, rows, batch_size=3)
    assert before.shape == (4, 3) and (before[1] == before[2]).all()
    saved.save_model(network, {"genres": ["a", "b", "c"]}, tmp_path)
    again, about = saved.open_model(saved.find_model(tmp_path, "improved"))
    assert about == {"genres": ["a", "b", "c"]}
    after = predict_probabilities(again, images, rows, batch_size=64)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.keras",
    ]


def test_the_optimizer_is_not_saved(tmp_path):
    network = build_network("improved", 40, 32, 3)
    saved.save_model(network, {}, tmp_path / "before")
    network.compile("adamw", "binary_crossentropy")
    network.train_on_batch(np.zeros((2, 40, 32, 3), np.uint8), np.zeros((2, 3)))
    saved.save_model(network, {}, tmp_path / "after")
    sizes = [
        (tmp_path / name / "model" / "model.keras").stat().st_size for name in ("before", "after")
    ]
    assert abs(sizes[1] - sizes[0]) < 0.01 * sizes[0]


def test_model_json_is_readable_and_ends_with_a_newline(tmp_path):
    saved.save_model(build_network("improved", 32, 32, 1), {"genres": ["Épouvante"]}, tmp_path)
    text = (tmp_path / "model" / "model.json").read_text(encoding="utf-8")
    assert text == '{\n  "genres": [\n    "Épouvante"\n  ]\n}\n'


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="model.json is missing. Run: python train.py"):
        saved.open_model(tmp_path / "model")


def test_a_missing_network_names_the_command(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(SystemExit, match="model.keras is missing. Run: python train.py"):
        saved.open_model(tmp_path)


def test_a_discarded_model_is_not_found(tmp_path):
    saved.discard_model(tmp_path)
    (tmp_path / "model" / "model.json").write_text("{}")
    assert saved.find_model(tmp_path, "improved") == tmp_path / "model"
    saved.discard_model(tmp_path)
    assert saved.find_model(tmp_path, "improved") == saved.PRETRAINED_FOLDERS["improved"]


def test_an_unknown_pretrained_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pretrained must be one of .* got 'vgg'"):
        saved.find_model(tmp_path, "vgg")


def test_a_model_of_another_sample_is_refused(tmp_path):
    saved.check_sample({"samples_sha256": "abc"}, "abc", tmp_path)
    with pytest.raises(SystemExit, match="another sample.*Run: python train.py"):
        saved.check_sample({"samples_sha256": "abc"}, "def", tmp_path)


def test_versions_name_python_and_the_packages():
    versions = saved.list_versions()
    assert {"python", "tensorflow", "keras", "numpy", "pillow", "scikit-learn"} == set(versions)
    assert versions["keras"] == keras.__version__
    json.dumps(versions)
