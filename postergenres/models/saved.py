"""Save and open models: model.keras and model.json."""

import importlib.metadata
import platform
import sys
from pathlib import Path

import keras

from postergenres.files import discard_leftovers, read_json, replacing, write_json

# The pretrained models in this repository, by architecture; see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[2] / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
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
    """
    discard_model(data_dir)
    folder = Path(data_dir) / "model"
    without_optimizer = keras.Model(model.inputs, model.outputs, name=model.name)
    discard_leftovers([folder / "model.keras"])
    with replacing(folder / "model.keras") as part:
        without_optimizer.save(part)
    write_json(about, folder / "model.json")


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
    """Open a model of `save_model`.

    Args:
        folder: the folder of model.keras and model.json.

    Returns:
        The `keras.Model`, not compiled, and the content of model.json.

    Raises:
        SystemExit: if one of the files is missing.
    """
    for path in (folder / "model.json", folder / "model.keras"):
        if not path.is_file():
            sys.exit(f"{path} is missing. Run: python train.py")
    about = read_json(folder / "model.json")
    return keras.saving.load_model(folder / "model.keras", compile=False), about


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
