"""How fast does step 5 predict posters from disk? Beside the forward pass alone.

    python benchmarks/bench_prediction.py               # posters that are drawn
    python benchmarks/bench_prediction.py data/posters  # those of a folder

`predict.main` on files, from opening the model to the last page, beside `predict_batch` on the same
posters in memory; in turns, and each ratio is of one turn. Then the peak memory of `predict.main`,
without the pages of files, for more and more posters, one process each (Linux only). Takes about
five minutes.
"""

import io
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from measuring import ROOT, format_range, watching_memory
from PIL import Image

# --- settings -------------------------------------------------------------------------------------
MODEL = "improved"  # of those that come with this
POSTERS = 1000  # per turn
TURNS = 3
GROWTH = (1000, 4000, 16_000)  # posters, to see the memory grow; those above are repeated
# --------------------------------------------------------------------------------------------------


def main(folder=None):
    with tempfile.TemporaryDirectory() as work:
        paths = list_posters(Path(folder) if folder else draw_posters(Path(work) / "drawn"))
        compare(paths[:POSTERS], Path(work) / "data")
        for count in GROWTH:
            repeated = np.resize(paths, count)
            (Path(work) / "paths.txt").write_text("\n".join(repeated), encoding="utf-8")
            command = [sys.executable, __file__, "--memory", work]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(f"{count:,} posters: {output.splitlines()[-1]}", flush=True)


def list_posters(folder):
    paths = [str(path) for path in sorted(folder.glob("*.jpg"))]
    return paths or sys.exit(f"There is no poster in {folder}")


def draw_posters(folder):
    """Noisy posters of 182 x 268 pixels, which take as long to decode as those of IMDb."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(POSTERS):
        coarse = rng.integers(0, 256, (34, 23, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((182, 268), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:04d}.jpg", quality=90)
    return folder


def compare(paths, data_dir):
    import predict
    from postergenres.evaluation.inference import predict_batch
    from postergenres.evaluation.named_posters import decode_batches
    from postergenres.models.saved import find_model, open_model

    model, about = open_model(find_model(data_dir, MODEL))
    batches = decode_batches(paths, about["H"], about["W"], 64)
    pixels = [np.stack([one for one, _ in batch]) for batch in batches]
    rates = {"forward pass": [], "predict.py": []}
    for turn in range(TURNS + 1):
        seconds = {}
        begin = time.perf_counter()
        for batch in pixels:
            predict_batch(model, batch)
        seconds["forward pass"] = time.perf_counter() - begin
        begin = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            predict.main(paths, data_dir, pretrained=MODEL)
        seconds["predict.py"] = time.perf_counter() - begin
        if turn:  # the first one is to warm up
            for name, spent in seconds.items():
                rates[name].append(len(paths) / spent)
    for name, values in rates.items():
        print(f"{name}: {format_range(values, 0)} posters per second")
    ratio = np.divide(rates["predict.py"], rates["forward pass"])
    print(f"predict.py / forward pass: {format_range(ratio, 2)}", flush=True)


def measure_memory(work):
    """Predict the posters listed in paths.txt, and print the peak of the memory of our own."""
    import predict

    paths = (work / "paths.txt").read_text(encoding="utf-8").splitlines()
    with watching_memory() as memory, redirect_stdout(io.StringIO()):
        predict.main(paths, work / "data", pretrained=MODEL)
    print(f"{memory.peak:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:2])
