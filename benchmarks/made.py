"""Images that are made when they are asked for: as many as wanted, in no file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnet.data import Dataset, Split, StoredImages

CLASSES = 10
HELD_OUT = 1000
"""Images of the validation and of the test split, however many are trained on."""


class Made:
    """A source of `StoredImages`: image i is a function of i, uint8 of `shape` (H, W, C)."""

    def __init__(self, n: int, shape: Sequence[int]):
        self.n, self.shape = n, tuple(shape)
        self._texture = np.random.default_rng(0).integers(0, 256, self.shape, dtype=np.uint8)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> np.ndarray:
        return self.__getitems__([i])[0]

    def __getitems__(self, rows: Sequence[int]) -> np.ndarray:
        """Several at once: [n, H, W, C]."""
        shifts = (np.asarray(rows) * 37 % 256).astype(np.uint8)
        return self._texture + shifts[:, None, None, None]  # modulo 256


def made(n: int, shape: Sequence[int], *, stored: bool) -> Dataset:
    """n images to train on. stored: they are made when they are read; else all are in memory."""

    def split(size: int) -> Split:
        images = StoredImages(Made(size, shape), shape)
        return Split(images if stored else np.asarray(images), np.arange(size, dtype=np.int32) % CLASSES)

    return Dataset("made", split(n), split(HELD_OUT), split(HELD_OUT), tuple(map(str, range(CLASSES))))
