"""Measure how the time and the memory of each step grow, from 1,000 posters to 256,000.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_growth.py                                 # drawn posters
    python benchmarks/bench_growth.py data/posters --work DISK        # the posters of a folder

Each poster is joined from quarters of four others, so that no two are alike; step 2 would put
copies into one group of duplicates. All posters are used (no oversampling, one epoch of
"improved"). Each step is a new Python process whose start counts. The peak memory, which is
measured on Linux only, leaves out the pages of mapped files. The last lines fit the growth of the
time; an exponent of 1 is a straight line. A stopped run resumes.

Reads   the posters of the folder, if you name one
Writes  growth.csv and growth.png in the current folder; the rest into a temporary folder, or into
        the folder --work, where the joined posters stay for the next run
Takes   about 50 minutes and 16 GB of disk on two cores; with --sizes 1000 4000, three minutes
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measuring import run_step
from posters import join_posters, movie_id

# --- settings -------------------------------------------------------------------------------------
SIZES = (1000, 4000, 16_000, 64_000, 256_000)  # posters; --sizes overrides it
LARGEST = 64_000  # posters; train and predict skip larger sizes, which would take hours
FROM = 4000  # posters; the fit leaves out smaller sizes, where the start of a step dominates
# --------------------------------------------------------------------------------------------------

STEPS = {  # name: arguments of its main() apart from data_dir
    "database": {},
    "sampling": {"oversampling": "none"},
    "preprocessing": {},
    "train": {"epochs": 1},
    "predict": {},
}
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")  # the Okabe-Ito palette
COLUMNS = "posters step seconds ms_per_poster peak_mb peak_with_workers_mb kb_per_poster".split()


def main(folder=None, work=None, sizes=SIZES, steps=tuple(STEPS), again=False):
    """Measure what growth.csv does not have yet, then print and draw its content.

    Args:
        folder: folder of .jpg to cut into quarters; None draws some.
        work: folder for the posters and the outputs of the steps; None for a temporary one.
        sizes: numbers of posters.
        steps: names of steps to measure.
        again: delete growth.csv first.
    """
    table = Path("growth.csv")
    if again:
        table.unlink(missing_ok=True)
    missing = list_missing(table, sorted(sizes), steps)
    if table.is_file():
        print(f"{table} has results of an earlier run, which are kept. To measure again: --again")
    if missing:
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(work or temporary).resolve()
            join_posters(folder, work, max(missing))
            for count, names in missing.items():
                measure(count, names, work, table)
    rows = pd.read_csv(table)
    rows = rows[rows["posters"].isin(sizes) & rows["step"].isin(steps)]
    print_tables(rows)
    print_growth(rows)
    save_picture(rows, "growth.png")


def list_missing(table, sizes, steps):
    """Return what is not yet measured: {posters: names of steps}.

    Args:
        table: path of growth.csv, which may be missing.
        sizes: numbers of posters.
        steps: names of steps.
    """
    done = set()
    if table.is_file():
        done = set(pd.read_csv(table)[["posters", "step"]].itertuples(index=False, name=None))
    missing = {}
    for count in sizes:
        feasible = [step for step in STEPS if step in steps and (count <= LARGEST or is_fast(step))]
        if names := [step for step in feasible if (count, step) not in done]:
            missing[count] = names
    return missing


def is_fast(step):
    return step not in ("train", "predict")


def write_movies(path, count, genres=20):
    """Write a CSV of movies with one to three genres; the k-th genre is drawn with weight 1 / k."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, genres + 1)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["imdbId", "Title", "Genre"])
        for number in range(1, count + 1):
            drawn = rng.choice(genres, rng.integers(1, 4), False, shares / shares.sum())
            cell = "|".join(f"Genre {genre:02d}" for genre in drawn)
            writer.writerow([movie_id(number), f"The title of movie {number}", cell])


# --- measurements ---------------------------------------------------------------------------------


def measure(count, names, work, table):
    """Run the steps on some posters, and append the results to the table.

    Args:
        count: number of posters.
        names: names of the steps to record; the steps before them run, too.
        work: the folder with posters/.
        table: path of growth.csv.
    """
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)  # of a stopped run
    write_movies(work / "movies.csv", count)
    sources = {"metadata_csv": work / "movies.csv", "poster_base": work / "posters"}
    for step in list(STEPS)[: list(STEPS).index(names[-1]) + 1]:
        arguments = STEPS[step] | (sources if step == "database" else {})
        ran = run_step(step, data_dir=data, **arguments)
        if step == "database":  # the same files, which need not be on the disk twice
            shutil.rmtree(data / "posters")
            (data / "posters").symlink_to(work / "posters")
        if step in names:
            milliseconds, kilobytes = 1000 * ran.seconds / count, 1000 * ran.peak / count
            memory = [ran.peak, ran.peak_with_workers]
            append_row(table, [count, step, ran.seconds, milliseconds, *memory, kilobytes])
    shutil.rmtree(data)


def append_row(table, row):
    """Append a row of COLUMNS to the CSV, and print it."""
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


# --- results --------------------------------------------------------------------------------------


def print_tables(rows):
    """Print the time per poster and the peak memory, with a row for each step."""
    for column, title, form in (
        ("ms_per_poster", "ms per poster", "{:.2f}"),
        ("peak_mb", "peak memory of the main process, MB", "{:.0f}"),
        ("peak_with_workers_mb", "peak memory with the workers, MB", "{:.0f}"),
    ):
        table = pivot(rows, column)
        print(f"\n{title}\n{table.to_string(float_format=form.format, na_rep='')}")


def print_growth(rows):
    """Print how the time and the memory of each step grow with the number of posters."""
    costs = pivot(rows, "ms_per_poster")
    print()
    for step, seconds in pivot(rows, "seconds").iterrows():
        many = seconds[seconds.index >= FROM].dropna()
        if len(many) < 2:
            continue
        exponent = np.polyfit(np.log(many.index), np.log(many), 1)[0]
        memory = pivot(rows, "peak_mb").loc[step, many.index]
        kilobytes = 1000 * np.polyfit(many.index, memory, 1)[0]
        ratios = costs.loc[step, many.index[1:]] / costs.loc[step, many.index[0]]
        shown = ", ".join(f"{ratio:.2f} with {count:,}" for count, ratio in ratios.items())
        print(
            f"{step}: from {many.index[0]:,} posters on, the time grows as posters ** "
            f"{exponent:.2f}, the memory by {kilobytes:.2f} kB per poster; relative cost of a "
            f"poster: 1 with {many.index[0]:,}, {shown}"
        )


def pivot(rows, column):
    """Return a DataFrame with a row for each step and a column for each number of posters."""
    table = rows.pivot(index="step", columns="posters", values=column)
    return table.reindex([step for step in STEPS if step in table.index])


def save_picture(rows, path):
    """Draw time and memory by the number of posters, a line for each step, on log scales."""
    styles = dict(zip(STEPS, zip(COLORS, "osD^v", strict=True), strict=True))
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(
        panels,
        ("ms_per_poster", "peak_mb"),
        ("Milliseconds per poster", "Peak memory of the main process, MB"),
        strict=True,
    ):
        table = pivot(rows, column)
        for step, values in table.iterrows():
            color, marker = styles[step]
            axes.plot(table.columns, values, color=color, marker=marker, label=f"{step}.py")
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
    parser = argparse.ArgumentParser(description="Measure how time and memory grow with posters.")
    parser.add_argument("folder", nargs="?", help="of .jpg; default: drawn posters")
    parser.add_argument("--work", help="a folder on a disk with 16 GB of free space")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="posters")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=tuple(STEPS))
    parser.add_argument("--again", action="store_true", help="delete earlier results first")
    options = parser.parse_args()
    main(options.folder, options.work, options.sizes, options.steps, options.again)
