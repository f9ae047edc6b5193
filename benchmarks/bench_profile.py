"""Profile each step, and print the share of each kind of work.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_profile.py                      # the demonstration set
    python benchmarks/bench_profile.py CSV POSTERS_FOLDER   # your posters

py-spy samples the stack of each thread of each process RATE times a second. Threads that wait for
other threads, for processes or for work are left out; threads that wait for the disk or for
TensorFlow's own threads count as working. Shares are of all remaining samples. Takes three minutes
for the demonstration set, six for 15,000 posters.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from measuring import draw_demonstration, run_process, step_command

# --- settings -------------------------------------------------------------------------------------
RATE = 50  # samples per second; a higher rate slows the step down
SAMPLE = {"oversampling": "none"}  # of sampling.py: every poster once
EPOCHS = 2  # of the training; the first one also builds TensorFlow's graphs
LEAST = 0.01  # share of a kind of work; smaller shares are summed up as the rest
# --------------------------------------------------------------------------------------------------

# The innermost function of a waiting thread.
WAITING = (
    r"\b(wait|_wait_for_tstate_lock) \(threading|\b(select|poll) \(|resource_tracker|"
    r"\b(_recv|_poll|wait|get) \((multiprocessing|queue)|\b__enter__ \(multiprocessing|"
    r"\bfilter_notes \("
)
# Kinds of work, and the functions that do it. The first kind that matches a stack counts.
PACKAGE = "postergenres"
KINDS = {
    "start threads": r"\bstart \(threading",
    "start Python, import": r"importlib|^$",
    "build TensorFlow's graphs": r"_maybe_define_function|func_graph|autograph/|_create_c_op",
    "log for TensorBoard": r"callbacks/tensorboard|summary_ops",
    "write checkpoints": rf"\({PACKAGE}/training/checkpoints\.py|backup_and_restore",
    "open or save the model": rf"\b(save|open)_model \({PACKAGE}/models/|keras/src/saving",
    "choose the precision": rf"\({PACKAGE}/training/precision\.py",
    "validate": r"\bevaluate \(keras",
    "read and augment batches": rf"\({PACKAGE}/training/(input|augmentation)\.py",
    "training steps": rf"\({PACKAGE}/training/loop\.py.*quick_execute",
    "forward passes": rf"\bpredict_batch \({PACKAGE}/models/saved\.py",
    "confidence intervals": rf"\({PACKAGE}/scores/bootstrap\.py",
    "map of the posters": rf"\({PACKAGE}/report/poster_map\.py",
    "labels to question": rf"\({PACKAGE}/report/doubtful_labels\.py",
    "scores and thresholds": rf"\({PACKAGE}/scores/metrics\.py|\(sklearn/",
    "report": rf"\({PACKAGE}/report/score_page\.py",
    "pictures": rf"\({PACKAGE}/(plotting|report/plots)\.py|\(matplotlib/",
    "perceptual hash": r"\(imagehash/",
    "resize": r"\b(resize|reduce) \(PIL/Image\.py\)$|"
    rf"\bresize \({PACKAGE}/dataset/decoding\.py\)$",
    "decode": r"\(PIL/|\bdecode_(plain_jpeg|scaled) \(",
    "find near hashes": rf"\({PACKAGE}/dataset/duplicates\.py",
    "split": rf"\({PACKAGE}/dataset/stratification\.py",
    "write": r"write_bytes|\b(replacing|write_csv|write_json) \(",
    "read posters": r"read_bytes|\bfile_sha256 \(",
}
OURS = rf"[^;]+ \((?:{PACKAGE}/|(?:database|sampling|preprocessing|model|train|predict)\.py)[^;]*\)"


def main(metadata_csv=None, posters=None):
    """Run the steps under py-spy, and print a table for each.

    Args:
        metadata_csv: CSV of movies; None for the demonstration set.
        posters: folder of the posters.
    """
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
    """Run a step under py-spy, and print the share of each kind of work."""
    raw = work / f"{step}.raw"
    options = ["--subprocesses", "--idle", "--threads", "--rate", str(RATE), "--format", "raw"]
    spy = [Path(sys.executable).with_name("py-spy"), "record", *options, "--output", raw, "--"]
    seconds = run_process(spy + step_command(step, data_dir=work / "data", **arguments)).seconds
    counts = count_kinds(raw.read_text(encoding="utf-8").splitlines())
    total = counts.total()
    print(f"\n{step}: {seconds:.1f} s under the profiler, {total / RATE:.1f} s of work in threads")
    small = sum(count for count in counts.values() if count < LEAST * total)
    for kind, count in counts.most_common():
        if count >= LEAST * total:
            print(f"  {kind:<42}{count / total:>7.1%}")
    print(f"  {'the rest':<42}{small / total:>7.1%}", flush=True)


def count_kinds(lines):
    """Count the samples of each kind of work.

    Args:
        lines: py-spy's raw output, `process;thread;functions count`.

    Returns:
        Counter {kind of work: samples}.
    """
    counts = Counter()
    for line in lines:
        match = re.search(r"thread \(\w+\)(?:: [^;]*?)?((?:;.*)?) (\d+)$", line)
        if match and (kind := find_kind(re.sub(r":\d+\)", ")", match[1][1:]))):
            counts[kind] += int(match[2])
    return counts


def find_kind(stack):
    """Return the kind of work of a stack; None if the thread waits.

    Args:
        stack: `outermost function (file);...;innermost function (file)`.
    """
    innermost = stack.rpartition(";")[2]
    kind = next((kind for kind, functions in KINDS.items() if re.search(functions, stack)), None)
    if re.search(WAITING, innermost) and kind != "start threads":
        return None
    ours = re.findall(OURS, stack)
    return kind or (ours[-1] if ours else "other work of Python")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Profile each step.")
    parser.add_argument("csv", nargs="?", help="of movies; default: the demonstration set")
    parser.add_argument("folder", nargs="?", help="of the posters")
    options = parser.parse_args()
    main(options.csv, options.folder)
