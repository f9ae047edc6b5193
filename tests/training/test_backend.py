import os
import subprocess
import sys

from conftest import ROOT


def test_a_missing_jax_is_reported_in_one_line(tmp_path):
    """A fake package that cannot be imported, whether JAX is installed or not."""
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('none', name='jax')")
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import postergenres.training.backend"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    line = "JAX is missing. Run: python -m pip install -r requirements/hosts.txt"
    assert result.stderr.strip() == line
