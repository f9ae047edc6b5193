"""Run a step from a script, and copy the data folders of its runs."""

import os
import re
import shutil
import subprocess
import sys

from conftest import ROOT

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}  # of a copied script
RESULTS = {  # what a step makes of its input; no step reads errors.csv
    "database": r"posters\.csv|posters/.*",
    "sampling": r"samples\.csv|sampling\.json|sampling\.png",
    "preprocessing": r"store/(?!errors\.csv).*",
    "train": r"model/(model\.keras|model\.json|history\.csv)",
    "predict": r"metrics\.json|test_predictions\.csv|poster_map\.png",
}
NAMED_RESULT = r"predictions\.csv|similar\.csv"  # of step 5 with posters named


def copy_data(source, target):
    """Copy a data folder; its posters, which every step replaces as a whole, are linked."""
    shutil.copytree(source, target, ignore=lambda folder, names: {"posters"} & set(names))
    shutil.copytree(source / "posters", target / "posters", copy_function=os.link)


def edit_settings(step, script, settings):
    """Copy a step's script to a path, with other values of constants, as a user edits them."""
    text = (ROOT / f"{step}.py").read_text(encoding="utf-8")
    for name, value in settings.items():
        text, count = re.subn(
            rf"(?m)^{name.upper()} = [^#\n]+", f"{name.upper()} = {value}  ", text
        )
        assert count == 1
    script.write_text(text, encoding="utf-8")


def run_script(script):
    return subprocess.run(
        [sys.executable, script], cwd=script.parent, env=ENVIRONMENT, capture_output=True, text=True
    )


def isolate(path):
    """Replace a link to a file by a copy."""
    content, dates = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))
