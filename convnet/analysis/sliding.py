"""A network that classifies windows, slid over larger images: its dense layer is a convolution of 1×1."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from convnet import HAND
from convnet.analysis.view import View
from convnet.trained import Trained


def slid_logits(network: Trained, layer: str, images: Any, *, chunk: int = 10) -> np.ndarray:
    """[N, H', W', K]: at each place the logits of the window of the network's own size that begins there.

    layer: the one below the last dense one, of 1×1 places on a window, without padding and strides before it. images:
    larger than what the network was trained on. chunk: how many at once.
    """
    view, logits = View.of(network, image_shape=images.shape[1:]), network.variables["params"]["logits"]
    kernel, bias = logits["kernel"][None, None], logits["bias"]
    slide = jax.jit(lambda images: HAND.conv2d(view.at(layer, images), kernel, bias))
    return np.concatenate([slide(view.images(images[at : at + chunk])) for at in range(0, len(images), chunk)])


def hottest(maps: np.ndarray) -> np.ndarray:
    """(row, column) of the largest value of each map [N, H, W], the first of equals: [N, 2]."""
    return np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[1:]), axis=1)
