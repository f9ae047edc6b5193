"""Find a model's folder, check its files and read model.json, without loading Keras."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from postergenres.files import find_damage, read_json, restore_folder
from postergenres.settings import SettingError

# The pretrained models, by architecture; see postergenres/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[1] / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}


def choose_model(data_dir: Path) -> Path:
    """Return the folder of the model that train.py wrote, or else of the best pretrained one."""
    trained = data_dir / "model"
    restore_folder(trained)
    return trained if trained.is_dir() else PRETRAINED_FOLDERS["efficientnet_lite2"]


def find_model(model: str | Path, setting: str = "model") -> Path:
    """Return the folder of a model: of a pretrained one by its name, or the folder itself.

    Raises:
        SettingError: there is no such model.
    """
    folder = PRETRAINED_FOLDERS.get(str(model), Path(model))
    restore_folder(folder)
    if not folder.is_dir():
        names = ", ".join(f'"{name}"' for name in PRETRAINED_FOLDERS)
        raise SettingError(setting, f"should be {names} or the folder of a model, got {model!r}")
    return folder


def read_about(folder: Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Check the files of a model, see `check_model`, and return the content of its model.json."""
    check_model(folder, names)
    return read_json(folder / "model.json")


def check_model(folder: Path, names: Iterable[str] | None = None) -> None:
    """Exit with a line if a file that will be read, None for all, is missing or was changed."""
    if damage := find_damage(folder, names):
        is_pretrained = folder in PRETRAINED_FOLDERS.values()
        restore = f"git checkout -- {folder}; without a clone, install the package again"
        sys.exit(f"{damage}. Run: {restore if is_pretrained else 'python train.py'}")


def check_sample(about: dict[str, Any], samples_sha256: str, folder: Path) -> None:
    """Exit with a line if a model, `about` is its model.json, was trained on another sample."""
    if about["samples_sha256"] != samples_sha256:
        sys.exit(
            f"The model in {folder} was trained on another sample and may have seen movies of this "
            "test split. Run: python train.py"
        )
