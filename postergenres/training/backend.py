"""Import Keras, or exit with one line if its backend is not installed. Import this module first."""

import sys

from postergenres.quiet_import import hiding_notes

try:
    with hiding_notes():
        import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    sys.exit("JAX is missing. Run: python -m pip install -r requirements/hosts.txt")
