"""The same images at other sizes, in the middle of one canvas."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from convnet.data.dataset import Split


def on_canvas(images: np.ndarray, size: int, side: int, *, told: bool = False) -> np.ndarray:
    """Images uint8 [N, H, W, C] resized to size×size pixels, bilinearly, in the middle of an empty canvas of side×side.

    told: whether another channel holds the size, as a grey of 255 · size / side.
    """
    small = jax.image.resize(np.asarray(images, np.float32), (len(images), size, size, images.shape[-1]), "linear")
    before, after = (side - size) // 2, (side - size + 1) // 2
    canvas = np.pad(np.clip(np.rint(small), 0, 255), ((0, 0), (before, after), (before, after), (0, 0)))
    channel = np.full_like(canvas[..., :1], 255 * size / side)
    return np.concatenate([canvas, channel] if told else [canvas], axis=-1).astype(np.uint8)


def mixed_sizes(split: Split, sizes: Sequence[int], side: int, *, told: bool = False) -> Split:
    """Every image once, `on_canvas` at one of the `sizes`, drawn with seed 0."""
    chosen = np.random.default_rng(0).integers(0, len(sizes), len(split))
    every = np.stack([on_canvas(split.images, size, side, told=told) for size in sizes])
    return Split(every[chosen, np.arange(len(split))], split.labels)
