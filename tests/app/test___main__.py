"""What `python -m postergenres.app` says if it cannot serve the page."""

import os
import subprocess
import sys

from postergenres.app import __main__ as app

import pytest
from conftest import ROOT


def test_without_gradio_one_line_names_the_command_that_installs_it(tmp_path):
    code = (
        "import runpy, sys\n"
        "sys.modules['gradio'] = None\n"
        "runpy.run_module('postergenres.app', run_name='__main__', alter_sys=True)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    line = "Gradio is missing. Run: python -m pip install -r requirements/app.txt\n"
    assert (finished.returncode, finished.stderr) == (1, line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"data_dir": ""},
        {"port": 0},
        {"port": "7860"},
        {"pretrained": "vgg"},
        {"top": 0},
        {"examples": 1.5},
    ],
)
def test_a_bad_setting_is_one_line_that_names_the_constant(settings):
    ((name, value),) = settings.items()
    with pytest.raises(SystemExit) as end:
        app.main(**settings)
    line = str(end.value)
    assert line.startswith(f"{name.upper()} must be ") and f"got {value!r}. Edit " in line
    assert line.endswith("__main__.py, then run: make app") and "\n" not in line


def test_every_setting_has_a_rule_that_allows_it():
    for name, rule in app.RULES.items():
        assert rule.allows(getattr(app, name.upper()))
