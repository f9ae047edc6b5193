"""Draw posters, and join many different ones from a few, for the benchmarks."""

import io
import shutil
import sys
from collections import deque
from pathlib import Path

from postergenres.files import replacing
from postergenres.parallel import open_executor, run_tasks

import numpy as np
from PIL import Image

SIZE = (182, 268)  # pixels, width and height, as IMDb serves posters
SOURCES = 2000  # posters that are cut into quarters
QUALITY = 85  # of the JPEGs; 10 to 16 kB each


def draw_posters(folder, count):
    """Write JPEGs of smooth noise, 182 x 268 pixels and about 15 kB each, into a new folder."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        coarse = rng.integers(0, 256, (24, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        grain = rng.integers(-12, 13, (268, 182, 3))
        image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
        image.save(folder / f"{i}.jpg", quality=85)


def join_posters(folder, work, count):
    """Write the missing files of work/posters/: tt0000001.jpg and so on.

    Args:
        folder: folder of .jpg to cut into quarters; None draws some.
        work: the folder to write in.
        count: number of posters.
    """
    target, quarters = work / "posters", work / "quarters.npy"
    target.mkdir(parents=True, exist_ok=True)
    if all((target / f"{movie_id(number)}.jpg").exists() for number in range(1, count + 1)):
        return
    if folder is None:
        folder = work / "drawn"
        shutil.rmtree(folder, ignore_errors=True)
        draw_posters(folder, SOURCES)
    sources = sorted(Path(folder).glob("*.jpg"))[:SOURCES]
    if not sources:
        sys.exit(f"{folder} has no .jpg file. Name a folder of posters")
    np.save(quarters, np.concatenate([cut_into_quarters(path) for path in sources]))
    parts = np.array_split(np.arange(1, count + 1), -(-count // 100))
    tasks = ((quarters, part, target) for part in parts)
    with open_executor() as executor:
        deque(run_tasks(executor, join_some, tasks), maxlen=0)
    print(f"{count:,} posters, joined from quarters of {len(sources):,}", flush=True)


def cut_into_quarters(path):
    """Return the quarters of a poster, uint8 (4, H / 2, W / 2, 3)."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))
    return np.stack([part for half in np.split(pixels, 2) for part in np.split(half, 2, axis=1)])


def join_some(quarters, numbers, target):
    """Write the posters of these numbers; the number is the seed that draws the four quarters.

    Args:
        quarters: path of the quarters, uint8 (Q, H / 2, W / 2, 3).
        numbers: whole numbers.
        target: the folder to write in.
    """
    quarters = np.load(quarters, mmap_mode="r")
    for number in numbers:
        path = target / f"{movie_id(number)}.jpg"
        if path.exists():
            continue
        a, b, c, d = quarters[np.random.default_rng(number).choice(len(quarters), 4, False)]
        buffer = io.BytesIO()
        Image.fromarray(np.block([[[a], [b]], [[c], [d]]])).save(buffer, "JPEG", quality=QUALITY)
        with replacing(path) as part:
            part.write_bytes(buffer.getvalue())


def movie_id(number):
    """Return the id of a movie, and the name of its poster file without the suffix."""
    return f"tt{number:07d}"
