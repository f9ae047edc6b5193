"""Run an exported network, model.tflite, in LiteRT: it starts in a tenth of a second."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from postergenres.files import read_checksums, record_checksums

import numpy as np
from ai_edge_litert.interpreter import Interpreter

FILE = "model.tflite"
MOST_THREADS = 8  # each has a copy of the weights
OPENING = threading.Lock()  # one at a time hides stderr


class Outputs(NamedTuple):
    """What an exported network returns for N posters, see `export.export_model`."""

    probabilities: np.ndarray  # float32 (N, G)
    heat_maps: np.ndarray  # float32 (N, rows, columns, G)
    features: np.ndarray  # float32 (N, F), the input of the last layer


class ExportedModel:
    """A model.tflite that predicts posters in LiteRT, a poster at a time on each core."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.thread = threading.local()
        self.pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))

    def predict(self, posters: np.ndarray) -> Outputs:
        """Predict posters, uint8 (N, H, W, 3), each averaged with its mirror image."""
        results = list(self.pool.map(self.predict_one, posters))
        return Outputs(*(np.concatenate([x[name] for x in results]) for name in Outputs._fields))

    def predict_one(self, poster: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the network for a poster, by their names."""
        return self.find_runner()(posters=poster[None])

    def find_runner(self) -> Any:
        """Return the function of this thread that runs the network."""
        if not hasattr(self.thread, "run"):
            with OPENING, hiding_stderr():
                interpreter = Interpreter(model_content=self.content, num_threads=1)
                interpreter.allocate_tensors()
            self.thread.run = interpreter.get_signature_runner()
        return self.thread.run

    def describe_outputs(self) -> dict[str, tuple[int, ...]]:
        """Return {name: shape} of the outputs of the network."""
        details = self.pool.submit(self.find_runner).result().get_output_details()
        return {name: tuple(output["shape"].tolist()) for name, output in details.items()}


@contextmanager
def hiding_stderr() -> Iterator[None]:
    """Hide what C++ code writes to stderr in the block: LiteRT has no setting for its notes."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def add_missing_export(folder: Path) -> None:
    """Write model.tflite of a model that was trained with JAX, if it has none yet."""
    checksums = read_checksums(folder)
    if checksums and FILE not in checksums:
        add_export(folder)


def add_export(folder: Path) -> None:
    """Write model.tflite of a model from its model.keras."""
    from postergenres.models.export import export_model  # here, because they load Keras
    from postergenres.models.saved import open_model

    model, _ = open_model(folder)
    export_model(model, folder / FILE)
    record_checksums(folder, [FILE])
    print(f"wrote {folder / FILE}")
