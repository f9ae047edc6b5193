"""The CNN and its files: four Conv2D, a Flatten and two Dense, the last a sigmoid per genre.

    python model.py

prints the layers of both. A movie has several genres, so each genre has a probability of its own:
the outputs do not sum to 1.
"""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the CPU are no news

import keras
import numpy as np
from keras import layers
from tqdm import tqdm

# The models that come with this, by architecture; what they are: see data/pretrained/README.md.
PRETRAINED_FOLDERS = {
    name: Path(__file__).parent / "data" / "pretrained" / name
    for name in ("efficientnet_lite2", "improved")
}


def build_model(architecture, image_height, image_width, genre_count):
    """Build a network by name: "study" or "improved".

    Args:
        architecture: "study", the network of the study this project follows, or "improved".
        image_height, image_width: pixels of the posters.
        genre_count: number of outputs.

    Returns:
        An uncompiled `keras.Model` from posters, (batch, H, W, 3) of 0 to 255, to probabilities,
        (batch, genre_count). Scaling is a layer of the model, so that training and prediction
        cannot disagree.

    Raises:
        ValueError: the name is unknown, or the posters are too small for the network.
    """
    architectures = {"study": build_study, "improved": build_improved}
    if architecture not in architectures:
        raise ValueError(
            f"architecture must be one of {sorted(architectures)}, got {architecture!r}"
        )
    if image_height < 32 or image_width < 32:
        raise ValueError(
            f"posters of at least 32 x 32 are needed, got {image_height} x {image_width}"
        )
    posters = keras.Input((image_height, image_width, 3), dtype="uint8", name="posters")
    outputs = architectures[architecture](posters, genre_count)
    return keras.Model(posters, outputs, name=architecture)


def build_study(posters, genre_count):
    """The study's network. Its scaling, applied twice in the study, is applied once."""
    x = layers.Rescaling(1 / 255)(posters)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Conv2D(128, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.5)(x)
    return layers.Dense(genre_count, activation="sigmoid", dtype="float32", name="genres")(x)


def build_improved(posters, genre_count):
    """Normalised throughout: without that the wide Dense can die, and the prior is all it says.

    The first convolution looks at every second pixel, and a pooling follows each before it is
    normalised, so that a step is several times cheaper than one of the study's network.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1)(posters)
    x = convolve(x, 48, 5, strides=2)
    x = convolve(x, 128, 3)
    x = convolve(x, 256, 3)
    x = convolve(x, 384, 3)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Dense(256, use_bias=False)(x)
    x = normalise(x, name="hidden")
    x = layers.Dropout(0.25)(x)
    return layers.Dense(genre_count, activation="sigmoid", dtype="float32", name="genres")(x)


def convolve(x, filters, kernel, strides=1):
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    return normalise(layers.MaxPooling2D(2)(x))


def normalise(x, name=None):
    """Batch normalisation (Ioffe and Szegedy 2015) and ReLU."""
    x = layers.BatchNormalization(momentum=0.9)(x)  # 0.9 settles within the demo's 200 steps
    return layers.Activation("relu", name=name)(x)


def predict_probabilities(model, images, rows, batch_size=64):
    """Predict the posters in these rows of an array, batch by batch, so that memory stays flat.

    Args:
        images: (N, H, W, 3) of 0 to 255, memory-mapped or not.
        rows: (M,) row numbers.

    Returns:
        (M, G) probabilities, float64.
    """
    starts = range(0, len(rows), batch_size)
    shown = tqdm(starts, desc="predicting", unit="batch", leave=False, disable=None)  # in no log
    return np.concatenate([predict_batch(model, images[rows[i : i + batch_size]]) for i in shown])


def predict_batch(model, posters):
    """Mean outputs for posters and their mirror images, probabilities: (batch, G), float64."""
    views = (posters, np.ascontiguousarray(posters[:, :, ::-1]))
    return np.mean([model.predict_on_batch(view) for view in views], axis=0, dtype=np.float64)


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


def main():
    """Print the layers of both networks for the study's posters and 18 genres."""
    for architecture in ("study", "improved"):
        build_model(architecture, image_height=150, image_width=101, genre_count=18).summary()


if __name__ == "__main__":
    main()
