"""The embedded default: scikit-learn's handwritten digits, 1,797 real images of 8×8, no download."""

from pathlib import Path

import numpy as np

from convnet.data.arrays import from_arrays
from convnet.data.dataset import Dataset


def load_digits(*, cache_dir: Path | None = None) -> Dataset:
    """1,079 training, 359 validation and 359 test images [8, 8, 1], a fixed stratified 60/20/20 split.

    The source has values 0 … 16; they are stretched to 0 … 255 and rounded, which keeps all seventeen apart.
    cache_dir: not used, these are read faster than any cache.
    """
    del cache_dir
    from sklearn.datasets import load_digits as load_from_sklearn

    source = load_from_sklearn()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)
    return from_arrays("digits", images, source.target, validation_fraction=0.2, test_fraction=0.2)
