import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from postergenres.dataset.store import open_store
from postergenres.models import inference, saved
from postergenres.training import multihost

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, contents
from filelock import FileLock

import train

ADDRESSES = ("10.0.0.1:9999", "10.0.0.2")
SETTINGS = {"epochs": 4, "batch_size": 16, "seed": 3}


@pytest.mark.parametrize("bad", [(), "10.0.0.1:9999", ("10.0.0.1", "10.0.0.2"), (9999,), ("a:b",)])
def test_bad_addresses_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="hosts must be addresses .* got"):
        train.main(tmp_path, hosts=bad)


def test_another_backend_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="HOSTS needs JAX .requirements/hosts.txt. .* from 0 to 1"):
        train.main(tmp_path, hosts=ADDRESSES)


@pytest.mark.parametrize("number", [None, "", "2", "-1", "one"])
def test_a_missing_or_wrong_rank_names_the_command(monkeypatch, number):
    monkeypatch.setattr(multihost.keras.backend, "backend", lambda: "jax")
    monkeypatch.delenv("PROCESS_ID", raising=False)
    if number is not None:
        monkeypatch.setenv("PROCESS_ID", number)
    with pytest.raises(SystemExit, match="Run: KERAS_BACKEND=jax PROCESS_ID=0 python train.py"):
        multihost.find_index(ADDRESSES)
    monkeypatch.setenv("PROCESS_ID", "1")
    assert multihost.find_index(ADDRESSES) == 1


def test_a_single_process_exchanges_nothing():
    with multihost.joining(None) as process:
        process.agree({"seed": 0})
        assert process.share([1, 2]) == [1, 2] and process.share_folder("nowhere") is None
    assert (process.index, process.count, process.folder) == (0, 1, None)


def test_facts_that_differ_are_found():
    same = {"seed": 0, "store": "abc"}
    assert multihost.find_differences([same, dict(same)]) == []
    assert multihost.find_differences([same, same | {"seed": 1}, {"store": "abc"}]) == ["seed"]
    assert multihost.find_differences([{}, same]) == ["seed", "store"]


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["epochs", "seed"], "Use the same train.py on all hosts"),
        (["store"], "Copy DATA_DIR/store from one host to the others"),
        (["teacher"], "Copy DATA_DIR/distillation from one host to the others"),
        (
            ["seed", "versions"],
            "Use the same train.py on all hosts. Install the same requirements on all hosts",
        ),
    ],
)
def test_processes_that_differ_are_told_what_to_do(names, advice):
    assert multihost.explain_differences(names) == (
        f"The processes of HOSTS do not have the same {', '.join(names)}. {advice}. Then run on "
        "each host: python train.py"
    )


def test_without_jax_its_backend_names_the_command(tmp_path):
    """The fake module makes the import fail even if JAX is installed."""
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('none', name='jax')")
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "train.py"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert (
        result.stderr.strip()
        == "JAX is missing. Run: python -m pip install -r requirements/hosts.txt"
    )


class JaxRuntimeError(RuntimeError):
    """A stand-in for JAX's exception, which has the same name."""


@pytest.mark.parametrize(
    "error",
    [
        JaxRuntimeError("UNAVAILABLE: failed to connect to all addresses"),
        JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out."),
        JaxRuntimeError("ABORTED: The following tasks are unhealthy"),
        JaxRuntimeError("CANCELLED: RPC was cancelled"),
        JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer"),
        JaxRuntimeError("INTERNAL: Coordination service has stopped."),
        ValueError("UNKNOWN: Gloo AllGather failed: Read error: Connection reset by peer"),
    ],
)
def test_errors_of_the_connection_mean_a_lost_process(error):
    assert multihost.is_lost_peer(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 1000 bytes."),
        JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1000 bytes."),
        JaxRuntimeError("INTERNAL: Failed to launch a kernel"),
        JaxRuntimeError("INVALID_ARGUMENT: gloo"),
        ValueError("UNAVAILABLE: no cake"),
        RuntimeError("INTERNAL: gloo"),
        KeyError("UNKNOWN: gloo"),
    ],
)
def test_other_errors_do_not_mean_a_lost_process(error):
    assert not multihost.is_lost_peer(error)


JOIN = """
import keras
from postergenres.training import multihost
keras.backend.backend = lambda: "jax"
multihost.connect, multihost.disconnect = (lambda *_: None), (lambda: None)
with multihost.joining(("127.0.0.1:9999",)) as process:
    print("rank", process.index, process.folder)
"""


def run_joined(line):
    """Run a line of Python in the block of `joining`; returns exit status, output and errors."""
    result = subprocess.run(
        [sys.executable, "-c", f"{JOIN}    {line}"],
        cwd=ROOT,
        env=os.environ | {"PROCESS_ID": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.slow
def test_an_error_of_memory_shows_its_traceback():
    error = "RESOURCE_EXHAUSTED: Out of memory allocating 1000 bytes."
    status, output, errors = run_joined(f"raise ValueError({error!r})")
    assert status == 1 and output == "rank 0 None\n"
    assert "Traceback" in errors and f"ValueError: {error}" in errors
    assert "Another process" not in errors


def test_a_lost_process_is_reported_in_one_line():
    status, _, errors = run_joined('raise ValueError("UNKNOWN: Gloo AllGather failed")')
    assert status == 1 and "Traceback" not in errors
    line = errors.strip().splitlines()[-1]
    assert line == f"{multihost.LOST} (UNKNOWN: Gloo AllGather failed)"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGABRT")
@pytest.mark.slow
def test_an_abort_is_reported_in_one_line():
    status, _, errors = run_joined("import os; os.abort()")
    assert status == 1 and errors.strip().splitlines()[-1] == multihost.LOST


@pytest.mark.parametrize("line, code", [("pass", 0), ("raise SystemExit(3)", 3)])
@pytest.mark.slow
def test_exit_statuses_pass_through(line, code):
    assert run_joined(line)[:2] == (code, "rank 0 None\n")


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
    """A function that starts a process of a training with JAX and kills it at the end."""
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
    """Return what a process printed, and check that it succeeded."""
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors[-3000:]
    return output


def last_line(process, seconds):
    """Return the last line of a process, and check that it failed within these seconds."""
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
    """Each process has its own store; TensorFlow opens the model that rank 0 writes."""
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
def test_if_one_process_is_killed_the_other_ends_and_both_resume(pipeline, tmp_path, start):
    """Kill rank 1, then rank 0; the weights are equal to the weights of undisturbed processes."""
    pytest.importorskip("jax")
    whole, killed = (copy_store(pipeline, tmp_path / name) for name in ("whole", "killed"))
    for process in start_two(start, whole, whole):
        finish(process)
    for epoch, victim in ((1, 1), (2, 0)):
        processes = start_two(start, killed, killed)
        checkpoint = killed / "model" / "unfinished" / "all" / f"epoch-{epoch:06}"
        while not checkpoint.is_dir():
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
def test_a_process_without_heartbeats_counts_as_lost(pipeline, tmp_path, start):
    pytest.importorskip("jax")
    psutil = pytest.importorskip("psutil")  # a dependency of Dask
    data = copy_store(pipeline, tmp_path / "data")
    first, second = start_two(start, data, data, epochs=500, patience=500)
    while not list(data.glob("model/unfinished/all/epoch-*")):
        assert first.poll() is None
        time.sleep(0.02)
    psutil.Process(second.pid).children()[0].suspend()  # not its parent, which has no connection
    assert last_line(first, multihost.SILENT_SECONDS + 30).startswith("Another process of HOSTS")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_process_ends_both_and_frees_the_port(pipeline, tmp_path, start, number, status):
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    port = free_port()
    first, second = (start(rank, data, port, epochs=500, patience=500) for rank in (0, 1))
    while not list(data.glob("model/unfinished/all/epoch-*")):
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(number)
    _, errors = first.communicate(timeout=30)
    assert first.returncode == status and "Traceback" not in errors
    assert ("run: python train.py" in errors) == (number == signal.SIGINT)
    assert last_line(second, 30).startswith("Another process of HOSTS")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


@pytest.mark.slow
def test_processes_that_wait_in_vain_end_in_one_line(pipeline, tmp_path, start):
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    for index in (0, 1):
        line = last_line(start(index, data, free_port(), seconds=3), seconds=60)
        assert "Another process of HOSTS" in line or "have started within 3 s" in line


@pytest.mark.slow
def test_an_error_of_one_process_ends_both(pipeline, tmp_path, start):
    """Each process prints its own reason."""
    pytest.importorskip("jax")
    data = copy_store(pipeline, tmp_path / "data")
    port = free_port()
    for process in (start(0, data, port), start(1, data, port, seed=4)):
        assert last_line(process, 90) == (
            "The processes of HOSTS do not have the same seed. Use the same train.py on all hosts. "
            "Then run on each host: python train.py"
        )
    for process in start_two(start, data, data, batch_size=15):
        assert last_line(process, 90).startswith(
            "BATCH_SIZE must be a multiple of the number of devices, 2"
        )
    for process in start_two(start, data, data, learning_rate=1e30):
        assert last_line(process, 90).startswith("The loss is not a number.")
    first, second = start_two(start, data, tmp_path)
    assert last_line(second, 90).endswith("Run: python preprocessing.py")
    assert last_line(first, 90).startswith("Another process of HOSTS")
    with FileLock(data / "model" / "train.lock"):
        first, second = start_two(start, data, data)
        assert last_line(first, 90).startswith("Another train.py is writing to")
        assert last_line(second, 90).startswith("Another process of HOSTS")
    assert not list(tmp_path.glob("temporary-*/train-*"))
