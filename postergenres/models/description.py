"""Find a model's folder, check its files and read model.json, without loading Keras."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from postergenres.files import find_damage, read_json, restore_folder

# The pretrained models in this repository, by architecture; see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[2] / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}


def find_model(data_dir: Path, pretrained: str) -> Path:
    """Return the folder of the model that train.py wrote, or else of a pretrained model.

    Args:
        data_dir: the folder that train.py wrote to.
        pretrained: architecture of the pretrained model, a key of `PRETRAINED_FOLDERS`.
    """
    trained = data_dir / "model"
    restore_folder(trained)
    return trained if trained.is_dir() else PRETRAINED_FOLDERS[pretrained]


def read_about(folder: Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Check the files of a model and return the content of its model.json.

    Args:
        folder: of the model.
        names: see `check_model`.

    Raises:
        SystemExit: see `check_model`.
    """
    check_model(folder, names)
    return read_json(folder / "model.json")


def check_model(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check that the files of a model are as they were written.

    Args:
        folder: of the model.
        names: of the files that will be read; None for all.

    Raises:
        SystemExit: a line that names a missing or changed file and the command to get it again.
    """
    damage = find_damage(folder, names)
    if damage:
        is_pretrained = folder in PRETRAINED_FOLDERS.values()
        sys.exit(
            f"{damage}. Run: {f'git checkout -- {folder}' if is_pretrained else 'python train.py'}"
        )


def check_sample(about: dict[str, Any], samples_sha256: str, folder: Path) -> None:
    """Check that a model was trained on the sample of a store.

    Args:
        about: content of model.json.
        samples_sha256: checksum of the store's samples.csv.
        folder: of the model, for the message.

    Raises:
        SystemExit: the model was trained on another sample.
    """
    if about["samples_sha256"] != samples_sha256:
        sys.exit(
            f"The model in {folder} was trained on another sample and may have seen movies of this "
            "test split. Run: python train.py"
        )
