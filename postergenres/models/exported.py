"""Run an exported network, model.tflite, in LiteRT: it starts in a tenth of a second."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from postergenres.files import file_sha256, without_checksum
from postergenres.models.description import (
    CHECKSUM,
    EXPORT_CHECKSUM,
    PRETRAINED_FOLDERS,
    read_about,
    refuse,
    write_about,
)
from postergenres.quiet_import import hiding_notes

MOST_THREADS = 8  # each has a copy of the weights


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
            (probabilities, heat_maps): float32 (N, G), and float32 (N, rows, columns, G) or None if
            an older version trained the network; see `export.export_model`.
        """
        results = list(self.pool.map(self.predict_one, posters))
        probabilities = np.concatenate([result["probabilities"] for result in results])
        if "heat_maps" not in results[0]:
            return probabilities, None
        return probabilities, np.concatenate([result["heat_maps"] for result in results])

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


def open_exported(folder):
    """Open the exported network of a model, and verify that it is as it was written.

    A missing or damaged model.tflite of your own model is made again from model.keras.

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
        export_again(folder, about)
    model = ExportedModel(path)
    with hiding_notes():  # LiteRT writes one when the first thread starts
        model.pool.submit(model.find_runner).result()
    return model, without_checksum(about, CHECKSUM, EXPORT_CHECKSUM)


def export_again(folder, about):
    """Write model.tflite from model.keras, and its checksum unless model.json has none."""
    # Here, because they load Keras.
    import postergenres.training.backend  # noqa: F401  # first: hides the notes of TensorFlow
    from postergenres.models.export import export_model
    from postergenres.models.saved import open_model

    path = folder / "model.tflite"
    print(f"{path} is missing, damaged or of another model; making it again from model.keras")
    export_model(open_model(folder)[0], path)
    if CHECKSUM in about:
        write_about(about, folder)
