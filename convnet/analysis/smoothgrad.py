"""SmoothGrad (Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from convnet.analysis.attribution import at_once, checked_labels, grouped, labels_of, weighted_gradients
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained


def smoothgrad(
    network: Trained | View,
    images: Any,
    labels: Any = None,
    *,
    noise: float = 0.15,
    samples: int = 50,
    key: Array | int = 0,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> np.ndarray:
    """[N, H, W, C]: the mean over `samples` of the gradient of the class's logit at the image plus Gaussian noise.

    It estimates the gradient of the logit smoothed by that Gaussian. noise: its standard deviation as a share of each
    image's range, max − min (the paper's noise level; it finds 0.1 to 0.2 best, and little change beyond 50 samples);
    an image of one value gets none. Noisy pixels are not clipped. labels: [N]; None: the predicted classes.
    key: a key or a seed; every image gets the same noise, so a batch gives what its images give one by one.

    Raises ValueError for noise below 0, samples below 1, and images or labels that do not fit.
    """
    view = View.of(network)
    require(0 <= noise < np.inf, "noise", noise, "0 or more")
    require(samples >= 1, "samples", samples, "1 or more")
    key = key if isinstance(key, Array) else jax.random.key(key)
    with view.precision():
        images = view.images(images)
        labels = checked_labels(view, labels, len(images))
        size, group = at_once(view, len(images), samples, memory)
        numbers = grouped(np.arange(samples), group)
        weights = grouped(np.full(samples, 1 / samples, images.dtype), group, 0.0)
        return in_chunks(
            lambda chunk: _smoothed(view, *chunk, np.asarray(noise, images.dtype), key, numbers, weights),
            (images, labels),
            size=size,
            on_progress=on_progress,
        )


@jax.jit
def _smoothed(
    view: View, images: Array, labels: Array | None, noise: Array, key: Array, numbers: Array, weights: Array
) -> Array:
    spread = noise * (images.max(axis=(1, 2, 3), keepdims=True) - images.min(axis=(1, 2, 3), keepdims=True))

    def noisy(number: Array) -> Array:
        drawn = jax.random.normal(jax.random.fold_in(key, number), (1, *view.image_shape), images.dtype)
        return images + spread * drawn

    return weighted_gradients(view, labels_of(view, images, labels), noisy, numbers, weights)
