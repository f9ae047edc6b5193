"""Add a trained model to the pretrained models, at half of its size.

    python data/pretrained/pack.py DATA_DIR
    python data/pretrained/pack.py --export

The second command writes model.tflite of the pretrained models again, from model.keras.

Rounds the weights to float16, which compress to half of the size of float32 weights; the network
still computes in float32. Refuses a model whose probabilities change by more than TOLERANCE.

Reads   DATA_DIR/model/ and DATA_DIR/store/
Writes  model.keras, model.tflite, model.json and, of a model with words, words.npz, in the
        architecture's folder in PRETRAINED_FOLDERS
"""

import io
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS, check_sample, write_about
from postergenres.models.export import export_model
from postergenres.models.inference import predict_probabilities
from postergenres.models.saved import copy_archive, open_model
from postergenres.old_files import replacing
from postergenres.words.combination import FILE as WORDS_FILE

import h5py
import numpy as np

TOLERANCE = 0.01  # the largest accepted change of a probability
WEIGHTS = "model.weights.h5"  # in the zip file
SMALL = 1000  # arrays with fewer numbers are not compressed


def main(data_dir, tolerance=TOLERANCE):
    """Round the weights, check the predictions of the validation split and write the model.

    Returns:
        The largest change of a probability.

    Raises:
        SystemExit: if the change is above the tolerance, or the architecture has no folder.
    """
    data_dir = Path(data_dir)
    model, about = open_model(data_dir / "model")
    architecture = about["settings"]["architecture"]
    if architecture not in PRETRAINED_FOLDERS:
        sys.exit(
            f"There is no folder for {architecture}. Add it to PRETRAINED_FOLDERS in "
            "postergenres/models/saved.py"
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
    folder.mkdir(exist_ok=True)
    (folder / "model.json").unlink(missing_ok=True)  # its presence marks a complete model
    save_compressed(model, folder / "model.keras")
    export_model(model, folder / "model.tflite")
    (folder / WORDS_FILE).unlink(missing_ok=True)
    if "words" in about:
        shutil.copy(data_dir / "model" / WORDS_FILE, folder)
    write_about(about, folder)
    print(f"wrote {folder / 'model.keras'}, {(folder / 'model.keras').stat().st_size:,} bytes")
    return change


def save_compressed(model, path):
    """Save a model in Keras' format, a zip file with weights in HDF5, with compressed weights."""
    weights = io.BytesIO()
    with replacing(path) as part, tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        source = Path(folder) / "model.keras"
        with (
            zipfile.ZipFile(source) as archive,
            h5py.File(io.BytesIO(archive.read(WEIGHTS))) as original,
            h5py.File(weights, "w") as compressed,
        ):
            copy_compressed(original, compressed)
        options = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}
        copy_archive(source, part, {WEIGHTS: weights.getvalue()}, **options)


def copy_compressed(source, target):
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


def export_pretrained():
    """Write model.tflite and the checksums of each pretrained model again."""
    for folder in PRETRAINED_FOLDERS.values():
        model, about = open_model(folder)
        export_model(model, folder / "model.tflite")
        write_about(about, folder)
        print(f"wrote {folder / 'model.tflite'} and model.json")


if __name__ == "__main__":
    if sys.argv[1:] == ["--export"]:
        sys.exit(export_pretrained())
    if len(sys.argv) != 2:
        sys.exit("usage: python data/pretrained/pack.py DATA_DIR | --export")
    main(sys.argv[1])
