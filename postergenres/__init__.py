"""The package behind the scripts: download, dataset, models, training, scores, report, parallel."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # silence TensorFlow's CPU messages
