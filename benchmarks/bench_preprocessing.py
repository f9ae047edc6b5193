"""Step 3 beside other ways to decode and resize the same posters, in turns, in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/bench_preprocessing.py               # posters that are drawn
    python benchmarks/bench_preprocessing.py data/posters  # those of a folder
    python benchmarks/bench_preprocessing.py --large 0     # without the last comparison

On one core: decode_poster of decoding.py, the study's way (imageio, then skimage.transform.resize,
one by one), OpenCV with INTER_AREA, its way to make images smaller, tf.data with antialiasing
(bicubic, as here, and its default, bilinear, which weighs a quarter of the pixels), and the limit:
Pillow's JPEG decoder in draft mode, without any resizing. Then the whole of step 3 with one process
and with two, beside the same work in processes that share nothing and write nothing; and last on
LARGE posters, the same under new ids. The posters are taken as they are and, but for the last,
enlarged to WIDE as well. Takes about half an hour on two cores, ten minutes without the last.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import study
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench_download import draw_posters  # noqa: E402

from decoding import decode_poster  # noqa: E402
from ledger import poster_path, write_csv  # noqa: E402

# --- settings -------------------------------------------------------------------------------------
POSTERS_DIR = None  # a folder of .jpg; None draws some, 182 x 268 as those of IMDb
POSTERS = 4000  # of the folder, in each comparison
WIDE = 500  # pixels, as TMDb's w500
HEIGHT, WIDTH = 150, 101  # pixels
LARGE = 100_000  # posters of the last run; 4.5 GB of disk
SMALL = 15_000  # posters of the run that it is compared with
REPEATS = 3
# --------------------------------------------------------------------------------------------------


def main(
    posters_dir=POSTERS_DIR, posters=POSTERS, wide=WIDE, large=LARGE, small=SMALL, repeats=REPEATS
):
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
        if large:
            compare_sizes(sources, small, large, folder, repeats)


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
        steps = {f"step 3, {n} workers": time_step(data, n, len(paths))[0] for n in (1, 2)}
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
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{ours}: {median(ratios):.2f} times {other} ({span})")


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
    """Step 3 from the start of main() to its end: the rate, and the peak memory in MB of the main
    process and of the largest worker (on Linux, whose VmHWM that is)."""
    shutil.rmtree(data / "store", ignore_errors=True)
    return run_apart("step", workers or 0, data, count)


def run_step(workers, data, count):
    import preprocessing

    peaks, is_over = {}, threading.Event()

    def watch():
        while not is_over.wait(0.05):
            for child in multiprocessing.active_children():
                with suppress(OSError, IndexError):  # it has just ended
                    peaks[child.pid] = peak_memory(child.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    preprocessing.main(data, HEIGHT, WIDTH, workers)
    seconds = time.perf_counter() - start
    is_over.set()
    watcher.join()
    return int(count) / seconds, peak_memory("self"), max(peaks.values())


def peak_memory(process):
    """VmHWM in MB. Not getrusage, whose peak starts at that of the process that started it."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


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


def compare_sizes(sources, small, large, folder, repeats):
    """Print what many posters cost beside few."""
    sizes = {count: make_data(folder / str(count), sources, count) for count in (small, large)}
    rows = []
    for _ in range(repeats):
        for count, data in sizes.items():
            rate, main_memory, worker_memory = time_step(data, None, count)
            files = (data / "store").iterdir()
            disk = sum(path.stat().st_size for path in files) / count
            rows.append([count, rate, main_memory, worker_memory, disk])
    columns = ["posters", "per second", "main, MB", "worker, MB", "bytes of disk each"]
    table = pd.DataFrame(rows, columns=columns)
    print(f"\n{small:,} posters and {large:,}")
    print(table.to_string(index=False, float_format="{:,.0f}".format))
    few, many = (table.loc[table["posters"] == count, "per second"] for count in (small, large))
    ratios = few.to_numpy() / many.to_numpy()
    print(
        f"a poster of {large:,} costs {median(ratios):.2f} times one of {small:,} "
        f"({ratios.min():.2f} to {ratios.max():.2f})"
    )


if __name__ == "__main__":
    if sys.argv[1:2] in (["bicubic"], ["bilinear"]):
        print(time_tf_data(sys.argv[3:], sys.argv[1], int(sys.argv[2])))
    elif sys.argv[1:2] == ["step"]:
        print(*run_step(int(sys.argv[2]) or None, Path(sys.argv[3]), sys.argv[4]))
    else:
        parser = argparse.ArgumentParser(description="How fast are posters decoded and stored?")
        parser.add_argument("folder", nargs="?", default=POSTERS_DIR, help="of .jpg")
        parser.add_argument("--posters", type=int, default=POSTERS, help="in each comparison")
        parser.add_argument("--large", type=int, default=LARGE, help="posters of the last run")
        options = parser.parse_args()
        main(options.folder, options.posters, large=options.large)
