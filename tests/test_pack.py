from postergenres.dataset.store import open_store
from postergenres.models.exported import ExportedModel, add_export
from postergenres.models.saved import open_model, predict_batch

import numpy as np
import pytest
from conftest import ROOT, load_script


@pytest.fixture
def folder(tmp_path):
    """The folder that the packed model gets."""
    return tmp_path / "improved"


@pytest.fixture
def pack(folder, monkeypatch):
    module = load_script(ROOT / "benchmarks" / "pack.py")
    monkeypatch.setattr(module, "PRETRAINED_FOLDERS", {"improved": folder})
    return module


@pytest.mark.slow
def test_a_packed_model_has_half_of_the_size_and_nearly_equal_predictions(pipeline, pack, folder):
    moved = pack.main(pipeline.data)
    files = ["checksums.json", "model.json", "model.keras", "model.tflite", "trained_on.npy"]
    assert sorted(path.name for path in folder.iterdir()) == files
    before, about = open_model(pipeline.data / "model")
    after, packed = open_model(folder)
    assert packed == about
    posters = open_store(pipeline.data).images[:20]
    expected = predict_batch(after, posters)
    apart = np.abs(expected - predict_batch(before, posters)).max()
    assert 0 < moved < 0.01 and 0 < apart < 0.01
    whole = (pipeline.data / "model" / "model.keras").stat().st_size
    assert (folder / "model.keras").stat().st_size < 0.55 * whole
    add_export(folder)  # as pack.py --export
    probabilities = ExportedModel(folder / "model.tflite").predict(posters).probabilities
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    open_model(folder)


def test_a_change_above_the_tolerance_is_refused(pipeline, pack, folder):
    with pytest.raises(SystemExit, match="Nothing was written"):
        pack.main(pipeline.data, tolerance=0.0)
    assert not folder.exists()
    pack.PRETRAINED_FOLDERS.clear()
    with pytest.raises(SystemExit, match="no folder for improved. Add it to PRETRAINED_FOLDERS"):
        pack.main(pipeline.data)
