"""Images that stay where they are stored, and are read when they are asked for.

images = StoredImages(source, (64, 64, 3))      # source[i] is image i, uint8 [64, 64, 3]
images[:100]                                    # uint8 [100, 64, 64, 3], read now
images.take(rows)                               # others, or in another order; nothing is read
np.asarray(images)                              # all of them, in memory
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from convnet.threads import processors

CHUNK = 2**26
"""Bytes of images that a pass over all of them holds at a time; at least one image."""
FEW = 16
"""So many images are read faster without a pool of threads."""
MANY = 256
"""So many at most are read together by a thread."""
TOLD = 10
"""Images that an error lists."""


class UnreadableImages(ValueError):
    """Images that cannot be read, or are not as they should be. failures: name of each, a file's say -> why."""

    def __init__(self, failures: Mapping[str, str], advice: str = ""):
        self.failures = dict(failures)
        super().__init__(listed(self.failures) + (f"\n{advice}" if advice else ""))


def listed(failures: Mapping[str, str]) -> str:
    """Up to `TOLD` of them, one a line, after their number."""
    lines = [f"{name}: {reason}" for name, reason in failures.items()]
    shown = [*lines[:TOLD], *(["…"] if len(lines) > TOLD else [])]
    count = "1 file cannot be read as an image" if len(lines) == 1 else f"{len(lines)} files cannot be read as images"
    return f"{count}:\n  " + "\n  ".join(shown)


class ImageSource(Protocol):
    """What images are read from, by any number of threads at once. It may have more:

    fingerprint: str that is equal only for equal images, found without reading them; what was measured of the images is
        then kept from one process to the next. None, or none at all: it is not.
    __getitems__(list of i): several images at once, where that is faster; the same as one by one.
    describe(i): the name of image i in errors, such as its file's.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> np.ndarray:
        """Image i, uint8 [H, W, C]."""


class StoredImages:
    """An array [N, H, W, C] uint8 that is not in memory. It can be pickled where its source can.

    shape: (H, W, C) of every image. rows: [N] which of the source's, in which order; None: all.

    Raises ValueError for a shape of other than three sides, and IndexError for rows that the source has not.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, source: ImageSource, shape: Sequence[int], *, rows: np.ndarray | None = None):
        if len(shape) != 3:
            raise ValueError(f"shape must be (H, W, C), got {tuple(shape)}")
        self.source = source
        self.rows = np.arange(len(source)) if rows is None else _in_range(rows, len(source))
        self.shape = (len(self.rows), *map(int, shape))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Of all images in memory, where they are not."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"StoredImages(shape={self.shape}, source={type(self.source).__name__})"

    def __getitem__(self, key: Any) -> np.ndarray:
        """The images at an int ([H, W, C]), a slice, or an array [n] of ints or of N booleans ([n, H, W, C])."""
        if isinstance(key, int | np.integer):
            return self.read(np.array([key]))[0]
        return self.read(self._indices(key))

    def take(self, indices: Any) -> StoredImages:
        """Those at `indices` (a slice, or an array of ints or booleans), in that order; none is read."""
        return StoredImages(self.source, self.shape[1:], rows=self.rows[self._indices(indices)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("stored images are no array in memory: expected copy to be True or None")
        return self.read(np.arange(len(self))).astype(dtype or np.uint8, copy=False)

    def read(
        self, indices: np.ndarray, *, threads: int | None = None, failures: dict[str, str] | None = None
    ) -> np.ndarray:
        """The images at `indices` [n], uint8 [n, H, W, C], read by so many threads (None: as many as processors).

        failures: is told of images that cannot be read, which are black then. None: UnreadableImages names the first.

        Raises IndexError for an index out of range.
        """
        rows = self.rows[_in_range(indices, len(self))]
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def fetch(start: int) -> None:
            part = slice(start, start + step)
            for at, image in enumerate(self._together(rows[part]), start):
                try:
                    images[at] = self._image(int(rows[at])) if image is None else self._checked(image, int(rows[at]))
                except UnreadableImages as error:
                    if failures is None:
                        raise
                    images[at], _ = 0, failures.update(error.failures)

        threads = processors() if threads is None else threads
        step = min(max(len(rows) // (8 * threads), 1), MANY)
        starts = range(0, len(rows), step)
        if threads == 1 or len(rows) <= FEW:
            list(map(fetch, starts))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fetch, starts))
        return images

    @property
    def fingerprint(self) -> str | None:
        """Equal only for equal images in the same order; None where the source tells nothing of the kind."""
        of_source = getattr(self.source, "fingerprint", None)
        if of_source is None:
            return None
        text = f"{of_source} {self.shape} ".encode()
        return hashlib.sha256(text + np.ascontiguousarray(self.rows, "<i8").tobytes()).hexdigest()

    def _together(self, rows: np.ndarray) -> Sequence[np.ndarray | None]:
        """Of the source's rows, where it gives several at once; None for what is to be read by itself."""
        several = getattr(self.source, "__getitems__", None)
        if several is None:
            return [None] * len(rows)
        try:
            return several(rows.tolist())
        except Exception:  # one by one, then, which tells of which
            return [None] * len(rows)

    def _image(self, row: int) -> np.ndarray:
        """Of the source's row. Raises UnreadableImages for whatever the source raises, and as `_checked` does."""
        try:
            image = self.source[row]
        except Exception as error:  # each source, and each of Pillow's decoders, has its own
            raise UnreadableImages({self._described(row): str(error) or type(error).__name__}) from error
        return self._checked(image, row)

    def _checked(self, image: Any, row: int) -> np.ndarray:
        """Raises UnreadableImages for another shape or dtype."""
        image = np.asarray(image)
        if image.shape != self.shape[1:] or image.dtype != np.uint8:
            told = f"expected uint8 {self.shape[1:]}, got {image.dtype} {image.shape}"
            raise UnreadableImages({self._described(row): told})
        return image

    def _described(self, row: int) -> str:
        return getattr(self.source, "describe", "image {}".format)(row)

    def _indices(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            return np.arange(len(self))[key]
        axes, key = isinstance(key, tuple), np.asarray(key)
        if key.dtype == bool and key.shape == (len(self),):
            return np.flatnonzero(key)
        if axes or key.ndim != 1 or (key.dtype.kind not in "iu" and key.size):
            raise TypeError(
                "stored images are indexed by an int, a slice, or an array [n] of ints or [N] of booleans: "
                "np.asarray(images) reads all of them into memory"
            )
        return key.astype(np.int64)


def is_stored(images: Any) -> bool:
    """Whether `images` are read when they are asked for."""
    return isinstance(images, StoredImages)


def chunks(images: np.ndarray | StoredImages) -> Iterator[np.ndarray]:
    """Row numbers [n] of consecutive images, as many at a time as `CHUNK` holds."""
    step = max(CHUNK // max(math.prod(images.shape[1:]), 1), 1)
    for start in range(0, len(images), step):
        yield np.arange(start, min(start + step, len(images)))


def _in_range(indices: Any, n: int) -> np.ndarray:
    """[…] int64 from 0 on; negative ones count from the end."""
    indices = np.asarray(indices, np.int64)
    wrong = indices[(indices < -n) | (indices >= n)]
    if wrong.size:
        raise IndexError(f"index {wrong[0]} is out of range: there are {n} images")
    return np.where(indices < 0, indices + n, indices)
