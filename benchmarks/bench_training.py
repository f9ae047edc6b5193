"""How fast is a training step? Beside Keras as the study used it, and beside PyTorch.

    python benchmarks/bench_training.py             # the ratios
    python benchmarks/bench_training.py --study     # ways to train the study's network
    python benchmarks/bench_training.py --profile   # where the time of a step goes
    python benchmarks/bench_training.py --memory    # of a training on more and more posters

Each contender is a process of its own that waits for its turn; all train on the same random posters
in turns, and ratios are of the same turn. Ours reads batches from a memory map, augments them, and
takes the precision that train.py would choose; the others have their posters in memory. The rate of
a large matrix multiplication in float32 is measured in the same turns: what of it a network reaches
says how much there is left to gain. Takes about ten minutes. PyTorch is not in requirements.txt:
install it, or name the Python of an environment that has it in the variable TORCH_PYTHON.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from measuring import describe, watching_memory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# --- settings -------------------------------------------------------------------------------------
IMAGE_HEIGHT = 150  # pixels
IMAGE_WIDTH = 101
GENRES = 23
POSTERS = 640  # that one turn trains on; the study's network takes a quarter
TURNS = 5
PYTHON = sys.executable  # of the processes; PyTorch's may have an environment of its own
TORCH_PYTHON = os.environ.get("TORCH_PYTHON", PYTHON)
# --------------------------------------------------------------------------------------------------


# --- contenders: each returns a function that trains on a number of posters -----------------------


def keras_as_the_study():
    """Float32 posters and labels in memory, batches of 16, Adagrad, `model.fit` as it comes."""
    from model import build_model, keras

    posters = draw_posters(POSTERS // 4).astype(np.float32)
    network = build_model("study", IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    inputs = keras.Input((IMAGE_HEIGHT, IMAGE_WIDTH, 3))
    x = inputs
    for layer in network.layers[1:]:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.compile("adagrad", "binary_crossentropy")
    labels = draw_labels(len(posters))
    return lambda: model.fit(posters, labels, batch_size=16, epochs=1, verbose=0), len(posters)


def ours(architecture, count):
    """What train.py does in an epoch, but for the validation."""
    from batches import Batches
    from devices import choose_precision, computing_in
    from model import build_model, keras

    file = Path(tempfile.mkdtemp()) / "images.npy"
    np.save(file, draw_posters(count))

    def build():
        return build_model(architecture, IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)

    precision = choose_precision("auto", build, 32)
    with computing_in(precision):
        network = build()
    images, labels = np.load(file, mmap_mode="r"), {"genres": draw_labels(count)}
    batches = Batches(images, labels, np.arange(count), 32, seed=0, shift=0.08)
    learner = keras.Model(network.input, {"genres": network.output})
    learner.compile(keras.optimizers.AdamW(1e-3), {"genres": "binary_crossentropy"})
    return lambda: learner.fit(batches, epochs=1, shuffle=False, verbose=0), count


def ours_study():
    return ours("study", POSTERS // 4)


def ours_improved():
    return ours("improved", POSTERS)


def keras_improved():
    """The improved network on posters in memory, without augmentation, as PyTorch has it."""
    import tensorflow as tf

    from model import build_model, keras

    network = build_model("improved", IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    network.compile(keras.optimizers.AdamW(1e-3), "binary_crossentropy")
    posters, labels = tf.constant(draw_posters(32)), tf.constant(draw_labels(32))

    def turn():
        for _ in range(POSTERS // 32):
            network.train_on_batch(posters, labels)

    return turn, POSTERS


def pytorch_improved():
    """The same network in PyTorch, channels last, float32."""
    import torch
    from torch import nn

    def convolve(channels, filters, kernel, stride):
        convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        return convolution, nn.MaxPool2d(2), nn.BatchNorm2d(filters, 1e-3), nn.ReLU()

    network = nn.Sequential(
        *convolve(3, 48, 5, 2),
        *convolve(48, 128, 3, 1),
        *convolve(128, 256, 3, 1),
        *convolve(256, 384, 3, 1),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(384 * 4 * 3, 256, bias=False),
        nn.BatchNorm1d(256, 1e-3),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(256, GENRES),
    ).to(memory_format=torch.channels_last)
    posters, labels = torch.from_numpy(draw_posters(32)), torch.from_numpy(draw_labels(32))

    def scale(batch):
        return batch.permute(0, 3, 1, 2).float().div(127.5).sub(1)  # channels last in memory

    network(scale(posters))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loss = nn.BCEWithLogitsLoss()

    def turn():
        for _ in range(POSTERS // 32):
            optimizer.zero_grad(set_to_none=True)
            loss(network(scale(posters)), labels).backward()
            optimizer.step()

    return turn, POSTERS


def matrix_multiplication(size=2048, repeats=10):
    """Multiply two float32 matrices; the "posters" of a turn are its GFLOP."""
    import tensorflow as tf

    one, other = tf.random.normal((2, size, size))

    def turn():
        for _ in range(repeats):
            product = tf.matmul(one, other)
        product.numpy()

    return turn, repeats * 2 * size**3 / 1e9


CONTENDERS = (
    keras_as_the_study,
    ours_study,
    pytorch_improved,
    keras_improved,
    ours_improved,
    matrix_multiplication,
)


# Ways to train the study's network: batch size, what `compile` is told, precision.
WAYS = {
    "batches of 8": (8, {}, "float32"),
    "batches of 16": (16, {}, "float32"),
    "batches of 32": (32, {}, "float32"),
    "batches of 64": (64, {}, "float32"),
    "XLA": (32, {"jit_compile": True}, "float32"),
    "bfloat16": (32, {}, "bfloat16"),
    "six steps per call": (32, {"steps_per_execution": 6}, "float32"),
}


def study_in_another_way(way):
    from devices import computing_in
    from model import build_model, keras

    batch_size, options, precision = WAYS[way]
    with computing_in(precision):
        network = build_model("study", IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    network.compile(keras.optimizers.AdamW(1e-4), "binary_crossentropy", **options)
    posters, labels = draw_posters(192), draw_labels(192)
    return lambda: network.fit(posters, labels, batch_size, verbose=0), len(posters)


def draw_posters(count, height=IMAGE_HEIGHT, width=IMAGE_WIDTH):
    shape = (count, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def draw_labels(count):
    return (np.random.default_rng(1).random((count, GENRES)) < 0.1).astype(np.float32)


def serve(name):
    """Take turns as the process of a contender: a line in, images per second out."""
    turn, count = study_in_another_way(name) if name in WAYS else globals()[name]()
    turn()  # builds what is built once
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        turn()
        print("rate", count / (time.perf_counter() - begin), flush=True)


# --- the comparison -------------------------------------------------------------------------------


def main():
    rates = take_turns([contender.__name__ for contender in CONTENDERS])
    multiplication = np.array(rates.pop("matrix_multiplication"))
    print(f"matrix multiplication, float32: {describe(multiplication, 0)} GFLOP/s")
    for name, values in rates.items():
        gflop = step_gflop("study" if "study" in name else "improved")
        share = gflop * np.array(values) / multiplication
        print(f"{name}: {describe(values, 0)} images per second, {describe(share, 2)} of that rate")
    for one, other in (
        ("ours_study", "keras_as_the_study"),
        ("keras_improved", "pytorch_improved"),
        ("ours_improved", "pytorch_improved"),
        ("ours_improved", "keras_improved"),
    ):
        print(f"{one} / {other}: {describe(np.divide(rates[one], rates[other]), 2)}")


def compare_ways():
    first = keras_as_the_study.__name__
    rates = take_turns([first, *WAYS])
    print(f"{first}: {describe(rates[first], 0)} images per second")
    for way in WAYS:
        print(f"{way}: {describe(np.divide(rates[way], rates[first]), 2)} times that")


def take_turns(names, turns=TURNS):
    """Images per second of each contender in each turn, {name: [...]}."""
    processes = {name: start(name) for name in names}
    rates = {name: [] for name in names}
    for _ in range(turns):
        for name, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            rates[name].append(read_until(process, "rate "))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return rates


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
            return float(line.split()[1]) if " " in word else None
    sys.exit(f"{process.args[-1]} ended: is what it needs installed? See requirements.txt here")


def step_gflop(architecture):
    """GFLOP of a training step per image: the products of the layers, forwards and twice backwards.

    The first convolution has no gradient for its input.
    """
    from model import build_model, keras

    network = build_model(architecture, IMAGE_HEIGHT, IMAGE_WIDTH, GENRES)
    gflop, times = 0, 2
    for layer in network.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            places = np.prod(layer.output.shape[1:-1])  # 1 for a Dense
            gflop += times * places * np.prod(layer.kernel.shape) * 2 / 1e9
            times = 3
    return gflop


# --- the profile ----------------------------------------------------------------------------------


def profile(steps=20):
    """Print the share of each kind of oneDNN primitive in the time of our improved steps."""
    script = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import bench_training as bench
turn, count = bench.keras_improved()
turn()
print("begin", flush=True)
start = time.perf_counter()
turn()
print("end", 1000 * (time.perf_counter() - start), flush=True)
"""
    environment = os.environ | {"ONEDNN_VERBOSE": "1"}
    command = [PYTHON, "-c", script]
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
    milliseconds["TensorFlow's own kernels, and the rest"] = total - sum(milliseconds.values())
    print(f"a step of 32 posters: {total / (POSTERS // 32):.1f} ms, of which")
    for kind, spent in milliseconds.most_common():
        print(f"  {kind:<45} {spent / total:6.1%}")


# --- memory ---------------------------------------------------------------------------------------


def measure_memory(counts=(4_000, 16_000, 64_000)):
    """Print the peak memory of train.py on stores of small posters; on Linux only."""
    for count in counts:
        command = [PYTHON, __file__, "--train", str(count)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(output.splitlines()[-1], flush=True)


def train_on(count):
    """Train for an epoch on posters of 32 x 32, and print the peak of the memory of our own.

    Pages of files, which the system can take back, are not counted.
    """
    import pandas as pd

    import train
    from store import write_store

    data_dir = Path(tempfile.mkdtemp())
    store = data_dir / "store"
    store.mkdir()
    np.save(store / "posters.npy", draw_posters(count, 32, 32))
    split = np.resize(["train"] * 8 + ["val", "test"], count)
    samples = pd.DataFrame({"id": [f"tt{i:07d}" for i in range(count)], "split": split})
    samples = samples.assign(copies=1, sha256="0" * 64, error="")
    about = {"genres": [f"genre {i}" for i in range(GENRES)], "H": 32, "W": 32}
    labels = draw_labels(count).astype(np.uint8)
    write_store(store, store / "posters.npy", samples, labels, about | {"samples_sha256": ""})
    del samples, labels, split
    with watching_memory() as memory:
        train.main(data_dir, epochs=1)
    shutil.rmtree(data_dir)
    print(f"{count:,} posters: {memory.peak:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast is a training step?")
    parser.add_argument("--study", action="store_true", help="ways to train the study's network")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes")
    parser.add_argument("--memory", action="store_true", help="of more and more posters")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.train:
        train_on(options.train)
    elif options.study:
        compare_ways()
    elif options.profile:
        profile()
    elif options.memory:
        measure_memory()
    else:
        main()
