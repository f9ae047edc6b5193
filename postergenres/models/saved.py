"""Save and open models: model.keras and model.json."""

import importlib.metadata
import json
import platform
import re
import sys
import zipfile
from pathlib import Path

import keras

from postergenres.files import (
    add_checksum,
    discard_leftovers,
    file_sha256,
    has_checksum,
    read_json,
    replacing,
    without_checksum,
    write_json,
)

# The pretrained models in this repository, by architecture; see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[2] / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}
DATE = (1980, 1, 1, 0, 0, 0)  # of all files in model.keras, the first date that a zip file can hold
CHECKSUM = "model_sha256"  # of model.keras, in model.json
NEEDED = {  # what other modules read in a model.json that has no checksum
    "genres": list,
    "H": int,
    "W": int,
    "thresholds": dict,
    "shared_thresholds": dict,
    "prior": dict,
    "settings": dict,
    "samples_sha256": str,
    "store_sha256": str,
}


def discard_model(data_dir):
    """Delete model.json, so that no model looks complete until `save_model` has written it."""
    (Path(data_dir) / "model").mkdir(parents=True, exist_ok=True)
    (Path(data_dir) / "model" / "model.json").unlink(missing_ok=True)


def save_model(model, about, data_dir):
    """Write model.keras and then model.json, whose presence marks the model as complete.

    Args:
        model: a `keras.Model`; its optimizer is not saved.
        about: content of model.json: genres, H, W, settings, thresholds, scores, versions.
        data_dir: the folder that gets the folder "model".

    Returns:
        The content of model.json: `about` and checksums of model.keras and of the content.
    """
    discard_model(data_dir)
    folder = Path(data_dir) / "model"
    without_optimizer = keras.Model(model.inputs, model.outputs, name=model.name)
    discard_leftovers([folder / "model.keras"])
    with replacing(folder / "model.keras") as part:
        saved = part.with_suffix(".dated.keras")
        try:
            without_optimizer.save(saved)
            copy_archive(saved, part)
        finally:
            saved.unlink(missing_ok=True)
    return write_about(about, folder)


def write_about(about, folder):
    """Write model.json with the checksums of model.keras and of its own content; return it all."""
    about = add_checksum(about | {CHECKSUM: file_sha256(folder / "model.keras")})
    write_json(about, folder / "model.json")
    return about


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
    packages = ["tensorflow", "keras", "numpy", "pillow", "scikit-learn"]
    if keras.backend.backend() == "jax":
        packages.append("jax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions


def find_model(data_dir, pretrained):
    """Return the folder of the model that train.py wrote, or else of a pretrained model.

    Args:
        data_dir: the folder that train.py wrote to.
        pretrained: architecture of the pretrained model, a key of `PRETRAINED_FOLDERS`.

    Raises:
        ValueError: if there is no pretrained model of this architecture.
    """
    if pretrained not in PRETRAINED_FOLDERS:
        choices = sorted(PRETRAINED_FOLDERS)
        raise ValueError(f"pretrained must be one of {choices}, got {pretrained!r}")
    trained = Path(data_dir) / "model"
    return trained if (trained / "model.json").is_file() else PRETRAINED_FOLDERS[pretrained]


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
    return model, without_checksum(about, CHECKSUM)


def read_about(folder):
    """Return the content of model.json; exit if it or model.keras is not as it was written."""
    for path in (folder / "model.json", folder / "model.keras"):
        if not path.is_file():
            refuse(path, "is missing")
    path = folder / "model.json"
    try:
        about = read_json(path)
    except ValueError as error:  # also a UnicodeDecodeError
        refuse(path, "is damaged", error)
    if not isinstance(about, dict):
        refuse(path, "is damaged")
    if CHECKSUM in about or has_checksum(about) is not None:
        if not has_checksum(about):
            refuse(path, "was changed or damaged after training")
        if about.get(CHECKSUM) != file_sha256(folder / "model.keras"):
            refuse(folder / "model.keras", "is damaged or belongs to another model.json")
        return about
    for name, kind in NEEDED.items():
        if not isinstance(about.get(name), kind):
            refuse(path, f'has no usable "{name}"')
    print(f"note: {path} was written by an older version, without checksums: it is not verified")
    return about


def knows_store(folder):
    """Return whether the checksum of the store in a model's model.json has today's form.

    Older versions computed it from other content: before model.json had checksums, and when the
    pretrained models were trained. A copy of a pretrained model has the same model.keras.
    """
    checksum = read_json(Path(folder) / "model.json").get(CHECKSUM)
    records = [path / "model.json" for path in PRETRAINED_FOLDERS.values()]
    pretrained = [read_json(record).get(CHECKSUM) for record in records if record.is_file()]
    return checksum is not None and checksum not in pretrained


def refuse(path, fault, error=None):
    """Exit with one line that names the file, what is wrong with it, and how to get another."""
    is_shipped = path.parent in PRETRAINED_FOLDERS.values()
    command = f"git checkout -- {path.parent}" if is_shipped else "python train.py"
    raise SystemExit(f"{path} {fault}. Run: {command}") from error


def check_sample(about, samples_sha256, folder):
    """Check that a model was trained on the sample of a store.

    Args:
        about: content of model.json, from `open_model`.
        samples_sha256: checksum of the store's samples.csv.
        folder: of the model, for the message.

    Raises:
        SystemExit: if the model was trained on another sample.
    """
    if about["samples_sha256"] != samples_sha256:
        sys.exit(
            f"The model in {folder} was trained on another sample and may have seen movies of this "
            "test split. Run: python train.py"
        )
