import os
import subprocess
import sys

import pytest
from conftest import ROOT

NOTE = "I0000 00:00:1795554192.926149   28396 port.cc:153] oneDNN custom operations are on."
REAL = "E0000 00:00:1795554192.926149   28396 cuda_dnn.cc:8579] Unable to register cuDNN factory"
START = f"""
import os, sys
from postergenres.quiet_import import hiding_notes
with hiding_notes():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"{NOTE}\\n{REAL}\\n")
"""  # noqa: E501


def run_code(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_known_notes_are_hidden_and_errors_are_shown():
    finished = run_code(START + "print('after', file=sys.stderr)")
    assert finished.stderr.splitlines() == [REAL, "after"]


def test_all_is_shown_at_another_log_level():
    assert len(run_code(START, TF_CPP_MIN_LOG_LEVEL="0").stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("raise ImportError('libcuda is broken')", "ImportError: libcuda is broken"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("os.write(2, b'F0000 illegal instruction'); os.abort()", "F0000 illegal instruction"),
        ("sys.stderr.write('half a line'); sys.exit(3)", "half a line"),
    ],
)
def test_an_import_that_fails_shows_its_error(end, last):
    finished = run_code(f"{START}    {end}\n")
    assert finished.returncode != 0
    lines = finished.stderr.splitlines()
    assert lines[0] == REAL and lines[-1] == last and NOTE not in lines


def test_without_standard_error_the_import_goes_on():
    code = "import os, sys; os.close(2); import postergenres.quiet_import as quiet\n"
    code += "with quiet.hiding_notes(): print('imported')"
    assert run_code(code).stdout.strip() == "imported"


@pytest.mark.parametrize("module", ["postergenres.training.backend", "train", "model"])
def test_keras_is_imported_without_a_word(module):
    finished = run_code(f"import {module}, keras; keras.ops.ones(2)", CUDA_VISIBLE_DEVICES="")
    assert finished.returncode == 0 and finished.stderr == ""
