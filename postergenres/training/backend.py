"""Import Keras, or exit with one line if its backend is not installed. Import this module first."""

import sys

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    sys.exit("JAX is missing. Run: python -m pip install -r requirements/hosts.txt")
