import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, contents
from filelock import FileLock

import train
from postergenres.dataset.store import open_store
from postergenres.evaluation import inference
from postergenres.models import saved
from postergenres.training import multihost

ADDRESSES = ("10.0.0.1:9999", "10.0.0.2")
SETTINGS = {"epochs": 4, "batch_size": 16, "seed": 3}


@pytest.mark.parametrize("bad", [(), "10.0.0.1:9999", ("10.0.0.1", "10.0.0.2"), (9999,), ("a:b",)])
def test_bad_addresses(tmp_path, bad):
    with pytest.raises(ValueError, match="hosts must be addresses .* got"):
        train.main(tmp_path, hosts=bad)


def test_another_backend_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="HOSTS needs JAX .requirements.hosts.txt. .* 0 to 1"):
        train.main(tmp_path, hosts=ADDRESSES)


@pytest.mark.parametrize("number", [None, "", "2", "-1", "one"])
def test_a_missing_or_wrong_number_names_the_command(monkeypatch, number):
    monkeypatch.setattr(multihost.keras.backend, "backend", lambda: "jax")
    monkeypatch.delenv("PROCESS_ID", raising=False)
    if number is not None:
        monkeypatch.setenv("PROCESS_ID", number)
    with pytest.raises(SystemExit, match="Run: KERAS_BACKEND=jax PROCESS_ID=0 python train.py"):
        multihost.find_index(ADDRESSES)
    monkeypatch.setenv("PROCESS_ID", "1")
    assert multihost.find_index(ADDRESSES) == 1


def test_the_only_process_has_nobody_to_ask():
    with multihost.joining(None) as process:
        process.agree({"seed": 0})
        assert process.share([1, 2]) == [1, 2] and process.share_folder("nowhere") is None
    assert (process.index, process.count, process.folder) == (0, 1, None)


def test_facts_that_differ_are_named():
    same = {"seed": 0, "store": "abc"}
    assert multihost.find_differences([same, dict(same)]) == []
    assert multihost.find_differences([same, same | {"seed": 1}, {"store": "abc"}]) == ["seed"]
    assert multihost.find_differences([{}, same]) == ["seed", "store"]


def test_without_jax_its_backend_names_the_command(tmp_path):
    """A package that cannot be found, wherever JAX is installed or not."""
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('none', name='jax')")
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "train.py"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert (
        result.stderr.strip()
        == "JAX is missing. Run: python -m pip install -r requirements/hosts.txt"
    )


# --- processes ------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
import train
from postergenres.training import multihost
multihost.JOIN_SECONDS = int(sys.argv[4])
addresses = (f"127.0.0.1:{sys.argv[2]}", "127.0.0.1") if sys.argv[2] != "0" else None
train.main(sys.argv[1], hosts=addresses, **json.loads(sys.argv[3]))
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts one process of a training on JAX; they are killed at the end."""
    started = []

    def start_process(index, data, port=0, seconds=120, **settings):
        temporary = tmp_path / f"temporary-{index}"
        temporary.mkdir(exist_ok=True)
        environment = {"KERAS_BACKEND": "jax", "PROCESS_ID": str(index), "TMPDIR": str(temporary)}
        arguments = [str(data), str(port), json.dumps(SETTINGS | settings), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=ROOT,
            env=os.environ | {"TQDM_DISABLE": "1"} | environment,
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


def copy_store(pipeline, folder):
    shutil.copytree(pipeline.data / "store", folder / "store")
    return folder


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_two(start, *folders, **settings):
    port = free_port()
    return [start(index, folder, port, **settings) for index, folder in enumerate(folders)]


def finish(process):
    """What a process printed, once it has ended as it should."""
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors[-3000:]
    return output


def last_line(process, seconds):
    """The last line of a process that failed within so many seconds."""
    _, errors = process.communicate(timeout=seconds)
    assert process.returncode == 1 and "Traceback" not in errors, errors[-3000:]
    return errors.splitlines()[-1]


def weights_of(data):
    return saved.open_model(data / "model")[0].get_weights()


def losses_of(data):
    return pd.read_csv(data / "model" / "history.csv")[["loss", "val_loss"]].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["study", "improved"])
def test_two_processes_train_as_one(pipeline, tmp_path, start, architecture):
    """The second has a store of its own; the first writes what predict.py, on TensorFlow, opens."""
    pytest.importorskip("jax")
    one, two, copied = (copy_store(pipeline, tmp_path / name) for name in ("one", "two", "copied"))
    before = contents(copied)
    settings = {"architecture": architecture, "epochs": 2}
    finish(start(0, one, precision="float32", **settings))
    first, second = start_two(start, two, copied, **settings)
    assert "epoch 2/2" in finish(first)
    assert "epoch" not in finish(second) and contents(copied) == before
    assert not list(tmp_path.glob("temporary-*/train-*"))
    np.testing.assert_allclose(losses_of(one), losses_of(two), atol=2e-3)
    np.testing.assert_allclose(losses_of(one)[0], losses_of(two)[0], atol=2e-5)
    about = json.loads((two / "model" / "model.json").read_text())
    assert about["settings"]["precision"] == "float32" and about["versions"]["jax"]
    network, _ = saved.open_model(two / "model")
    store = open_store(pipeline.data)
    val = store.rows("val")
    probabilities = inference.predict_probabilities(network, store.images, val)
    labels = store.labels[val]
    loss = -np.where(labels, np.log(probabilities), np.log1p(-probabilities)).mean()
    assert loss == pytest.approx(about["scores"]["binary_cross_entropy"]["score"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_where_one_is_killed_the_other_ends_and_all_go_on(pipeline, tmp_path, start):
    """First the second, then the first; the weights are those of two that were left alone."""
    pytest.importorskip("jax")
    whole, killed = (copy_store(pipeline, tmp_path / name) for name in ("whole", "killed"))
    for process in start_two(start, whole, whole):
        finish(process)
    for epoch, victim in ((1, 1), (2, 0)):
        processes = start_two(start, killed, killed)
        sealed = killed / "model" / "unfinished" / "all" / f"epoch-{epoch:06}"
        while not sealed.is_dir():
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.02)
        processes[victim].kill()
        line = last_line(processes[1 - victim], seconds=30)
        assert line.startswith("Another process of HOSTS has ended") and "python train.py" in line
    first, second = start_two(start, killed, killed)
    assert "resuming after epoch" in finish(first)
    finish(second)
    for one, other in zip(weights_of(whole), weights_of(killed), strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = (data / "model" / "history.csv" for data in (whole, killed))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")
def test_one_that_says_nothing_is_given_up(pipeline, tmp_path, start):
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    first, second = start_two(start, data, data, epochs=500, patience=500)
    while not list(data.glob("model/unfinished/all/epoch-*")):
        assert first.poll() is None
        time.sleep(0.02)
    second.send_signal(signal.SIGSTOP)
    assert last_line(first, multihost.SILENT_SECONDS + 30).startswith("Another process of HOSTS")


@pytest.mark.slow
def test_nobody_comes(pipeline, tmp_path, start):
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    for index in (0, 1):
        line = last_line(start(index, data, free_port(), seconds=3), seconds=60)
        assert "Another process of HOSTS" in line or "have come together in 3 s" in line


@pytest.mark.slow
def test_what_ends_one_ends_both(pipeline, tmp_path, start):
    """Each in its own words, and soon."""
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    port = free_port()
    for process in (start(0, data, port), start(1, data, port, seed=4)):
        assert last_line(process, 90) == "The processes of HOSTS do not have the same seed."
    for process in start_two(start, data, data, batch_size=15):
        assert last_line(process, 90).startswith("Make BATCH_SIZE in train.py a multiple of 2")
    for process in start_two(start, data, data, learning_rate=1e30):
        assert last_line(process, 90).startswith("The loss is not a number.")
    first, second = start_two(start, data, tmp_path)
    assert last_line(second, 90).endswith("Run: python preprocessing.py")
    assert last_line(first, 90).startswith("Another process of HOSTS")
    with FileLock(data / "model" / "train.lock"):
        first, second = start_two(start, data, data)
        assert last_line(first, 90).startswith("Another train.py is at work")
        assert last_line(second, 90).startswith("Another process of HOSTS")
    assert not list(tmp_path.glob("temporary-*/train-*"))
