"""Where does the time of each step go? A profile of each, summed up by kind of work.

    python benchmarks/bench_profile.py                      # the demonstration set
    python benchmarks/bench_profile.py CSV POSTERS_FOLDER   # posters of yours, from a folder

py-spy looks RATE times a second at what each thread of each process is doing. What waits for other
threads or processes, or for work, is left out; what waits for the disk or for TensorFlow's own
threads is not. Shares are of what is left, of all threads and processes together. Takes three
minutes for the demonstration set, six for 15,000 posters.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from measuring import draw_demonstration, run, step_command

# --- settings -------------------------------------------------------------------------------------
RATE = 50  # looks per second; more of them slow the step down
SAMPLE = {"sample_fraction": 1.0, "oversampling": "none"}  # all posters, once
EPOCHS = 2  # of the training; the first one also builds TensorFlow's graphs
LEAST = 0.01  # share of a kind of work; smaller ones are summed up
# --------------------------------------------------------------------------------------------------

# The innermost function of a thread that waits for others.
WAITING = (
    r"\b(wait|_wait_for_tstate_lock) \(threading|\b(select|poll) \(|resource_tracker|"
    r"\b(_recv|_poll|wait|get) \((multiprocessing|queue)|\b__enter__ \(multiprocessing"
)
# Kinds of work, and the functions that do it; of a stack of functions the first that fits counts.
KINDS = {
    "start threads": r"\bstart \(threading",
    "start Python, import": r"importlib|^$",
    "build TensorFlow's graphs": r"_maybe_define_function|func_graph|autograph/|_create_c_op",
    "log for TensorBoard": r"callbacks/tensorboard|summary_ops",
    "write checkpoints": r"\(checkpoints\.py|backup_and_restore",
    "open or save the model": r"\b(open_model|save_model|discard_model) \(|keras/src/saving",
    "see which precision is faster": r"\b(choose_precision) \(",
    "validate": r"\bevaluate \(keras",
    "read and augment batches": r"\(batches\.py",
    "training steps": r"\bfit \(train\.py.*quick_execute",
    "forward passes": r"\bpredict_batch \(",
    "confidence intervals": r"\(bootstrap\.py",
    "scores and thresholds": r"\(evaluation\.py|\(sklearn/",
    "report": r"\(report\.py",
    "pictures": r"\((figures|imbalance)\.py|\(matplotlib/|\bsave_history \(",
    "perceptual hash": r"\(imagehash/",
    "resize": r"\b(resize|reduce) \(PIL/Image\.py\)$",
    "decode": r"\(PIL/",
    "find near hashes": r"\b(find_near|group_duplicates) \(",
    "split": r"\(stratification\.py",
    "write": r"write_bytes|\b(replacing|write_csv|write_json|save_poster|enter) \(",
    "read posters": r"read_bytes|\b(read_file|file_sha256|read_row) \(",
}
OURS = {path.name for path in ROOT.glob("*.py")}


def main(metadata_csv=None, posters=None):
    """Run the steps under py-spy, and print a table for each."""
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        if metadata_csv is None:
            metadata_csv, posters = draw_demonstration(work / "drawn")
        sources = {"metadata_csv": metadata_csv, "poster_base": posters}
        profile("database", work, **sources)
        profile("sampling", work, **SAMPLE)
        profile("preprocessing", work)
        profile("train", work, epochs=EPOCHS)
        profile("predict", work)


def profile(step, work, **arguments):
    """Run a step under py-spy, and print what share of the looks found it at which work."""
    raw = work / f"{step}.raw"
    options = ["--subprocesses", "--idle", "--threads", "--rate", str(RATE), "--format", "raw"]
    spy = [Path(sys.executable).with_name("py-spy"), "record", *options, "--output", raw, "--"]
    seconds = run(spy + step_command(step, data_dir=work / "data", **arguments)).seconds
    looks = count_kinds(raw.read_text(encoding="utf-8").splitlines())
    total = looks.total()
    print(f"\n{step}: {seconds:.1f} s under the profiler, {total / RATE:.1f} s of work in threads")
    small = sum(count for count in looks.values() if count < LEAST * total)
    for kind, count in looks.most_common():
        if count >= LEAST * total:
            print(f"  {kind:<42}{count / total:>7.1%}")
    print(f"  {'the rest':<42}{small / total:>7.1%}", flush=True)


def count_kinds(lines):
    """A Counter {kind of work: looks} of py-spy's lines: `process; thread; functions count`."""
    looks = Counter()
    for line in lines:
        match = re.search(r"thread \(\w+\)(?:: [^;]*?)?((?:;.*)?) (\d+)$", line)
        if match and (kind := find_kind(re.sub(r":\d+\)", ")", match[1][1:]))):
            looks[kind] += int(match[2])
    return looks


def find_kind(stack):
    """The kind of work of a stack, `outermost (file);...;innermost (file)`; None: it waits."""
    innermost = stack.rpartition(";")[2]
    kind = next((kind for kind, functions in KINDS.items() if re.search(functions, stack)), None)
    if re.search(WAITING, innermost) and kind != "start threads":
        return None
    ours = [x for x in re.findall(r"[^;]+ \([^;]+\)", stack) if x.split("(")[-1][:-1] in OURS]
    return kind or (ours[-1] if ours else "other work of Python")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Where does the time of each step go?")
    parser.add_argument("csv", nargs="?", help="of movies; none takes the demonstration set")
    parser.add_argument("folder", nargs="?", help="of its posters")
    options = parser.parse_args()
    main(options.csv, options.folder)
