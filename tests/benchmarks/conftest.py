"""Keras is one of the peers."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported, as workers are told it
