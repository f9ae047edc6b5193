"""Compare step 3 with other ways to decode and resize the same posters.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_preprocessing.py               # drawn posters
    python benchmarks/bench_preprocessing.py data/posters  # the posters of a folder
    python -m pip install -r requirements/cluster.txt      # for the rows of Dask
    python benchmarks/bench_preprocessing.py data/posters --only-dask

The contestants take turns, and each ratio is of one turn. On one core:

- decode_poster: what step 3 does: libjpeg-turbo (simplejpeg), then cykooz-resizer.
- Pillow: draft mode, then bicubic, as step 3 did before.
- study: imageio, then skimage.transform.resize, one poster after the other.
- OpenCV: with INTER_AREA, which its documentation recommends for shrinking.
- tf.data: with antialiasing; bicubic as in step 3, and bilinear, the default, which reads a quarter
  of the pixels; with one thread and with two.
- decoder alone: libjpeg-turbo scaled down as in step 3, without resizing. This is the limit.

Then all of step 3, with one process and with two, the same decoding in separate processes that
write nothing, and all of step 3 on one Dask worker and on two, of one core each on this machine.
The posters are used in their own size, then enlarged to a width of WIDE pixels.
Takes about ten minutes on two cores.
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

from postergenres.dataset.decoding import choose_scale, decode_poster, decode_scaled
from postergenres.download.manifest import poster_path
from postergenres.files import write_csv

import numpy as np
import pandas as pd
import simplejpeg
import study
from measuring import format_range
from PIL import Image
from posters import draw_posters

# --- settings -------------------------------------------------------------------------------------
POSTERS_DIR = None  # a folder of .jpg; None draws some of 182 x 268 pixels, as IMDb serves them
POSTERS = 4000  # per comparison
WIDE = 500  # pixels, width of the enlarged posters, as TMDb serves them under w500
HEIGHT, WIDTH = 150, 101  # pixels, the size to resize to
REPEATS = 3  # turns
# --------------------------------------------------------------------------------------------------


def main(posters_dir=POSTERS_DIR, posters=POSTERS, *, wide=WIDE, repeats=REPEATS, only_dask=False):
    """Print posters per second of each contestant, and the ratios with median and range.

    Args:
        posters_dir: folder of .jpg; None draws some.
        posters: posters per comparison; files are repeated if there are fewer.
        wide: width in pixels of the enlarged posters.
        repeats: number of turns.
        only_dask: compare only the Dask workers, on the enlarged posters.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if posters_dir is None:
            posters_dir = folder / "drawn"
            draw_posters(posters_dir, 500)
        sources = sorted(Path(posters_dir).glob("*.jpg"))
        taken = [sources[i % len(sources)] for i in range(posters)]
        if not only_dask:
            compare("posters in their own size", taken, folder / "own size", repeats)
        (folder / "wide").mkdir()
        enlarged = [enlarge(path, folder / "wide", wide) for path in sorted(set(taken))]
        taken = [enlarged[i % len(enlarged)] for i in range(posters)]
        if not only_dask:
            compare(f"posters {wide} pixels wide", taken, folder / "wide posters", repeats)
        compare_clusters(taken, folder / "dask", repeats)


def compare(title, paths, folder, repeats):
    """Print posters per second of all contestants on the same posters, and the ratios.

    Args:
        title: of the table.
        paths: poster files.
        folder: the data folder to make for step 3.
        repeats: number of turns.
    """
    paths = list(map(str, paths))
    data = make_data(folder, paths, len(paths))
    rates = [take_turn(paths, data) for _ in range(repeats)]
    print(f"\n{title}: {len(paths):,}, posters per second")
    print(pd.DataFrame(rates).T.to_string(float_format="{:,.0f}".format))
    for ours, other in (
        ("decode_poster", "study"),
        ("decode_poster", "Pillow"),
        ("decode_poster", "OpenCV"),
        ("decode_poster", "decoder alone"),
        ("decode_poster", "tf.data bicubic, 1 thread"),
        ("decode_poster", "tf.data bilinear, 1 thread"),
        ("step 3, 2 workers", "tf.data bicubic, 2 threads"),
        ("step 3, 2 workers", "tf.data bilinear, 2 threads"),
        ("step 3, 2 workers", "step 3, 1 worker"),
        ("separate, 2 processes", "separate, 1 process"),
    ):
        ratios = [row[ours] / row[other] for row in rates]
        print(f"{ours} / {other}: {format_range(ratios, 2)}")


def compare_clusters(paths, folder, repeats):
    """Print the time of step 3 on two Dask workers of one core each, as a share of that on one."""
    data, ratios = make_data(folder, paths, len(paths)), []
    for _ in range(repeats):
        one, two = (time_cluster(data, workers, len(paths)) for workers in (1, 2))
        print(f"step 3 on Dask, posters per second: 1 worker {one:,.0f}, 2 workers {two:,.0f}")
        ratios.append(one / two)
    print(f"time on 2 Dask workers / time on 1: {format_range(ratios, 2)}")


def take_turn(paths, data):
    """Run every contestant once; returns {contestant: posters per second}."""
    return {
        "decode_poster": time_loop(decode_ours, paths),
        "study": time_loop(decode_study, paths[: len(paths) // 4]),
        "Pillow": time_loop(decode_pillow, paths),
        "OpenCV": time_loop(decode_opencv, paths),
        "decoder alone": time_loop(decode_only, paths),
        "tf.data bicubic, 1 thread": run_separately("bicubic", 1, *paths),
        "tf.data bicubic, 2 threads": run_separately("bicubic", 2, *paths),
        "tf.data bilinear, 1 thread": run_separately("bilinear", 1, *paths),
        "tf.data bilinear, 2 threads": run_separately("bilinear", 2, *paths),
        "separate, 1 process": time_processes(paths, 1),
        "separate, 2 processes": time_processes(paths, 2),
        "step 3, 1 worker": time_step(data, 1, len(paths)),
        "step 3, 2 workers": time_step(data, 2, len(paths)),
    }


# --- contestants: each returns posters per second -------------------------------------------------


def time_loop(decode, paths):
    decode(paths[0])  # the first call imports modules
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

    cv2.setNumThreads(1)  # one core, like the other contestants
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_pillow(path):
    with Image.open(path) as image:
        image.draft("RGB", (2 * WIDTH, 2 * HEIGHT))
        image = image.convert("RGB")
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, reducing_gap=3))


def decode_only(path):
    body = Path(path).read_bytes()
    height, width, *_ = simplejpeg.decode_jpeg_header(body)
    return decode_scaled(body, height, width, choose_scale(height, width, HEIGHT, WIDTH))


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
    next(iter(posters.take(1)))  # traces decode()
    start = time.perf_counter()
    for _ in posters:
        pass
    return len(paths) / (time.perf_counter() - start)


def time_processes(paths, processes):
    """Decode in processes that share nothing: the limit that the cores of the machine set."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(decode_all, [paths[:20]] * processes, chunksize=1)  # starts the processes
        start = time.perf_counter()
        pool.map(decode_all, [paths[i::processes] for i in range(processes)], chunksize=1)
        return len(paths) / (time.perf_counter() - start)


def decode_all(paths):
    for path in paths:
        decode_ours(path)


def time_step(data, workers, count):
    """Run all of step 3 on a new store, from the start of main() to its end."""
    shutil.rmtree(data / "store", ignore_errors=True)
    return count / run_separately("step", workers, data)


def time_cluster(data, workers, count):
    """Run all of step 3 on new Dask workers of one core each; their start does not count."""
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": None, "local_directory": data}
    with LocalCluster(n_workers=workers, **options) as cluster:
        return time_step(data, cluster.scheduler_address, count)


def run_step(workers, data):
    """Run step 3 in this process; returns its seconds.

    Args:
        workers: their number, or the address of a Dask scheduler.
        data: the data folder.
    """
    import preprocessing

    start = time.perf_counter()
    if workers.isdecimal():
        preprocessing.main(data, HEIGHT, WIDTH, workers=int(workers))
    else:
        preprocessing.main(data, HEIGHT, WIDTH, cluster=workers)
    return time.perf_counter() - start


def run_separately(what, number, *arguments):
    """Run a contestant in a new Python process; returns the number that it prints last.

    Args:
        what: "bicubic" or "bilinear", for tf.data; "step" for step 3.
        number: threads of tf.data, or workers of step 3: see `run_step`.
        arguments: poster files, or the data folder.
    """
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
    return float(output.splitlines()[-1])


# --- posters --------------------------------------------------------------------------------------


def enlarge(path, folder, width):
    """Write an enlarged poster into a folder; returns its path."""
    target = folder / path.name
    with Image.open(path) as image:
        size = (width, round(width * image.height / image.width))
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(target, quality=85)
    return target


def make_data(folder, paths, count):
    """Make a data folder for step 3: `count` posters, which repeat the files under new ids."""
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
        print(run_step(sys.argv[2], Path(sys.argv[3])))
    else:
        parser = argparse.ArgumentParser(description="Compare ways to decode and resize posters.")
        parser.add_argument("folder", nargs="?", default=POSTERS_DIR, help="of .jpg")
        parser.add_argument("--posters", type=int, default=POSTERS, help="per comparison")
        parser.add_argument("--repeats", type=int, default=REPEATS, help="turns")
        parser.add_argument("--only-dask", action="store_true")
        options = parser.parse_args()
        main(
            options.folder,
            options.posters,
            repeats=options.repeats,
            only_dask=options.only_dask,
        )
