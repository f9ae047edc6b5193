"""Compare the speed of a training step with Keras as the study used it, and with PyTorch.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_training.py             # the ratios
    python benchmarks/bench_training.py --study     # ways to train the study's network
    python benchmarks/bench_training.py --profile   # the share of each kind of operation

Each contestant is a process that waits for its turn, and each ratio is of one turn; the order of
the contestants is drawn for each turn. All train on random posters of one size. Ours reads batches
from a memory map and augments them, once with and once without that work; the others have their
posters in memory. The precision is the one that train.py would choose; the study's method uses
float32. A large matrix multiplication takes turns with them: the share of its rate that a network
reaches shows how much could still be gained.

Two ratios are printed: of the elapsed time, and of the processor time. Only the second one says
something if other programs use the same cores; with --core it is that of one core, without the
waiting of threads for each other.

    python benchmarks/bench_training.py --core 1    # on one core

PyTorch is left out if it is missing. Install it, or set the variable TORCH_PYTHON to the Python of
an environment with PyTorch, NumPy and psutil; torch.compile also needs a C++ compiler. Takes about
ten minutes, twenty with --study.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import study
from measuring import format_range

# --- settings -------------------------------------------------------------------------------------
IMAGE_HEIGHT = 150  # pixels
IMAGE_WIDTH = 101  # pixels
GENRES = 23  # outputs
POSTERS = 640  # per turn; a quarter of it for the study's network, which is slower
TURNS = 5  # after two to warm up
PYTHON = sys.executable  # of all processes but PyTorch's
TORCH_PYTHON = os.environ.get("TORCH_PYTHON", PYTHON)  # of PyTorch's processes
# --------------------------------------------------------------------------------------------------


# --- contestants ----------------------------------------------------------------------------------
#
# Each returns a function that trains for one turn, and the number of posters of a turn. TensorFlow
# and PyTorch are imported in the functions, because each process needs only one of them.


def keras_as_the_study(precision):
    """Train as the study did: float32 posters in memory, batches of 16, Adagrad."""
    posters = random_posters(POSTERS // 4).astype(precision) / 255
    network = study.build(IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    labels = random_labels(len(posters))
    return lambda: network.fit(posters, labels, batch_size=16, epochs=1, verbose=0), len(posters)


def ours(architecture, count, precision, prepare=True):
    """Train as train.py does in an epoch, without the validation.

    Args:
        architecture: see `model.build_network`.
        count: posters of a turn.
        precision: "float32" or "bfloat16".
        prepare: whether to read and augment each batch; if not, the same batch is used again.
    """
    from postergenres.training.augmentation import Augmentation
    from postergenres.training.input import Batches, Shuffle, feed
    from postergenres.training.precision import computing_in

    from model import build_network, keras

    file = Path(tempfile.mkdtemp()) / "images.npy"
    np.save(file, random_posters(count))
    with computing_in(precision):
        network = build_network(architecture, IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    images, labels = np.load(file, mmap_mode="r"), {"genres": random_labels(count)}
    shuffle = Shuffle(0, Augmentation(shift=0.08))
    batches = Batches(images, labels, np.arange(count), 32, shuffle=shuffle)
    if not prepare:
        batch = batches[0]
        batches = type("OneBatch", (Batches,), {"__getitem__": lambda self, number: batch})(
            images, labels, np.arange(count), 32, shuffle=shuffle
        )
    training_network = keras.Model(network.input, {"genres": network.output})
    training_network.compile(keras.optimizers.AdamW(1e-3), {"genres": "binary_crossentropy"})
    dataset = feed(batches)
    return lambda: training_network.fit(dataset, epochs=1, shuffle=False, verbose=0), count


def ours_study(precision):
    return ours("study", POSTERS // 4, precision)


def ours_improved(precision):
    return ours("improved", POSTERS, precision)


def ours_study_prepared(precision):
    """Train as train.py does, but without reading and augmentation."""
    return ours("study", POSTERS // 4, precision, prepare=False)


def ours_improved_prepared(precision):
    """Train as train.py does, but without reading and augmentation."""
    return ours("improved", POSTERS, precision, prepare=False)


def keras_improved(precision):
    """Train the improved network on posters in memory, without augmentation, as PyTorch does."""
    from postergenres.training.precision import computing_in

    import tensorflow as tf

    from model import build_network, keras

    with computing_in(precision):
        network = build_network("improved", IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    network.compile(keras.optimizers.AdamW(1e-3), "binary_crossentropy")
    posters, labels = tf.constant(random_posters(32)), tf.constant(random_labels(32))

    def turn():
        for _ in range(POSTERS // 32):
            network.train_on_batch(posters, labels)

    return turn, POSTERS


def pytorch_study(precision, compiled=False):
    """Train the study's network in PyTorch, in the channels-last layout."""
    from torch import nn

    layers = (
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Conv2d(128, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, GENRES)),
    )
    return train_pytorch(layers, POSTERS // 4, precision, compiled, scale=255, offset=0)


def pytorch_improved(precision, compiled=False):
    """Train the improved network in PyTorch, in the channels-last layout."""
    from torch import nn

    def block(channels, filters, kernel, stride):
        convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        return convolution, nn.MaxPool2d(2), nn.BatchNorm2d(filters, 1e-3), nn.ReLU()

    layers = (
        *block(3, 48, 5, 2),
        *block(48, 128, 3, 1),
        *block(128, 256, 3, 1),
        *block(256, 384, 3, 1),
        *(nn.Flatten(), nn.Dropout(0.25), nn.LazyLinear(256, bias=False)),
        *(nn.BatchNorm1d(256, 1e-3), nn.ReLU(), nn.Dropout(0.25), nn.Linear(256, GENRES)),
    )
    return train_pytorch(layers, POSTERS, precision, compiled, scale=127.5, offset=-1)


def pytorch_study_compiled(precision):
    return pytorch_study(precision, compiled=True)


def pytorch_improved_compiled(precision):
    return pytorch_improved(precision, compiled=True)


def train_pytorch(layers, count, precision, compiled, scale, offset):
    """Train layers in PyTorch with AdamW in batches of 32.

    Args:
        layers: modules from pixels to logits.
        count: posters of a turn.
        precision: "float32" or "bfloat16".
        compiled: whether to use torch.compile.
        scale, offset: pixels are divided by `scale`, then `offset` is added.
    """
    import torch

    network = torch.nn.Sequential(*layers)
    posters, labels = torch.from_numpy(random_posters(32)), torch.from_numpy(random_labels(32))

    def forward():
        pixels = posters.permute(0, 3, 1, 2).float().div(scale).add(offset)  # channels last
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return network(pixels).float()

    forward()  # the first dense layer learns its size
    network.to(memory_format=torch.channels_last)
    predict = torch.compile(forward) if compiled else forward
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loss = torch.nn.BCEWithLogitsLoss()

    def turn():
        for _ in range(count // 32):
            optimizer.zero_grad(set_to_none=True)
            loss(predict(), labels).backward()
            optimizer.step()

    return turn, count


def matrix_multiplication(precision, size=2048, repeats=10):
    """Multiply two square matrices; the number of posters of a turn is its GFLOP instead."""
    import tensorflow as tf

    one, other = tf.cast(tf.random.normal((2, size, size)), precision)

    def turn():
        for _ in range(repeats):
            product = tf.matmul(one, other)
        product.numpy()

    return turn, repeats * 2 * size**3 / 1e9


# Ways to train the study's network: batch size, options of `compile`, precision, environment.
ONE_AT_A_TIME = {"TF_NUM_INTEROP_THREADS": "1"}
WAYS = {
    "batches of 8": (8, {}, "float32", {}),
    "batches of 16, posters as uint8": (16, {}, "float32", {}),
    "batches of 32": (32, {}, "float32", {}),
    "batches of 64": (64, {}, "float32", {}),
    "XLA": (32, {"jit_compile": True}, "float32", {}),
    "bfloat16": (32, {}, "bfloat16", {}),
    "six steps per call": (32, {"steps_per_execution": 6}, "float32", {}),
    "one operation at a time": (32, {}, "float32", ONE_AT_A_TIME),
}


def study_in_another_way(way):
    """Train the study's network in one of the WAYS."""
    batch_size, options, precision, environment = WAYS[way]
    os.environ.update(environment)  # before the import of TensorFlow, which reads it
    from postergenres.training.precision import computing_in

    from model import build_network, keras

    with computing_in(precision):
        network = build_network("study", IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    network.compile(keras.optimizers.AdamW(1e-4), "binary_crossentropy", **options)
    posters, labels = random_posters(192), random_labels(192)
    return lambda: network.fit(posters, labels, batch_size, verbose=0), len(posters)


def random_posters(count, height=IMAGE_HEIGHT, width=IMAGE_WIDTH):
    shape = (count, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def random_labels(count):
    return (np.random.default_rng(1).random((count, GENRES)) < 0.1).astype(np.float32)


def serve(name):
    """Run a contestant: train for a turn per line of stdin.

    Prints after each turn posters per second and posters per second of processor time.
    """
    if name in WAYS:
        turn, count = study_in_another_way(name)
    else:
        contestant, precision = name.split(", ")
        turn, count = globals()[contestant](precision)
    turn()  # builds the graph
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        turn()
        elapsed, used = time.perf_counter() - begin, time.process_time() - used
        print("rate", count / elapsed, count / used, flush=True)


# --- the comparison -------------------------------------------------------------------------------


CONTESTANTS = ("ours_{}", "ours_{}_prepared", "pytorch_{}", "pytorch_{}_compiled")


def main():
    """Print posters per second of each contestant, its share of a multiplication, and ratios."""
    precisions = {name: choose(name) for name in ("study", "improved")}
    names = {}
    for name, chosen in precisions.items():
        for contestant in CONTESTANTS:
            names[contestant.format(name)] = f"{contestant.format(name)}, {chosen}"
    names["keras_improved"] = f"keras_improved, {precisions['improved']}"
    names["keras_as_the_study"] = "keras_as_the_study, float32"
    for precision in {*precisions.values(), "float32"}:
        names[precision] = f"matrix_multiplication, {precision}"
    rates = take_turns(names.values())
    for name in names.values():
        if name not in rates:
            continue
        values, precision = rates[name][:, 0], name.split(", ")[1]
        if name == names[precision]:
            print(f"{name}: {format_range(values, 0)} GFLOP/s")
            continue
        gflop = step_gflop("study" if "study" in name else "improved")
        share = format_range(gflop * values / rates[names[precision]][:, 0], 2)
        print(
            f"{name}: {format_range(values, 0)} posters per second, {share} of the rate of a "
            "matrix multiplication"
        )
    for one, other in (
        ("ours_study", "keras_as_the_study"),
        ("ours_study", "pytorch_study"),
        ("ours_study", "pytorch_study_compiled"),
        ("ours_study", "ours_study_prepared"),
        ("keras_improved", "pytorch_improved"),
        ("ours_improved", "pytorch_improved"),
        ("ours_improved", "pytorch_improved_compiled"),
        ("ours_improved", "ours_improved_prepared"),
        ("ours_improved", "keras_improved"),
    ):
        if names[other] in rates:
            elapsed, used = (rates[names[one]] / rates[names[other]]).T
            print(
                f"{one} / {other}: {format_range(elapsed, 2)}, of processor time "
                f"{format_range(used, 2)}"
            )


def choose(architecture):
    """Return the precision that train.py would choose on this machine."""
    from postergenres.training.precision import choose_precision

    from model import build_network

    build = partial(build_network, architecture, IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    return choose_precision("auto", build, 32)


def compare_ways():
    """Print the speed of each of the WAYS to train the study's network, relative to the study's."""
    first = "keras_as_the_study, float32"
    rates = take_turns([first, *WAYS, "pytorch_study, float32"])
    print(f"{first}: {format_range(rates[first][:, 0], 0)} posters per second")
    for way in list(rates)[1:]:
        print(f"{way} / {first}: {format_range((rates[way] / rates[first])[:, 0], 2)}")


def take_turns(names, turns=TURNS):
    """Run the contestants in turns, each turn in another order.

    Returns {name: (turns, 2), posters per second and per second of processor time}.

    Contestants of PyTorch are left out if it is missing.
    """
    if subprocess.run([TORCH_PYTHON, "-c", "import torch"], capture_output=True).returncode:
        print("PyTorch is missing and left out. Install it, or set TORCH_PYTHON to another Python")
        names = [name for name in names if "torch" not in name]
    processes = {name: start(name) for name in names}
    rates = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for _ in range(turns):
        for name in rng.permutation(list(processes)):
            process = processes[name]
            process.stdin.write("\n")
            process.stdin.flush()
            rates[name].append(read_until(process, "rate "))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {name: np.array(values) for name, values in rates.items()}


def start(name):
    python = TORCH_PYTHON if "torch" in name else PYTHON
    command = [python, __file__, "--serve", name]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    read_until(process, "ready")
    return process


def read_until(process, word):
    for line in process.stdout:
        if line.startswith(word):
            return [float(value) for value in line.split()[1:]]
    command = shlex.join(map(str, process.args))
    sys.exit(f"{process.args[-1]} stopped with an error. To see it, run: {command}")


def step_gflop(architecture):
    """Return the GFLOP of a training step per poster.

    Each layer multiplies once forwards and twice backwards, for the gradients of its weights and
    its input. The first convolution needs no gradient for its input.
    """
    from model import build_network, keras

    network = build_network(architecture, IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    gflop, passes = 0, 2
    for layer in network.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            places = np.prod(layer.output.shape[1:-1])  # 1 for a Dense
            gflop += passes * places * np.prod(layer.kernel.shape) * 2 / 1e9
            passes = 3
    return gflop


# --- the profile ----------------------------------------------------------------------------------


def run_profiled():
    """Train the improved network for one turn, between a line "begin" and a line "end"."""
    turn, _ = keras_improved("float32")
    turn()
    print("begin", flush=True)
    start = time.perf_counter()
    turn()
    print("end", 1000 * (time.perf_counter() - start), flush=True)


def profile():
    """Print the share of each kind of oneDNN primitive in a training step of our network."""
    environment = os.environ | {"ONEDNN_VERBOSE": "1"} | ONE_AT_A_TIME  # so that none overlap
    command = [PYTHON, __file__, "--run-profiled"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
    spent, end = re.search(r"^begin\n(.*)^end (\S+)", output, re.DOTALL | re.MULTILINE).groups()
    milliseconds = Counter()
    for line in spent.splitlines():
        fields = line.split(",")
        if fields[0] == "onednn_verbose" and "exec" in fields:
            kind = fields[fields.index("exec") + 2]
            way = next((field for field in fields if field.startswith(("forward", "backward"))), "")
            milliseconds[f"{kind} {way}".strip()] += float(fields[-1])
    total = float(end)
    milliseconds["TensorFlow's own kernels and the rest"] = total - sum(milliseconds.values())
    print(f"a step of 32 posters takes {total / (POSTERS // 32):.1f} ms:")
    for kind, spent in milliseconds.most_common():
        print(f"  {kind:<45} {spent / total:6.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare the speed of a training step.")
    parser.add_argument("--study", action="store_true", help="ways to train the study's network")
    parser.add_argument("--profile", action="store_true", help="the share of each operation")
    parser.add_argument("--core", type=int, help="run everything on this core")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--run-profiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.serve:
        serve(options.serve)
    elif options.run_profiled:
        run_profiled()
    elif options.study:
        compare_ways()
    elif options.profile:
        profile()
    else:
        main()
