"""Two processes on one machine that train together with JAX, as two hosts would."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

from postergenres.dataset.store import open_store
from postergenres.models import saved

import numpy as np
import pandas as pd
import pytest
from conftest import COMPARABLE, ROOT

SCRIPT = (
    COMPARABLE
    + """
import json, sys
hosts = (f"127.0.0.1:{sys.argv[2]}", "127.0.0.1") if sys.argv[2] != "0" else None
train.main(sys.argv[1], hosts=hosts, batch_size=16, seed=3, **json.loads(sys.argv[3]))
"""
)
SETTINGS = {"epochs": 3, "precision": "float32", "ema_momentum": 0.9}
SECONDS = 500  # for a training, which takes about 50 s of a core for each process


@pytest.fixture
def start():
    """A function that starts a process of a training with JAX and kills it at the end."""
    started = []

    def start_process(rank, data, port=0):
        environment = {"KERAS_BACKEND": "jax", "PROCESS_ID": str(rank), "TQDM_DISABLE": "1"}
        environment["JAX_ENABLE_X64"] = "1"  # float64
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(data), str(port), json.dumps(SETTINGS)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


def start_two(start, data):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(rank, data, port) for rank in (0, 1)]


def finish(process):
    """Return what a process printed, and check that it succeeded."""
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_two_processes_train_as_one_and_resume_after_one_was_killed(pipeline, tmp_path, start):
    """They share a data folder; TensorFlow opens the model that the first one writes."""
    pytest.importorskip("jax")
    one, two, killed = (tmp_path / name for name in ("one", "two", "killed"))
    for data in (one, two, killed):
        shutil.copytree(pipeline.data / "store", data / "store")
    finish(start(0, one))
    for process in start_two(start, two):
        assert "epoch 3/3" in finish(process)
    losses = [pd.read_csv(x / "model" / "history.csv")[["loss", "val_loss"]] for x in (one, two)]
    np.testing.assert_allclose(*losses, atol=1e-7)
    network, about = saved.open_model(two / "model")
    store = open_store(pipeline.data)
    val = store.rows("val")
    probabilities = saved.predict_probabilities(network, store.images, val)
    loss = -np.where(store.labels[val], np.log(probabilities), np.log1p(-probabilities)).mean()
    assert loss == pytest.approx(about["scores"]["binary_cross_entropy"]["score"], abs=1e-5)
    assert about["versions"]["jax"]

    processes, begin = start_two(start, killed), time.monotonic()
    while not list(killed.glob("unfinished/*/all/epoch-000001")):
        assert [process.poll() for process in processes] == [None, None]
        assert time.monotonic() - begin < SECONDS
        time.sleep(0.02)
    processes[1].kill()
    processes[0].communicate(timeout=200)
    assert processes[0].returncode
    for process in start_two(start, killed):
        assert "resuming after epoch" in finish(process)
    for name in ("history.csv", "model.keras"):
        assert (two / "model" / name).read_bytes() == (killed / "model" / name).read_bytes()
