"""Saved models: model.keras and model.json."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

import keras

# The models that come with this, by architecture; what they are: see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[2] / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}


def discard_model(data_dir):
    """Take away model.json, so that nothing looks finished until `save_model` has written it."""
    (Path(data_dir) / "model").mkdir(parents=True, exist_ok=True)
    (Path(data_dir) / "model" / "model.json").unlink(missing_ok=True)


def save_model(model, about, data_dir):
    """Write model.keras, and then model.json, which says that the model is whole.

    Args:
        about: what goes into model.json: genres, H, W, settings, thresholds, scores, versions.
    """
    discard_model(data_dir)
    folder = Path(data_dir) / "model"
    bare = keras.Model(model.inputs, model.outputs, name=model.name)  # leaves the optimizer out
    bare.save(folder / "model.part.keras")
    os.replace(folder / "model.part.keras", folder / "model.keras")
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (folder / "model.part.json").write_text(text, encoding="utf-8")
    os.replace(folder / "model.part.json", folder / "model.json")


def list_versions():
    """The versions of what a model and its scores depend on, by name."""
    packages = ["tensorflow", "keras", "numpy", "pillow", "scikit-learn"]
    if keras.backend.backend() == "jax":
        packages.append("jax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions


def find_model(data_dir, pretrained):
    """The folder of the model that train.py wrote, else that of one that comes with this.

    Raises:
        ValueError: none that comes with this has the name `pretrained`.
    """
    if pretrained not in PRETRAINED_FOLDERS:
        choices = sorted(PRETRAINED_FOLDERS)
        raise ValueError(f"pretrained must be one of {choices}, got {pretrained!r}")
    trained = Path(data_dir) / "model"
    return trained if (trained / "model.json").is_file() else PRETRAINED_FOLDERS[pretrained]


def open_model(folder):
    """Open what `save_model` wrote: (model, about). Exits with one line where it is missing."""
    for path in (folder / "model.json", folder / "model.keras"):
        if not path.is_file():
            sys.exit(f"{path} is missing. Run: python train.py")
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return keras.saving.load_model(folder / "model.keras", compile=False), about


def check_sample(about, samples_sha256, folder):
    """Exit where a model was trained on another sample than that of a store.

    Args:
        about: of `open_model`.
        samples_sha256: of the store.
        folder: of the model.
    """
    if about["samples_sha256"] != samples_sha256:
        sys.exit(
            f"The model in {folder} was trained on another sample, which may hold movies of this "
            "test split. Run: python train.py"
        )
