"""What `python -m postergenres.app` says if it cannot serve the page; when it opens a browser."""

import os
import subprocess
import sys
import webbrowser

from postergenres.app.__main__ import open_browser

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


def test_the_options_are_listed_without_gradio(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT_GRADIO, "--help"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "--allow-host" in run.stdout


class Browser(webbrowser.BaseBrowser):
    def __init__(self):
        super().__init__()
        self.opened = []

    def open(self, url, new=0, autoraise=True):
        self.opened.append(url)
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="others have a screen")
def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch):
    browser = Browser()
    webbrowser.register("recorder", None, browser, preferred=True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    open_browser("http://127.0.0.1:1")
    assert browser.opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    open_browser("http://127.0.0.1:2")
    assert browser.opened == ["http://127.0.0.1:2"]
