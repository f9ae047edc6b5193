"""Save and open models with Keras: model.keras, model.tflite and model.json."""

import importlib.metadata
import json
import platform
import re
import zipfile
from pathlib import Path

from postergenres.models.description import (
    CHECKSUM,
    EXPORT_CHECKSUM,
    read_about,
    refuse,
)
from postergenres.models.export import export_model
from postergenres.files import write_json
from postergenres.old_files import without_checksum

import keras

DATE = (1980, 1, 1, 0, 0, 0)  # of all files in model.keras, the first date that a zip file can hold


def save_model(model, about, folder):
    """Write model.keras, model.tflite and model.json into a folder of `files.writing_folder`."""
    without_optimizer = keras.Model(model.inputs, model.outputs, name=model.name)
    saved = folder / "model.dated.keras"
    without_optimizer.save(saved)
    copy_archive(saved, folder / "model.keras")
    saved.unlink()
    if keras.backend.backend() == "tensorflow":
        export_model(model, folder / "model.tflite")
    write_json(about, folder / "model.json")


def copy_archive(source, target, changed=None, **options):
    """Copy a zip file of Keras so that equal models give equal bytes: without dates and addresses.

    Args:
        source, target: paths.
        changed: {name: bytes} of files in the archive to replace.
        options: of `zipfile.ZipFile` for the target, such as the compression.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for name in old.namelist():
            content = (changed or {}).get(name) or old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"})
            if name == "config.json":
                content = number_objects(content.decode())
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o600 << 16
            new.writestr(entry, content, options.get("compression"), options.get("compresslevel"))


def number_objects(config):
    """Replace the memory addresses in config.json, by which Keras finds shared objects, by 1, 2, 3.

    Args:
        config: the text of config.json.
    """
    numbers = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda match: str(numbers.setdefault(match[0], len(numbers) + 1)),
        config,
    )


def list_versions():
    """Return {name: version} of Python and the packages that a model and its scores depend on."""
    packages = ["tensorflow", "keras", "numpy", "scikit-learn", "pillow"]
    packages += ["simplejpeg", "cykooz-resizer"]
    if keras.backend.backend() == "jax":
        packages.append("jax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions


def open_model(folder):
    """Open a model of `save_model` and verify that it is as it was written.

    Args:
        folder: the folder of model.keras and model.json.

    Returns:
        The `keras.Model`, not compiled, and the content of model.json without its checksums.

    Raises:
        SystemExit: if one of the files is missing, damaged or changed, or belongs to another model.
    """
    folder = Path(folder)
    about = read_about(folder)
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False)
        outputs = model.output_shape[-1]
    except Exception as error:  # Keras raises errors of many types for a damaged file
        refuse(folder / "model.keras", f"cannot be opened ({type(error).__name__})", error)
    if "genres" in about and len(about["genres"]) != outputs:
        refuse(folder / "model.json", "belongs to another model.keras")
    return model, without_checksum(about, CHECKSUM, EXPORT_CHECKSUM)
