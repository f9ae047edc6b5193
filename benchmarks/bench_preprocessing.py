"""Step 3 beside other ways to decode and resize the same posters, in turns, in one run.

    python benchmarks/bench_preprocessing.py               # posters that are drawn
    python benchmarks/bench_preprocessing.py data/posters  # those of a folder

On one core: decode_poster of decoding.py, the study's way (imageio, then skimage.transform.resize,
one by one), OpenCV with INTER_AREA, its way to make images smaller, tf.data with antialiasing
(bicubic, as here, and its default, bilinear, which weighs a quarter of the pixels), and the limit:
Pillow's JPEG decoder in draft mode, without any resizing. Then the whole of step 3 with one process
and with two, beside the same work in processes that share nothing and write nothing. The posters
are taken as they are and enlarged to WIDE as well. Takes about ten minutes on two cores.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import study
from measuring import ROOT, format_range
from PIL import Image

from bench_download import draw_posters

from postergenres.dataset.decoding import decode_poster
from postergenres.download.manifest import poster_path
from postergenres.files import write_csv

# --- settings -------------------------------------------------------------------------------------
POSTERS_DIR = None  # a folder of .jpg; None draws some, 182 x 268 as those of IMDb
POSTERS = 4000  # of the folder, in each comparison
WIDE = 500  # pixels, as TMDb's w500
HEIGHT, WIDTH = 150, 101  # pixels
REPEATS = 3
# --------------------------------------------------------------------------------------------------


def main(posters_dir=POSTERS_DIR, posters=POSTERS, wide=WIDE, repeats=REPEATS):
    """Print the rates, and their ratios with the median and the range."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if posters_dir is None:
            posters_dir = folder / "drawn"
            draw_posters(posters_dir, 500)
        sources = sorted(Path(posters_dir).glob("*.jpg"))
        taken = [sources[i % len(sources)] for i in range(posters)]
        compare("posters as they are", taken, folder / "as they are", repeats)
        (folder / "wide").mkdir()
        enlarged = [enlarge(path, folder / "wide", wide) for path in sorted(set(taken))]
        taken = [enlarged[i % len(enlarged)] for i in range(posters)]
        compare(f"posters {wide} pixels wide", taken, folder / "wide posters", repeats)


def compare(title, paths, folder, repeats):
    """Print the rates of all contestants on these posters, and the ratios to ours."""
    paths = list(map(str, paths))
    data = make_data(folder, paths, len(paths))
    rates = []
    for _ in range(repeats):
        one_core = {
            "decode_poster": time_loop(decode_ours, paths),
            "study": time_loop(decode_study, paths[: len(paths) // 4]),
            "OpenCV": time_loop(decode_opencv, paths),
            "decoder alone": time_loop(decode_only, paths),
            "tf.data bicubic, 1 thread": run_apart("bicubic", 1, *paths)[0],
            "tf.data bicubic, 2 threads": run_apart("bicubic", 2, *paths)[0],
            "tf.data bilinear, 1 thread": run_apart("bilinear", 1, *paths)[0],
            "tf.data bilinear, 2 threads": run_apart("bilinear", 2, *paths)[0],
            "apart, 1 process": time_apart(paths, 1),
            "apart, 2 processes": time_apart(paths, 2),
        }
        steps = {f"step 3, {n} workers": time_step(data, n, len(paths)) for n in (1, 2)}
        rates.append(one_core | steps)
    print(f"\n{title}: {len(paths):,}, posters per second")
    print(pd.DataFrame(rates).T.to_string(float_format="{:,.0f}".format))
    for ours, other in (
        ("decode_poster", "study"),
        ("decode_poster", "OpenCV"),
        ("decode_poster", "decoder alone"),
        ("decode_poster", "tf.data bicubic, 1 thread"),
        ("decode_poster", "tf.data bilinear, 1 thread"),
        ("step 3, 2 workers", "tf.data bicubic, 2 threads"),
        ("step 3, 2 workers", "tf.data bilinear, 2 threads"),
        ("step 3, 2 workers", "step 3, 1 workers"),
        ("apart, 2 processes", "apart, 1 process"),
    ):
        ratios = [row[ours] / row[other] for row in rates]
        print(f"{ours} / {other}: {format_range(ratios, 2)}")


# --- the contestants: each returns posters per second ---------------------------------------------


def time_loop(decode, paths):
    decode(paths[0])  # imports what it needs
    start = time.perf_counter()
    for path in paths:
        decode(path)
    return len(paths) / (time.perf_counter() - start)


def decode_ours(path):
    return decode_poster(path, HEIGHT, WIDTH)


def decode_study(path):
    return study.decode(path, HEIGHT, WIDTH)


def decode_opencv(path):
    import cv2

    cv2.setNumThreads(1)  # one core, as for the others
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_only(path):
    with Image.open(path) as image:
        image.draft("RGB", (2 * WIDTH, 2 * HEIGHT))
        image.load()


def time_tf_data(paths, method, threads):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)

    def decode(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, (HEIGHT, WIDTH), method, antialias=True)
        return tf.saturate_cast(image, tf.uint8)

    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    posters = tf.data.Dataset.from_tensor_slices(paths)
    posters = posters.map(decode, num_parallel_calls=threads).batch(32).with_options(options)
    next(iter(posters.take(1)))  # traces the function
    start = time.perf_counter()
    for _ in posters:
        pass
    return len(paths) / (time.perf_counter() - start)


def time_apart(paths, processes):
    """The same decoding in processes that share nothing: what the machine's cores allow."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(decode_all, [paths[:20]] * processes, chunksize=1)  # starts them
        start = time.perf_counter()
        pool.map(decode_all, [paths[i::processes] for i in range(processes)], chunksize=1)
        return len(paths) / (time.perf_counter() - start)


def decode_all(paths):
    for path in paths:
        decode_ours(path)


def time_step(data, workers, count):
    """The whole of step 3, from the start of main() to its end."""
    shutil.rmtree(data / "store", ignore_errors=True)
    return count / run_apart("step", workers, data)[0]


def run_step(workers, data):
    """Step 3 in this process: its seconds."""
    import preprocessing

    start = time.perf_counter()
    preprocessing.main(data, HEIGHT, WIDTH, workers)
    return time.perf_counter() - start


def run_apart(what, number, *arguments):
    """Run a contestant in a Python of its own. Returns the numbers that it prints last."""
    command = [sys.executable, __file__, what, str(number), *map(str, arguments)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout
    return [float(word) for word in output.splitlines()[-1].split()]


# --- posters --------------------------------------------------------------------------------------


def enlarge(path, folder, width):
    target = folder / path.name
    with Image.open(path) as image:
        size = (width, round(width * image.height / image.width))
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(target, quality=85)
    return target


def make_data(folder, paths, count):
    """A data folder with the posters, repeated under new ids until there are `count` of them."""
    (folder / "posters").mkdir(parents=True)
    ids = [f"tt{i:07d}" for i in range(count)]
    for i, movie in enumerate(ids):
        os.symlink(Path(paths[i % len(paths)]).resolve(), poster_path(folder, movie))
    split = np.resize(["train"] * 14 + ["val"] * 3 + ["test"] * 3, count)
    samples = pd.DataFrame({"id": ids, "title": "A title of some length", "genres": "Drama"})
    write_csv(samples.assign(split=split, copies=1), folder / "samples.csv")
    return folder


if __name__ == "__main__":
    if sys.argv[1:2] in (["bicubic"], ["bilinear"]):
        print(time_tf_data(sys.argv[3:], sys.argv[1], int(sys.argv[2])))
    elif sys.argv[1:2] == ["step"]:
        print(run_step(int(sys.argv[2]), Path(sys.argv[3])))
    else:
        parser = argparse.ArgumentParser(description="How fast are posters decoded and stored?")
        parser.add_argument("folder", nargs="?", default=POSTERS_DIR, help="of .jpg")
        parser.add_argument("--posters", type=int, default=POSTERS, help="in each comparison")
        options = parser.parse_args()
        main(options.folder, options.posters)
