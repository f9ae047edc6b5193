"""Save and open models with Keras: model.keras, model.tflite and model.json."""

import importlib.metadata
import json
import platform
import re
import zipfile
from pathlib import Path
from typing import Any

from postergenres.files import write_json
from postergenres.models.description import read_about
from postergenres.models.export import export_model

import keras

DATE = (1980, 1, 1, 0, 0, 0)  # of all files in model.keras, the first date that a zip file can hold


def save_model(model: keras.Model, about: dict[str, Any], folder: Path) -> None:
    """Write model.keras, model.tflite and model.json into a folder of `files.writing_folder`.

    Keras on JAX cannot write model.tflite; `exported.open_exported` writes it then.

    Args:
        model: its optimizer is not saved.
        about: content of model.json: genres, H, W, settings, thresholds, scores, versions.
        folder: exists.
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

    Args:
        source: the zip file of Keras.
        target: the zip file to write.
        changed: {name: content} of files in the archive to replace.
        compression: a constant of `zipfile`.
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
    """Open a model of `save_model`, not compiled, and the content of its model.json.

    Raises:
        SystemExit: a file of the model is missing, or not as it was written.
    """
    about = read_about(folder)
    model: Any = keras.saving.load_model(folder / "model.keras", compile=False)
    return model, about
