"""What does a poster cost when there are many? Each step on 1,000 posters up to 256,000.

    python benchmarks/bench_growth.py                                 # of posters that are drawn
    python benchmarks/bench_growth.py data/posters --work /large/disk # of those of a folder

Each poster is joined of quarters of four others, so that no two are alike: of copies, step 2 would
make one group of duplicates. All of them are taken (no oversampling, one epoch of `improved`), and
each step is a process of its own, whose start counts. Prints seconds and the peak of the memory of
its own, without the pages of files (Linux only), the main process's and with its workers; last, how
the time grows: an exponent of 1 is a straight line. A run that was stopped goes on.

Reads   the posters of the folder, if one is named
Writes  growth.csv and growth.png in the current folder; the rest into a folder that is deleted, or
        into --work, where the joined posters stay for the next run of the same folder
Takes   about 50 minutes and 16 GB of disk on two cores; with --sizes 1000 4000, three minutes.
"""

import argparse
import csv
import io
import shutil
import sys
import tempfile
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measuring import ROOT, run_step
from PIL import Image

from bench_download import draw_posters

from postergenres.files import replacing
from postergenres.parallel.pool import run_in_processes

# --- settings -------------------------------------------------------------------------------------
SIZES = (1000, 4000, 16_000, 64_000, 256_000)  # posters
LARGEST = 64_000  # posters of train and predict, which would take hours on more
SOURCES = 2000  # posters, of whose quarters the others are joined
SIZE = (182, 268)  # pixels, width and height, as those of IMDb
QUALITY = 85  # of the JPEGs; 10 to 16 kB each
FROM = 4000  # posters; with fewer it is the start of a step that counts, not what a poster costs
# --------------------------------------------------------------------------------------------------

STEPS = {  # name: the arguments of its main(), beside data_dir
    "database": {},
    "sampling": {"sample_fraction": 1.0, "oversampling": "none"},
    "preprocessing": {},
    "train": {"epochs": 1},
    "predict": {},
}
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")  # Okabe and Ito's
COLUMNS = "posters step seconds ms_per_poster peak_mb peak_with_workers_mb kb_per_poster".split()


def main(folder=None, work=None, sizes=SIZES, steps=tuple(STEPS), again=False):
    """Measure what growth.csv does not have yet, then print and draw what it has."""
    table = Path("growth.csv")
    if again:
        table.unlink(missing_ok=True)
    missing = list_missing(table, sorted(sizes), steps)
    if table.is_file():
        print(f"{table} has some of it from an earlier run; all anew with: --again")
    if missing:
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(work or temporary).resolve()
            join_posters(folder, work, max(missing))
            for count, names in missing.items():
                measure(count, names, work, table)
    rows = pd.read_csv(table)
    rows = rows[rows["posters"].isin(sizes) & rows["step"].isin(steps)]
    report(rows)
    draw(rows, "growth.png")


def list_missing(table, sizes, steps):
    """What is yet to be measured: {posters: names of steps}."""
    done = set()
    if table.is_file():
        done = set(pd.read_csv(table)[["posters", "step"]].itertuples(index=False, name=None))
    missing = {}
    for count in sizes:
        feasible = [step for step in STEPS if step in steps and (count <= LARGEST or is_data(step))]
        if names := [step for step in feasible if (count, step) not in done]:
            missing[count] = names
    return missing


def is_data(step):
    return step not in ("train", "predict")


# --- posters --------------------------------------------------------------------------------------


def join_posters(folder, work, count):
    """Write what is missing of work/posters/: tt0000001.jpg and so on, of so many."""
    target, quarters = work / "posters", work / "quarters.npy"
    target.mkdir(parents=True, exist_ok=True)
    if all((target / f"{name(number)}.jpg").exists() for number in range(1, count + 1)):
        return
    if folder is None:
        folder = work / "drawn"
        shutil.rmtree(folder, ignore_errors=True)
        draw_posters(folder, SOURCES)
    sources = sorted(Path(folder).glob("*.jpg"))[:SOURCES]
    if not sources:
        sys.exit(f"There is no poster in {folder}")
    np.save(quarters, np.concatenate([cut(path) for path in sources]))
    parts = np.array_split(np.arange(1, count + 1), -(-count // 100))
    tasks = ((quarters, part, target) for part in parts)
    deque(run_in_processes(join_some, tasks, None), maxlen=0)
    print(f"{count:,} posters, joined of quarters of {len(sources):,}", flush=True)


def cut(path):
    """The quarters of a poster, uint8 (4, H / 2, W / 2, 3)."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))
    return np.stack([part for half in np.split(pixels, 2) for part in np.split(half, 2, axis=1)])


def join_some(quarters, numbers, target):
    """Write the posters of these numbers, each of four quarters that its number draws."""
    quarters = np.load(quarters, mmap_mode="r")
    for number in numbers:
        path = target / f"{name(number)}.jpg"
        if path.exists():
            continue
        a, b, c, d = quarters[np.random.default_rng(number).choice(len(quarters), 4, False)]
        buffer = io.BytesIO()
        Image.fromarray(np.block([[[a], [b]], [[c], [d]]])).save(buffer, "JPEG", quality=QUALITY)
        with replacing(path) as part:
            part.write_bytes(buffer.getvalue())


def name(number):
    return f"tt{number:07d}"


def write_movies(path, count, genres=20):
    """A CSV of movies of one to three genres, of which the k-th is as common as 1 / k."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, genres + 1)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["imdbId", "Title", "Genre"])
        for number in range(1, count + 1):
            drawn = rng.choice(genres, rng.integers(1, 4), False, shares / shares.sum())
            cell = "|".join(f"Genre {genre:02d}" for genre in drawn)
            writer.writerow([name(number), f"The title of movie {number}", cell])


# --- measurements ---------------------------------------------------------------------------------


def measure(count, names, work, table):
    """Run the steps up to the last of `names` on so many posters; enter those in the table."""
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)  # what a run that was stopped has left
    write_movies(work / "movies.csv", count)
    sources = {"metadata_csv": work / "movies.csv", "poster_base": work / "posters"}
    for step in list(STEPS)[: list(STEPS).index(names[-1]) + 1]:
        arguments = STEPS[step] | (sources if step == "database" else {})
        ran = run_step(step, data_dir=data, **arguments)
        if step == "database":  # the same files again, which the disk need not hold twice
            shutil.rmtree(data / "posters")
            (data / "posters").symlink_to(work / "posters")
        if step in names:
            per_poster = 1000 * ran.seconds / count, 1000 * ran.peak / count
            row = [count, step, ran.seconds, per_poster[0], ran.peak, ran.peak_with_workers]
            enter(table, [*row, per_poster[1]])
    shutil.rmtree(data)


def enter(table, row):
    """Append a row to the CSV, and print it."""
    is_new = not table.is_file()
    with open(table, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(([COLUMNS] if is_new else []) + [row[:2] + [f"{x:.3f}" for x in row[2:]]])
    count, step, seconds, milliseconds, peak, together, kilobytes = row
    print(
        f"{count:>9,} {step:<14}{seconds:>9.1f} s {milliseconds:>8.2f} ms per poster, peak "
        f"{peak:>6.0f} MB, {together:>6.0f} with workers, {kilobytes:>7.2f} kB per poster",
        flush=True,
    )


def report(rows):
    """Print a table of each measure, and how the time and the memory grow with the posters."""
    for column, title, form in (
        ("ms_per_poster", "ms per poster", "{:.2f}"),
        ("peak_mb", "peak memory of the main process, MB", "{:.0f}"),
        ("peak_with_workers_mb", "peak memory with the workers, MB", "{:.0f}"),
    ):
        print(f"\n{title}\n{spread(rows, column).to_string(float_format=form.format, na_rep='')}")
    costs = spread(rows, "ms_per_poster")
    print()
    for step, seconds in spread(rows, "seconds").iterrows():
        many = seconds[seconds.index >= FROM].dropna()
        if len(many) < 2:
            continue
        exponent = np.polyfit(np.log(many.index), np.log(many), 1)[0]
        memory = spread(rows, "peak_mb").loc[step, many.index]
        kilobytes = 1000 * np.polyfit(many.index, memory, 1)[0]
        ratios = costs.loc[step, many.index[1:]] / costs.loc[step, many.index[0]]
        shown = ", ".join(f"{ratio:.2f} of {count:,}" for count, ratio in ratios.items())
        print(
            f"{step}: from {many.index[0]:,} posters on the time grows as posters ** "
            f"{exponent:.2f}, the memory by {kilobytes:.2f} kB per poster; beside one of "
            f"{many.index[0]:,} a poster costs {shown}"
        )


def spread(rows, column):
    """A row for each step, a column for each number of posters."""
    table = rows.pivot(index="step", columns="posters", values=column)
    return table.reindex([step for step in STEPS if step in table.index])


def draw(rows, path):
    """Draw time and memory by the number of posters, a line for each step; all scales are log."""
    looks = list(zip(COLOURS, "osD^v", strict=True))
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(
        panels,
        ("ms_per_poster", "peak_mb"),
        ("Milliseconds per poster", "Peak memory of the main process, MB"),
        strict=True,
    ):
        table = spread(rows, column)
        for step, values in table.iterrows():
            colour, marker = looks[list(STEPS).index(step)]
            axes.plot(table.columns, values, color=colour, marker=marker, label=f"{step}.py")
        axes.set(xscale="log", yscale="log", title=title, xlabel="posters")
        low, high = table.min(axis=None) / 1.2, table.max(axis=None) * 1.2
        ticks = [x * 10**power for power in range(-2, 6) for x in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.set_xticks(table.columns, [f"{count:,}" for count in table.columns])
        axes.set_ylim(low, high)
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    print(f"\nwrote growth.csv and {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What does a poster cost when there are many?")
    parser.add_argument("folder", nargs="?", help="of .jpg; none draws some")
    parser.add_argument("--work", help="a folder on a disk with 16 GB to spare")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="posters")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=tuple(STEPS))
    parser.add_argument("--again", action="store_true", help="measure all anew")
    options = parser.parse_args()
    main(options.folder, options.work, options.sizes, options.steps, options.again)
