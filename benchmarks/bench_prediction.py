"""Compare step 5 on poster files with the forward pass alone.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_prediction.py               # drawn posters
    python benchmarks/bench_prediction.py data/posters  # the posters of a folder

`predict.main` on files, from opening the model to writing the page, and `predict_batch` on the same
posters in memory take turns; each ratio is of one turn. Then the peak memory of `predict.main` is
measured for growing numbers of posters, each in a new process, without the pages of mapped files
(Linux only). Takes about five minutes.
"""

import io
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from measuring import format_range, watching_memory
from PIL import Image

import predict
from postergenres.evaluation.inference import predict_batch
from postergenres.evaluation.named_posters import decode_batches
from postergenres.models.saved import find_model, open_model

# --- settings -------------------------------------------------------------------------------------
MODEL = "improved"  # folder of data/pretrained/
POSTERS = 1000  # per turn
TURNS = 3  # and one to warm up
GROWTH = (1000, 4000, 16_000)  # posters whose peak memory is measured; files are repeated
# --------------------------------------------------------------------------------------------------


def main(folder=None):
    """Print posters per second, their ratio, and the peak memory.

    Args:
        folder: folder of .jpg; None draws some.
    """
    with tempfile.TemporaryDirectory() as work:
        paths = list_posters(Path(folder) if folder else write_noisy_posters(Path(work) / "drawn"))
        compare(paths[:POSTERS], Path(work) / "data")
        for count in GROWTH:
            repeated = np.resize(paths, count)
            (Path(work) / "paths.txt").write_text("\n".join(repeated), encoding="utf-8")
            command = [sys.executable, __file__, "--memory", work]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(f"{count:,} posters: {output.splitlines()[-1]}", flush=True)


def list_posters(folder):
    paths = [str(path) for path in sorted(folder.glob("*.jpg"))]
    return paths or sys.exit(f"{folder} has no .jpg file. Name a folder of posters")


def write_noisy_posters(folder):
    """Write noisy posters of 182 x 268 pixels, which decode as slowly as the posters of IMDb."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(POSTERS):
        coarse = rng.integers(0, 256, (34, 23, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((182, 268), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:04d}.jpg", quality=90)
    return folder


def compare(paths, data_dir):
    """Print posters per second of both, and their ratio.

    Args:
        paths: poster files.
        data_dir: the folder that predict.py writes to.
    """

    model, about = open_model(find_model(data_dir, MODEL))
    batches = decode_batches(paths, about["H"], about["W"], 64)
    pixels = [np.stack([one for one, _ in batch]) for batch in batches]
    rates = {"forward pass": [], "predict.py": []}
    for _ in range(TURNS + 1):
        begin = time.perf_counter()
        for batch in pixels:
            predict_batch(model, batch)
        rates["forward pass"].append(len(paths) / (time.perf_counter() - begin))
        begin = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            predict.main(paths, data_dir, pretrained=MODEL)
        rates["predict.py"].append(len(paths) / (time.perf_counter() - begin))
    rates = {name: values[1:] for name, values in rates.items()}  # the first turn is to warm up
    for name, values in rates.items():
        print(f"{name}: {format_range(values, 0)} posters per second")
    ratio = np.divide(rates["predict.py"], rates["forward pass"])
    print(f"predict.py / forward pass: {format_range(ratio, 2)}", flush=True)


def measure_memory(work):
    """Predict the posters listed in work/paths.txt, and print the peak memory of this process."""

    paths = (work / "paths.txt").read_text(encoding="utf-8").splitlines()
    with watching_memory() as memory, redirect_stdout(io.StringIO()):
        predict.main(paths, work / "data", pretrained=MODEL)
    print(f"{memory.peak:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:2])
