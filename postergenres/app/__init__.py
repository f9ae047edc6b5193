"""A page to play with, which only this machine can open: `python -m postergenres.app`."""

import os

# Read as Gradio is imported: it tells nobody that the page was opened.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
