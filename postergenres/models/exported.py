"""Run an exported network, model.tflite, in LiteRT: it starts in a tenth of a second."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from postergenres.models.description import (
    CHECKSUM,
    EXPORT_CHECKSUM,
    PRETRAINED_FOLDERS,
    read_about,
    refuse,
    write_about,
)
from postergenres.old_files import file_sha256, without_checksum
from postergenres.quiet_import import hiding_notes

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MOST_THREADS = 8  # each has a copy of the weights


class Outputs(NamedTuple):
    """What an exported network returns for N posters, see `export.export_model`.

    Attributes:
        probabilities: float32 (N, G).
        heat_maps: float32 (N, rows, columns, G); None if an older version trained the network.
        features: float32 (N, F), the input of the last layer.
    """

    probabilities: np.ndarray
    heat_maps: np.ndarray
    features: np.ndarray


class ExportedModel:
    """A network that predicts posters in LiteRT, a poster at a time on each core.

    Args:
        path: of model.tflite.
    """

    def __init__(self, path):
        self.content = Path(path).read_bytes()
        self.thread = threading.local()
        self.pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))

    def predict(self, posters):
        """Predict posters, each averaged with its mirror image.

        Args:
            posters: uint8 (N, H, W, 3).

        Returns:
            Outputs.
        """
        results = list(self.pool.map(self.predict_one, posters))
        return Outputs(
            *(
                np.concatenate([result[name] for result in results]) if name in results[0] else None
                for name in Outputs._fields
            )
        )

    def predict_one(self, poster):
        """Return the outputs of the network for a poster, as arrays by their names."""
        return self.find_runner()(posters=poster[None])

    def find_runner(self):
        """Return the function of this thread that runs the network."""
        if not hasattr(self.thread, "run"):
            interpreter = Interpreter(model_content=self.content, num_threads=1)
            interpreter.allocate_tensors()
            self.thread.run = interpreter.get_signature_runner()
        return self.thread.run

    def describe_outputs(self):
        """Return {name: shape} of the outputs of the network, from a thread that has opened it."""
        with hiding_notes():  # LiteRT writes one when the first thread starts
            details = self.pool.submit(self.find_runner).result().get_output_details()
        return {name: tuple(output["shape"].tolist()) for name, output in details.items()}


def open_exported(folder):
    """Open the exported network of a model, and verify that it is as it was written.

    A model.tflite of your own model that is missing, damaged or of an older version is made again
    from model.keras.

    Args:
        folder: the folder of model.keras, model.tflite and model.json.

    Returns:
        The `ExportedModel`, and the content of model.json without its checksums.

    Raises:
        SystemExit: if a file is missing, damaged or changed, or belongs to another model.
    """
    folder = Path(folder)
    about, path = read_about(folder), folder / "model.tflite"
    is_whole = path.is_file() and file_sha256(path) == about.get(EXPORT_CHECKSUM)
    if not is_whole and folder in PRETRAINED_FOLDERS.values():
        refuse(path, "is missing or damaged")
    if not is_whole:
        export_again(folder, about, "is missing, damaged or of another model")
    model = ExportedModel(path)
    if "features" not in model.describe_outputs():
        export_again(folder, about, "was written by an older version")
        model = ExportedModel(path)
        model.describe_outputs()
    return model, without_checksum(about, CHECKSUM, EXPORT_CHECKSUM)


def export_again(folder, about, reason):
    """Write model.tflite from model.keras, and its checksum unless model.json has none."""
    # Here, because they load Keras.
    from postergenres.models.export import export_model
    from postergenres.models.saved import open_model

    path = folder / "model.tflite"
    print(f"{path} {reason}; making it again from model.keras")
    export_model(open_model(folder)[0], path)
    if CHECKSUM in about:
        write_about(about, folder)
