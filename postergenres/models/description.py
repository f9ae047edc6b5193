"""Find a model's folder, and read, check and write model.json, without loading Keras."""

import sys
from pathlib import Path

from postergenres.old_files import (
    add_checksum,
    file_sha256,
    has_checksum,
    read_json,
    without_checksum,
    write_json,
)

# The pretrained models in this repository, by architecture; see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parents[2] / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}
CHECKSUM, EXPORT_CHECKSUM = "model_sha256", "export_sha256"  # of model.keras and model.tflite
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


def write_about(about, folder):
    """Write model.json with the checksums of the model's files and of its content; return it all.

    Args:
        about: content of model.json; checksums in it are replaced.
        folder: of model.keras and perhaps model.tflite.
    """
    about = without_checksum(about, CHECKSUM, EXPORT_CHECKSUM)
    about[CHECKSUM] = file_sha256(folder / "model.keras")
    if (folder / "model.tflite").is_file():
        about[EXPORT_CHECKSUM] = file_sha256(folder / "model.tflite")
    about = add_checksum(about)
    write_json(about, folder / "model.json")
    return about


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
