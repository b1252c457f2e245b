"""Batches of images read ahead, window by window, while earlier ones are trained on; the only home of Grain.

The order is given, not made here: what comes is a function of it alone, whatever the number of threads.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from convnet.data.stored import StoredImages, is_stored
from convnet.settings import require
from convnet.threads import processors

READING = ("grain>=0.2.12",)
"""The extra `stream` of setup.cfg, spelled out: that works from a checkout and from a wheel alike."""
AHEAD = 2
"""Windows that are read before they are asked for."""
_PIECE = 256  # images that a thread reads at a time, at most: few enough to share a window out, many enough to be cheap


class StreamingNotInstalled(ValueError):
    """Grain is missing; the message says how to get it."""


def windows(
    images: np.ndarray | StoredImages,
    labels: np.ndarray,
    order: np.ndarray,
    *,
    per_window: int,
    rows: slice = slice(None),
    threads: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches of `order`, in that order, so many steps at a time: (images uint8 [k, b, H, W, C], labels int32
    [k, b]) with k = `per_window`, less in the last.

    images, labels: [N, H, W, C] and [N]. order: [steps, B] integers, which examples make up each batch.
    rows: which columns of it are wanted, a host's share of each batch say: b of B. The others are not read.
    threads: that read; None: as many as there are processors.

    Up to `AHEAD` windows are read in the background, once the first has been asked for; closing the iterator ends that.

    Raises ValueError, at once, for an order of another shape or beyond N, no columns, a window or threads below 1, and
    where Grain is not installed; UnreadableImages, when that window is asked for, for an image that cannot be read.
    """
    order = _checked(order, len(images))
    chosen = order[:, rows]
    require(chosen.shape[1] >= 1, "rows", rows, f"some of the {order.shape[1]} columns of order")
    require(per_window >= 1, "per_window", per_window, "steps, 1 or more")
    require(threads is None or threads >= 1, "threads", threads, "1 or more, or None")
    require(len(labels) == len(images), "labels", len(labels), f"one for each of the {len(images)} images")
    grain, labels = require_grain(), np.asarray(labels).astype(np.int32, copy=False)
    pieces = _Pieces(images, chosen, per_window, processors() if threads is None else threads)
    return _windows(grain, pieces, labels, chosen, per_window)


class _Pieces:
    """What threads read, a random-access source for Grain: a few consecutive images of a window each."""

    def __init__(self, images: np.ndarray | StoredImages, order: np.ndarray, per_window: int, threads: int):
        self.images, self.order, self.threads = images, order.reshape(-1), threads
        window = per_window * order.shape[1]
        step = max(min(_PIECE, window // (4 * threads)), 1)
        self.spans = [
            (at, min(at + step, start + window, len(self.order)))
            for start in range(0, len(self.order), window)
            for at in range(start, min(start + window, len(self.order)), step)
        ]
        self.per_window = -(-window // step)

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, i: int) -> tuple[np.ndarray | None, Exception | None]:
        """The images, or why they cannot be had: Grain would add to an exception's message."""
        start, stop = self.spans[i]
        chosen = self.order[start:stop]
        try:
            return (self.images.read(chosen, threads=1) if is_stored(self.images) else self.images[chosen]), None
        except Exception as error:
            return None, error


def _windows(
    grain: Any, pieces: _Pieces, labels: np.ndarray, order: np.ndarray, per_window: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    options = grain.ReadOptions(num_threads=pieces.threads, prefetch_buffer_size=AHEAD * pieces.per_window)
    with closing(iter(grain.MapDataset.source(pieces).to_iter_dataset(options))) as found:
        for start in range(0, len(order), per_window):
            chosen = order[start : start + per_window]
            window = np.empty((chosen.size, *pieces.images.shape[1:]), np.uint8)
            at = 0
            while at < len(window):
                piece, error = next(found)
                if error is not None:
                    raise error
                window[at : at + len(piece)] = piece
                at += len(piece)
            yield window.reshape(*chosen.shape, *window.shape[1:]), labels[chosen]


def _checked(order: np.ndarray, n: int) -> np.ndarray:
    order = np.asarray(order)
    fits = order.ndim == 2 and order.dtype.kind in "iu"
    require(fits, "order", f"{order.dtype} {order.shape}", "integers [steps, B]")
    wrong = order[(order < 0) | (order >= n)]
    require(wrong.size == 0, "order", wrong[:1].tolist(), f"numbers of the {n} images, from 0 on")
    return order


def require_grain() -> Any:
    """Grain, whose first import takes a second or two. Raises StreamingNotInstalled where it is missing."""
    try:
        import grain
    except ImportError as error:
        python, packages = shlex.quote(sys.executable or "python"), " ".join(map(shlex.quote, READING))
        raise StreamingNotInstalled(
            f"images that are not in memory are read ahead by Grain, which is missing ({error}): "
            f"{python} -m pip install {packages}"
        ) from error
    return grain
