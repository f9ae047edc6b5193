"""Start a training from the weights of a trained model, which know posters."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.dataset.store import Store
from postergenres.files import identify_folder
from postergenres.models.description import PRETRAINED_FOLDERS, check_model, find_model, read_about
from postergenres.models.saved import open_model
from postergenres.models.transfer import BACKBONES, fit_head
from postergenres.scores.metrics import estimate_prior
from postergenres.settings import SettingError
from postergenres.training.trained_on import FILE, leave_out, read_lists

import keras
import numpy as np
from scipy.special import logit


@dataclass(frozen=True)
class Weights:
    """A trained model that another training starts from."""

    folder: Path
    about: dict[str, Any]  # content of its model.json
    trained_on: np.ndarray  # movies: see `trained_on.list_movies`

    def describe(self) -> dict[str, Any]:
        """Return what model.json records of it, and what checkpoints depend on."""
        is_pretrained = self.folder in PRETRAINED_FOLDERS.values()
        return {
            "name": self.folder.name if is_pretrained else str(self.folder),
            "checksum": identify_folder(self.folder),
            "movies": len(self.trained_on),
        }


def start_from(weights: str | Path, architecture: str, store: Store) -> tuple[Weights, Store]:
    """Open the weights of a model: see `open_weights`; leave out movies that they were trained on.

    The store that is returned has none of these movies in its validation and test splits.
    """
    opened = open_weights(weights, architecture)
    check_size(opened, *store.images.shape[1:3])
    store, left_out = leave_out(store, opened.trained_on)
    print(
        f"starting from the weights of {opened.describe()['name']}, trained on "
        f"{len(opened.trained_on):,} movies; {left_out['val']:,} validation and "
        f"{left_out['test']:,} test movies are among them and left out"
    )
    return opened, store


def open_weights(weights: str | Path, architecture: str) -> Weights:
    """Open a pretrained model by its name, or the model in a folder.

    Raises:
        SettingError: there is no such model, or it is of another architecture.
        SystemExit: a file of the model is missing or damaged.
    """
    folder = find_model(weights, setting="weights")
    check_model(folder, [FILE])
    about = read_about(folder)
    if about["settings"]["architecture"] != architecture:
        theirs = about["settings"]["architecture"]
        message = f'must be of the network in ARCHITECTURE, "{architecture}"'
        raise SettingError("weights", f'{message}, got {str(weights)!r}, a network "{theirs}"')
    return Weights(folder, about, read_lists(folder))


def check_size(weights: Weights, height: int, width: int) -> None:
    """Exit if a network of one size of posters has weights for another; a backbone has no size."""
    their_height, their_width = weights.about["H"], weights.about["W"]
    is_backbone = weights.about["settings"]["architecture"] in BACKBONES
    if not is_backbone and (their_height, their_width) != (height, width):
        sys.exit(
            f"The weights in {weights.folder} are for posters of {their_height} x {their_width} "
            f"pixels, and the store has {height} x {width}. Run: python preprocessing.py "
            f"--image-height {their_height} --image-width {their_width}"
        )


def start_network(network: keras.Model, weights: Weights, store: Store, sample: np.ndarray) -> None:
    """Set a network to the weights of a trained model; `sample` has the rows to train on.

    A genre that the model predicts keeps its part of the head, with a bias for its share in the
    sample. The head of the other genres is fitted to the features of the posters.
    """
    source, about = open_model(weights.folder)
    for layer, trained in zip(network.layers[:-1], source.layers[:-1], strict=True):
        layer.set_weights(trained.get_weights())
    known = [genre for genre in store.genres if genre in about["genres"]]
    columns, is_known = [about["genres"].index(x) for x in known], np.isin(store.genres, known)
    if not is_known.all():
        fit_head(network, store.images, store.labels, sample)
    head = network.get_layer("genres")
    kernel, bias = head.get_weights()
    source_kernel, source_bias = source.get_layer("genres").get_weights()
    prior = np.array([about["prior"][genre] for genre in known])
    shares = estimate_prior(store.labels[sample])[is_known]
    kernel[:, is_known] = source_kernel[:, columns]
    bias[is_known] = source_bias[columns] + logit(shares) - logit(prior)
    head.set_weights([kernel, bias])
