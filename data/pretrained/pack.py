"""Put a trained model among those that come with this, in half of the bytes.

    python data/pretrained/pack.py DATA_DIR

Weights are rounded to float16, which takes half of the space of float32 once compressed; the
network computes in float32 as before. It is refused where the rounding shows.

Reads   DATA_DIR/model/ and DATA_DIR/store/
Writes  model.keras and model.json, in the folder that predict.py knows for the architecture
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from postergenres.dataset.store import open_store  # noqa: E402
from postergenres.evaluation.inference import predict_probabilities  # noqa: E402
from postergenres.files import replacing, write_json  # noqa: E402
from postergenres.models.saved import PRETRAINED_FOLDERS, check_sample, open_model  # noqa: E402

TOLERANCE = 0.01  # how far the rounding may move a probability
WEIGHTS = "model.weights.h5"  # in the zip file
SMALL = 1000  # numbers that are not worth compressing


def main(data_dir, tolerance=TOLERANCE):
    """Round, check on the validation movies, write; returns how far a probability moved."""
    data_dir = Path(data_dir)
    model, about = open_model(data_dir / "model")
    architecture = about["settings"]["architecture"]
    if architecture not in PRETRAINED_FOLDERS:
        sys.exit(f"No {architecture} comes with this: see PRETRAINED_FOLDERS in model.py")
    store = open_store(data_dir)
    check_sample(about, store.samples_sha256, data_dir / "model")
    val = store.rows("val")
    before = predict_probabilities(model, store.images, val)
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in model.get_weights()])
    moved = np.abs(predict_probabilities(model, store.images, val) - before).max()
    print(f"probabilities of {len(val):,} validation movies moved by {moved:.5f} at most")
    if not moved <= tolerance:
        sys.exit(f"That is more than {tolerance}. Nothing was written.")
    folder = PRETRAINED_FOLDERS[architecture]
    folder.mkdir(exist_ok=True)
    (folder / "model.json").unlink(missing_ok=True)  # it comes last: then both belong together
    save_compressed(model, folder / "model.keras")
    write_json(about, folder / "model.json")
    print(f"wrote {folder / 'model.keras'}, {(folder / 'model.keras').stat().st_size:,} bytes")
    return moved


def save_compressed(model, path):
    """Save a model in Keras' format, a zip file whose weights are HDF5, and compress these."""
    weights = io.BytesIO()
    with replacing(path) as part, tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        with (
            zipfile.ZipFile(Path(folder) / "model.keras") as source,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
        ):
            with (
                h5py.File(io.BytesIO(source.read(WEIGHTS))) as whole,
                h5py.File(weights, "w") as packed,
            ):
                compress(whole, packed)
            for name in source.namelist():
                target.writestr(name, weights.getvalue() if name == WEIGHTS else source.read(name))


def compress(source, target):
    """Copy what is in an HDF5 group, bytes of the same place in a number beside each other."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            compress(item, target.create_group(name))
        elif item.size < SMALL:
            source.copy(name, target)
        else:
            target.create_dataset(name, data=item, chunks=item.shape, shuffle=True, compression=9)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python data/pretrained/pack.py DATA_DIR")
    main(sys.argv[1])
