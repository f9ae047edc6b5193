"""What `python -m postergenres.app` says if it cannot serve the page."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

WITHOUT_GRADIO = """
import runpy, sys
sys.modules["gradio"] = None
runpy.run_module("postergenres.app", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ["-c", WITHOUT_GRADIO],
            1,
            "Gradio is missing. Run: python -m pip install -r requirements/app.txt",
        ),
        (
            ["-m", "postergenres.app", "--port", "0"],
            2,
            "port should be greater than or equal to 1, got 0. "
            "Change PORT in postergenres/app/__main__.py, or --port",
        ),
    ],
)
def test_what_keeps_the_page_from_being_served_is_one_line(tmp_path, arguments, status, line):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (status, f"{line}\n")
    assert list(tmp_path.iterdir()) == []
