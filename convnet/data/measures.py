"""What is measured of images chunk by chunk: the digest of a data set, how often each pixel value occurs, and how
neighbouring pixels go together.

Of stored images both come from one pass over the files, and are kept from one process to the next: what they are kept
under follows from the files' names, sizes and times, not from their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import NamedTuple, Protocol

import numpy as np

from convnet.data import cache
from convnet.data.stored import StoredImages, UnreadableImages, chunks, is_stored
from convnet.progress import progress

_LAYOUT = 1  # to be raised when the same images give other measures
_COUNTED = 2**18  # pixels at a time: NumPy makes each an int64 to count it
_CUT = 2**22  # values of patches at a time


class Split(Protocol):
    """What is measured of a `convnet.data.Split`."""

    images: np.ndarray | StoredImages
    labels: np.ndarray

    def __len__(self) -> int: ...


class Measures(NamedTuple):
    """digest: SHA-256 over images and labels of all splits. histograms: [C, 256] int64, of the training images."""

    digest: str
    histograms: np.ndarray


def measured(splits: Mapping[str, Split]) -> Measures:
    """Of `splits`, in one pass over their images, or as an earlier pass over the same stored images found them.

    Raises UnreadableImages, for all that cannot be read.
    """
    parts = [split.images.fingerprint if is_stored(split.images) else None for split in splits.values()]
    if None in parts:
        return _passed(splits)

    def build() -> cache.Arrays:
        found = _passed(splits)
        return {"digest": np.frombuffer(bytes.fromhex(found.digest), np.uint8), "histograms": found.histograms}

    key = hashlib.sha256(repr((_LAYOUT, *splits, *parts)).encode())
    for split in splits.values():
        key.update(np.ascontiguousarray(split.labels, "<i4").data)
    kept = cache.load_or_build(f"measures-{key.hexdigest()[:32]}", build)
    return Measures(kept["digest"].tobytes().hex(), kept["histograms"])


def _passed(splits: Mapping[str, Split]) -> Measures:
    histograms = np.zeros((splits["train"].images.shape[-1], 256), np.int64)

    def count(name: str, images: np.ndarray) -> None:
        if name == "train":
            histograms[:] += _counts(images)

    return Measures(digest_of(splits, count), histograms)


def digest_of(splits: Mapping[str, Split], seen: Callable[[str, np.ndarray], None] = lambda name, images: None) -> str:
    """SHA-256 over the images and labels of all splits, in their order. seen: gets every split's name and images on the
    way, chunk by chunk.

    Raises UnreadableImages, for all that cannot be read.
    """
    digest, failures = hashlib.sha256(), {}
    stored = sum(len(split) for split in splits.values() if is_stored(split.images))
    with progress(stored, "image") if stored else nullcontext() as bar:
        if stored:
            bar.set_postfix_str("reading all images, once")
        for name, split in splits.items():
            digest.update(f"{name} {split.images.shape}\n".encode())
            for images in _pixels(split.images, failures, bar):
                digest.update(np.ascontiguousarray(images).data)
                seen(name, images)
            digest.update(np.ascontiguousarray(split.labels, "<i4").data)
    if failures:
        raise UnreadableImages(failures)
    return digest.hexdigest()


def _pixels(images: np.ndarray | StoredImages, failures: dict[str, str], bar) -> Iterator[np.ndarray]:
    """Chunk by chunk."""
    for rows in chunks(images):
        if is_stored(images):
            yield images.read(rows, failures=failures)
            bar.update(len(rows))
        else:
            yield images[rows[0] : rows[-1] + 1]


def histograms_of(images: np.ndarray) -> np.ndarray:
    """How often each pixel value occurs in each channel: [N, H, W, C] uint8 in memory -> [C, 256] int64."""
    total = np.zeros((images.shape[-1], 256), np.int64)
    for chunk in _pixels(images, {}, None):
        total += _counts(chunk)
    return total


def _counts(images: np.ndarray) -> np.ndarray:
    pixels = images.reshape(-1, images.shape[-1])
    total = np.zeros((pixels.shape[1], 256), np.int64)
    for start in range(0, len(pixels), _COUNTED):
        for channel, values in enumerate(pixels[start : start + _COUNTED].T):
            total[channel] += np.bincount(values, minlength=256)
    return total


def moments(histogram: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, from exact integer sums (Python's, which cannot overflow)."""
    counts = histogram.tolist()
    n = sum(counts)
    first = sum(value * count for value, count in enumerate(counts))
    second = sum(value * value * count for value, count in enumerate(counts))
    variance_times_n_squared = n * second - first * first
    return first / n, variance_times_n_squared**0.5 / n if variance_times_n_squared else 1.0


def patch_moment_of(
    images: np.ndarray | StoredImages, rows: np.ndarray, side: int, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Mean of pᵀp over the side×side patches p of the images at `rows`, normalised by `mean` and `std` [C]: [D, D]
    float64. Row by row and channel by channel, D = side·side·C.

    What is added up are whole numbers, far below 2⁵³, so that no order of additions gives other bits.

    Raises ValueError for images smaller than a patch.
    """
    _, height, width, channels = images.shape
    if not 1 <= side <= min(height, width):
        raise ValueError(f"images of {height}×{width} pixels have no patches of {side}×{side}")
    values = side * side * channels
    once = max(_CUT // (height * width * values), 1)
    first, second, count = np.zeros(values), np.zeros((values, values)), 0
    for start in range(0, len(rows), once):
        part = images[rows[start : start + once]]
        found = np.lib.stride_tricks.sliding_window_view(part, (side, side), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        patches = found.reshape(-1, values).astype(np.float64)
        first, second, count = first + patches.sum(axis=0), second + patches.T @ patches, count + len(patches)
    m, s = (np.tile(np.asarray(each, np.float64), side * side) for each in (mean, std))
    across = np.outer(m, first / count)
    return (second / count - (across + across.T) + np.outer(m, m)) / np.outer(s, s)
