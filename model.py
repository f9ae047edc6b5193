"""The CNN and its files: four Conv2D, a Flatten and two Dense, the last a sigmoid per genre.

    python model.py

prints the layers of both. A movie has several genres, so each genre has a probability of its own:
the outputs do not sum to 1.
"""

import keras
from keras import layers

from postergenres.models.transfer import BACKBONES, build_transfer


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


def build_network(architecture, image_height, image_width, genre_count):
    """Build a network by name: see `model.build_model` and `transfer.build_transfer`.

    A backbone takes posters of any size where height and width are None.
    """
    build = build_transfer if architecture in BACKBONES else build_model
    return build(architecture, image_height, image_width, genre_count)


def main():
    """Print the layers of both networks for the study's posters and 18 genres."""
    for architecture in ("study", "improved"):
        build_model(architecture, image_height=150, image_width=101, genre_count=18).summary()


if __name__ == "__main__":
    main()
