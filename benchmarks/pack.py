"""Add a trained model to the pretrained models, at half of its size.

    python benchmarks/pack.py DATA_DIR
    python benchmarks/pack.py --export

The second command writes model.tflite of the pretrained models again, from model.keras.

Rounds the weights to float16, which compress to half of the size of float32 weights; the network
still computes in float32. Refuses a model whose probabilities change by more than TOLERANCE.

Reads   DATA_DIR/model/ and DATA_DIR/store/
Writes  the architecture's folder in PRETRAINED_FOLDERS: model.keras, model.tflite, model.json,
        checksums.json and, of a model with words, words.npz
"""

import io
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.files import write_json, writing_folder
from postergenres.models.description import PRETRAINED_FOLDERS, check_sample
from postergenres.models.export import export_model
from postergenres.models.exported import add_export
from postergenres.models.saved import copy_archive, open_model, predict_probabilities
from postergenres.words.text_model import FILE as WORDS_FILE

import h5py
import keras
import numpy as np

TOLERANCE = 0.01  # the largest accepted change of a probability
WEIGHTS = "model.weights.h5"  # in the zip file
SMALL = 1000  # arrays with fewer numbers are not compressed


def main(data_dir: Path, tolerance: float = TOLERANCE) -> float:
    """Round the weights, check the predictions of the validation split and write the model.

    Returns:
        The largest change of a probability.

    Raises:
        SystemExit: the change is above the tolerance, or the architecture has no folder.
    """
    model, about = open_model(data_dir / "model")
    architecture = about["settings"]["architecture"]
    if architecture not in PRETRAINED_FOLDERS:
        sys.exit(
            f"There is no folder for {architecture}. Add it to PRETRAINED_FOLDERS in "
            "postergenres/models/description.py"
        )
    store = open_store(data_dir)
    check_sample(about, store.samples_sha256, data_dir / "model")
    val = store.rows("val")
    before = predict_probabilities(model, store.images, val)
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in model.get_weights()])
    change = np.abs(predict_probabilities(model, store.images, val) - before).max()
    print(f"largest change of a probability on {len(val):,} validation movies: {change:.5f}")
    if not change <= tolerance:  # also if it is not a number
        sys.exit(f"The change is more than {tolerance}. Nothing was written.")
    folder = PRETRAINED_FOLDERS[architecture]
    with writing_folder(folder) as part:
        save_compressed(model, part / "model.keras")
        export_model(model, part / "model.tflite")
        if "words" in about:
            shutil.copy(data_dir / "model" / WORDS_FILE, part)
        for path in (data_dir / "model").glob("*trained_on.npy"):
            shutil.copy(path, part)
        write_json(about, part / "model.json")
    print(f"wrote {folder / 'model.keras'}, {(folder / 'model.keras').stat().st_size:,} bytes")
    return float(change)


def save_compressed(model: keras.Model, path: Path) -> None:
    """Save a model in Keras' format, a zip file with weights in HDF5, with compressed weights."""
    weights = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.keras"
        model.save(source)
        with (
            zipfile.ZipFile(source) as archive,
            h5py.File(io.BytesIO(archive.read(WEIGHTS))) as original,
            h5py.File(weights, "w") as compressed,
        ):
            copy_compressed(original, compressed)
        copy_archive(source, path, {WEIGHTS: weights.getvalue()}, zipfile.ZIP_DEFLATED)


def copy_compressed(source: h5py.Group, target: h5py.Group) -> None:
    """Copy an HDF5 group and compress its arrays.

    The shuffle filter puts the bytes of equal significance together, which compress better.
    """
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            copy_compressed(item, target.create_group(name))
        elif item.size < SMALL:
            source.copy(name, target)
        else:
            target.create_dataset(name, data=item, chunks=item.shape, shuffle=True, compression=9)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/pack.py DATA_DIR | --export")
    if sys.argv[1] == "--export":
        for shipped in PRETRAINED_FOLDERS.values():
            add_export(shipped)
    else:
        main(Path(sys.argv[1]))
