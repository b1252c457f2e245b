"""The benchmarks are not installed with the package: they are found from the root of the checkout."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported, as workers are told it
