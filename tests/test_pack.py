import json

from postergenres.dataset.store import open_store
from postergenres.models.exported import ExportedModel
from postergenres.models.inference import predict_batch
from postergenres.models.saved import open_model
from postergenres.old_files import without_checksum

import numpy as np
import pytest
from conftest import ROOT, load_script


@pytest.fixture
def pack(tmp_path, monkeypatch):
    module = load_script(ROOT / "data" / "pretrained" / "pack.py")
    monkeypatch.setattr(module, "PRETRAINED_FOLDERS", {"improved": tmp_path})
    return module


def test_a_packed_model_has_half_of_the_size_and_nearly_equal_predictions(pipeline, pack, tmp_path):
    moved = pack.main(pipeline.data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.json",
        "model.keras",
        "model.tflite",
    ]
    before, about = open_model(pipeline.data / "model")
    after, packed = open_model(tmp_path)
    assert packed == about
    written = json.loads((tmp_path / "model.json").read_text())
    assert without_checksum(written, "model_sha256", "export_sha256") == about
    posters = open_store(pipeline.data).images[:20]
    apart = np.abs(predict_batch(after, posters) - predict_batch(before, posters)).max()
    assert 0 < moved < 0.01 and 0 < apart < 0.01
    whole = (pipeline.data / "model" / "model.keras").stat().st_size
    assert (tmp_path / "model.keras").stat().st_size < 0.55 * whole


def test_a_change_above_the_tolerance_is_refused(pipeline, pack, tmp_path):
    with pytest.raises(SystemExit, match="Nothing was written"):
        pack.main(pipeline.data, tolerance=0.0)
    assert list(tmp_path.iterdir()) == []
    pack.PRETRAINED_FOLDERS.clear()
    with pytest.raises(SystemExit, match="no folder for improved. Add it to PRETRAINED_FOLDERS"):
        pack.main(pipeline.data)


@pytest.mark.slow
def test_the_pretrained_models_are_exported_again(pipeline, pack, tmp_path):
    pack.main(pipeline.data)
    written = (tmp_path / "model.json").read_bytes()
    (tmp_path / "model.tflite").unlink()
    about = without_checksum(json.loads(written), "model_sha256", "export_sha256")
    (tmp_path / "model.json").write_text(json.dumps(about))
    pack.export_pretrained()
    again = json.loads((tmp_path / "model.json").read_text())
    assert list(again) == list(json.loads(written))
    posters = open_store(pipeline.data).images[:20]
    probabilities = ExportedModel(tmp_path / "model.tflite").predict(posters).probabilities
    expected = predict_batch(open_model(tmp_path)[0], posters)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
