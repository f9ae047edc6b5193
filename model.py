"""The networks, by name: two CNNs for posters, and EfficientNet-Lite for transfer learning.

    python model.py

prints the layers of "study" and "improved": four Conv2D, a Flatten and two Dense layers. A movie
has several genres, so the last layer is a sigmoid per genre and the outputs do not sum to 1.
"""

from collections.abc import Sequence
from typing import Any

from postergenres.models.export import (
    GRAD_CAM_ACTIVATIONS,
    GRAD_CAM_MAPS,
    GRAD_CAM_NORMALIZATION,
)
from postergenres.models.transfer import BACKBONES, build_transfer

import keras
from keras import layers

Tensor = Any  # keras.KerasTensor, which Keras' stubs do not return


def build_network(
    architecture: str, image_height: int | None, image_width: int | None, genre_count: int
) -> keras.Model:
    """Build a network by name.

    Args:
        architecture: "study", the network of the study that this project follows; "improved"; or
            "efficientnet_lite0", "efficientnet_lite1" or "efficientnet_lite2".
        image_height, image_width: size of the posters in pixels. A backbone also accepts None, for
            posters of any size.
        genre_count: number of outputs.

    Returns:
        An uncompiled model with random weights, from posters, uint8 (batch, H, W, 3), to
        probabilities, float32 (batch, genre_count). Scaling is a layer of the model, so that
        training and prediction cannot disagree.

    Raises:
        ValueError: if the name is unknown or the posters are too small for the network.
    """
    if architecture in BACKBONES:
        return build_transfer(architecture, image_height, image_width, genre_count)
    builders = {"study": study_layers, "improved": improved_layers}
    if architecture not in builders:
        choices = sorted([*builders, *BACKBONES])
        raise ValueError(f"architecture must be one of {choices}, got {architecture!r}")
    if not image_height or not image_width or image_height < 32 or image_width < 32:
        raise ValueError(
            f"posters must be at least 32 x 32 pixels, got {image_height} x {image_width}"
        )
    posters = keras.Input((image_height, image_width, 3), dtype="uint8", name="posters")
    outputs = builders[architecture](posters, genre_count)
    return keras.Model(posters, outputs, name=architecture)


def study_layers(posters: Tensor, genre_count: int) -> Tensor:
    """Connect the layers of the study's network; the pixels are scaled once, not twice as there."""
    x = layers.Rescaling(1 / 255)(posters)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Conv2D(128, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu", name=GRAD_CAM_MAPS)(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.5)(x)
    return genre_probabilities(x, genre_count)


def improved_layers(posters: Tensor, genre_count: int) -> Tensor:
    """Connect the layers of the improved network.

    Batch normalization keeps the wide Dense layer alive; without it the network may only learn the
    prior. Stride 2 and pooling before normalization make a step several times cheaper than a step
    of the study's network.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1)(posters)
    x = conv_block(x, 48, 5, strides=2)
    x = conv_block(x, 128, 3)
    x = conv_block(x, 256, 3)
    grad_cam = (GRAD_CAM_MAPS, GRAD_CAM_NORMALIZATION, GRAD_CAM_ACTIVATIONS)
    x = conv_block(x, 384, 3, names=grad_cam)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.25)(x)
    x = layers.Dense(256, use_bias=False)(x)
    x = batch_norm_relu(x, names=(None, "hidden"))
    x = layers.Dropout(0.25)(x)
    return genre_probabilities(x, genre_count)


def conv_block(
    x: Tensor,
    filters: int,
    kernel: int,
    strides: int = 1,
    names: Sequence[str | None] = (None, None, None),
) -> Tensor:
    """Convolve, pool to half of the height and width, normalize and apply ReLU.

    Args:
        names: of the convolution, the batch normalization and the ReLU layer.
    """
    convolution = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, name=names[0]
    )
    x = layers.MaxPooling2D(2)(convolution(x))
    return batch_norm_relu(x, names=names[1:])


def batch_norm_relu(x: Tensor, names: Sequence[str | None] = (None, None)) -> Tensor:
    """Apply batch normalization (Ioffe and Szegedy 2015) and ReLU."""
    # With momentum 0.9 the moving averages converge within the demonstration set's 200 steps.
    x = layers.BatchNormalization(momentum=0.9, name=names[0])(x)
    return layers.Activation("relu", name=names[1])(x)


def genre_probabilities(x: Tensor, genre_count: int) -> Tensor:
    """Add the output layer: a sigmoid per genre, in float32 under any precision policy."""
    return layers.Dense(genre_count, activation="sigmoid", dtype="float32", name="genres")(x)


def main() -> None:
    """Print the layers of both CNNs for the study's posters and 18 genres."""
    for architecture in ("study", "improved"):
        build_network(architecture, image_height=150, image_width=101, genre_count=18).summary()


if __name__ == "__main__":
    main()
