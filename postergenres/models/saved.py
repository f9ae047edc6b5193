"""Save, open and run models in Keras: model.keras, model.tflite and model.json."""

import importlib.metadata
import json
import platform
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from postergenres.files import write_json
from postergenres.models.description import read_about
from postergenres.models.export import export_model

import keras
import numpy as np
from tqdm import tqdm

BATCH = 64  # posters per prediction
DATE = (1980, 1, 1, 0, 0, 0)  # of all files in model.keras, the first date that a zip file can hold


def save_model(model: keras.Model, about: dict[str, Any], folder: Path) -> None:
    """Write model.keras, model.tflite and model.json, of the content `about`, into a folder.

    The optimizer is not saved. Keras on JAX cannot write model.tflite; it is written
    later by `exported.add_missing_export`.
    """
    without_optimizer = keras.Model(model.inputs, model.outputs, name=model.name)
    dated = folder / "dated.keras"
    without_optimizer.save(dated)
    copy_archive(dated, folder / "model.keras")
    dated.unlink()
    if keras.backend.backend() == "tensorflow":
        export_model(model, folder / "model.tflite")
    write_json(about, folder / "model.json")


def copy_archive(
    source: Path,
    target: Path,
    changed: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Copy a zip file of Keras so that equal models give equal bytes: without dates and addresses.

    `changed` has the content of files in the archive that are replaced, by their names.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = (changed or {}).get(name) or old.read(name)
            if name == "metadata.json":
                metadata = json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}
                content = json.dumps(metadata).encode()
            if name == "config.json":
                content = number_objects(content.decode()).encode()
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o600 << 16
            new.writestr(entry, content, compression, compresslevel=9)


def number_objects(config: str) -> str:
    """Replace the memory addresses of shared objects in the text of config.json by 1, 2, 3."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda match: str(numbers.setdefault(match[0], len(numbers) + 1)),
        config,
    )


def list_versions() -> dict[str, str]:
    """Return {name: version} of Python and the packages that a model and its scores depend on."""
    packages = ["tensorflow", "keras", "numpy", "scikit-learn", "pillow"]
    packages += ["simplejpeg", "cykooz-resizer"]
    if keras.backend.backend() == "jax":
        packages.append("jax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions


def open_model(folder: Path) -> tuple[keras.Model, dict[str, Any]]:
    """Open a model of `save_model`, not compiled, and its model.json; exit if one is damaged."""
    about = read_about(folder)
    model: Any = keras.saving.load_model(folder / "model.keras", compile=False)
    return model, about


# --- predictions ----------------------------------------------------------------------------------


def predict_probabilities(
    model: keras.Model, images: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> np.ndarray:
    """Return the probabilities, float64 (M, G), of M rows of posters, uint8 (N, H, W, 3).

    They are read in batches, so that images may be memory-mapped.
    """
    return np.concatenate(list(predict_batches(model, images, rows, batch_size)))


def predict_with_features(
    model: keras.Model,
    images: np.ndarray,
    rows: np.ndarray,
    is_kept: np.ndarray,
    batch_size: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model of `add_features` predicts, and the features of some posters.

    Probabilities are those of `predict_probabilities`; features, float32 (K, F), are of the K rows
    that `is_kept`, (M,), has.
    """
    probabilities, features = [], []
    for batch in predict_batches(model, images, rows, batch_size):
        kept = is_kept[len(probabilities) * batch_size :][: len(batch[0])]
        probabilities.append(batch[0])
        features.append(batch[1][kept].astype(np.float32))
    return np.concatenate(probabilities), np.concatenate(features)


def predict_batches(
    model: keras.Model, images: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> Iterator[Any]:
    """Yield what `predict_batch` returns for each batch; see `predict_probabilities`."""
    starts = range(0, len(rows), batch_size)
    # disable=None hides the progress bar if the output is not a terminal.
    for i in tqdm(starts, desc="predicting", unit="batch", leave=False, disable=None):
        yield predict_batch(model, images[rows[i : i + batch_size]])


def predict_batch(model: keras.Model, posters: np.ndarray) -> Any:
    """Return the mean outputs of a model for posters, (N, H, W, 3), and for their mirror images.

    They are float64 (N, number of outputs); a list of arrays if the model has a list of outputs.
    """
    views = (posters, np.ascontiguousarray(posters[:, :, ::-1]))
    outputs = [model.predict_on_batch(view) for view in views]
    if isinstance(outputs[0], list):
        return [np.mean(pair, axis=0, dtype=np.float64) for pair in zip(*outputs, strict=True)]
    return np.mean(outputs, axis=0, dtype=np.float64)


def add_features(model: keras.Model) -> keras.Model:
    """Return a model with the outputs probabilities and features, of one forward pass.

    The features are the input of the last Dense layer, which predicts the genres.
    """
    head = next(x for x in reversed(model.layers) if isinstance(x, keras.layers.Dense))
    return keras.Model(model.inputs, [model.outputs[0], head.input])
