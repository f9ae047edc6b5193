"""Compare the prediction of named posters with Keras, and measure the time to the first one.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_prediction.py               # drawn posters
    python benchmarks/bench_prediction.py data/posters  # the posters of a folder

For each pretrained model, in turns, and each ratio is of one turn:

- the first poster: `python predict.py POSTER`, and a Python that opens model.keras with Keras and
  predicts the same pixels, both from the start of the process to its end.
- a folder: `predict.main` on files, from opening the model to writing the page; the exported
  network alone on the same posters in memory; and Keras on them.

Then how far the exported network is from Keras on these posters, and the peak memory of
`predict.main` for growing numbers of posters, each in a new process, without the pages of mapped
files (Linux only). Takes about ten minutes.
"""

import io
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.saved import open_model, predict_batch
from postergenres.poster_model import PosterModel, read_ahead

import numpy as np
from measuring import format_range, run_process, watching_memory
from PIL import Image

import predict

# --- settings -------------------------------------------------------------------------------------
MODELS = ("efficientnet_lite2", "improved")  # folders of postergenres/pretrained/
POSTERS = 500  # per turn
TURNS = 3  # and one to warm up
GROWTH = (1000, 4000, 16_000)  # posters whose peak memory is measured; files are repeated
# --------------------------------------------------------------------------------------------------


def main(folder=None):
    """Print posters per second, the ratios, and the peak memory.

    Args:
        folder: folder of .jpg; None draws some.
    """
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        paths = list_posters(Path(folder) if folder else write_noisy_posters(work / "drawn"))
        for name in MODELS:
            print(f"{name}, first poster")
            compare(time_first, (name, paths[0], work / "data"), "seconds", 2)
            print(f"{name}, {len(paths[:POSTERS]):,} posters")
            compare(time_folder, open_networks(name, paths[:POSTERS]), "posters per second", 0)
        for count in GROWTH:
            repeated = np.resize(paths, count)
            (work / "paths.txt").write_text("\n".join(repeated), encoding="utf-8")
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


def compare(take_turn, arguments, unit, digits):
    """Take turns; print the median and range of each contestant, and of the first by each other.

    Args:
        take_turn: a function that returns {contestant: number}.
        arguments: of the function.
        unit, digits: of the numbers.
    """
    turns = [take_turn(*arguments) for _ in range(TURNS + 1)][1:]  # the first is to warm up
    first, *others = turns[0]
    for name in turns[0]:
        print(f"  {name}: {format_range([turn[name] for turn in turns], digits)} {unit}")
    for name in others:
        ratios = [turn[first] / turn[name] for turn in turns]
        print(f"  {first} / {name}: {format_range(ratios, 2)}", flush=True)


def time_first(name, path, data_dir):
    """Return the seconds in which a new process predicts one poster."""
    ours = (
        f"import predict; predict.main([{path!r}], {str(data_dir)!r}, model={name!r}, words=False)"
    )
    keras = (
        "import numpy as np\n"
        "from postergenres.dataset.decoding import decode_poster\n"
        "from postergenres.models.saved import predict_batch\n"
        "from postergenres.models.description import find_model\n"
        "from postergenres.models.saved import open_model\n"
        f"model, about = open_model(find_model({name!r}))\n"
        f"predict_batch(model, decode_poster({path!r}, about['H'], about['W'])[None])"
    )
    commands = {"predict.py": ours, "Keras": keras}
    return {
        name: run_process([sys.executable, "-c", code]).seconds for name, code in commands.items()
    }


def open_networks(name, paths):
    """Return the arguments of `time_folder`; print how far both networks are apart."""
    folder = PRETRAINED_FOLDERS[name]
    model = PosterModel(folder, words=False)
    exported, (network, _) = model.network, open_model(folder)
    batches = read_ahead(model.read, paths)
    pixels = [np.stack([poster.pixels for poster in batch]) for batch in batches]
    apart = [abs(exported.predict(x)[0] - predict_batch(network, x)).max() for x in pixels]
    print(f"  largest difference of a probability from Keras: {max(apart):.7f}")
    return name, paths, pixels, exported, network


def time_folder(name, paths, pixels, exported, network):
    """Return the posters per second of predict.py, of the exported network and of Keras."""

    def predict_folder():
        with tempfile.TemporaryDirectory() as data, redirect_stdout(io.StringIO()):
            predict.main(paths, data, model=name, words=False)

    contestants = {
        "predict.py": predict_folder,
        "exported network": lambda: [exported.predict(batch) for batch in pixels],
        "Keras": lambda: [predict_batch(network, batch) for batch in pixels],
    }
    rates = {}
    for contestant, run in contestants.items():
        begin = time.perf_counter()
        run()
        rates[contestant] = len(paths) / (time.perf_counter() - begin)
    return rates


def measure_memory(work):
    """Predict the posters listed in work/paths.txt, and print the peak memory of this process."""

    paths = (work / "paths.txt").read_text(encoding="utf-8").splitlines()
    with watching_memory() as memory, redirect_stdout(io.StringIO()):
        predict.main(paths, work / "data", model=MODELS[-1], words=False)
    print(f"{memory.peak:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:2])
