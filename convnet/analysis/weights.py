"""Weights as images."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.data import Split


def templates(variables: Any, image_shape: tuple[int, int, int]) -> np.ndarray:
    """The linear classifier's weights as one image per class: [K, H, W, C].

    Raises ValueError where the variables are not those of a linear model on images of that shape.
    """
    params = variables["params"]
    kernel = np.asarray(params["logits"]["kernel"])
    if set(params) != {"logits"} or kernel.shape[0] != np.prod(image_shape):
        raise ValueError(f"variables have layers {sorted(params)}: expected those of a linear model on {image_shape}")
    return kernel.T.reshape(-1, *image_shape)


def first_layer_filters(variables: Any) -> np.ndarray:
    """The first convolution's kernels, those of the largest norm first: [K, KH, KW, C].

    Raises ValueError where there is no first convolution.
    """
    if "conv1" not in variables["params"]:
        raise ValueError(f"variables have layers {sorted(variables['params'])}: expected a first convolution, conv1")
    filters = np.moveaxis(np.asarray(variables["params"]["conv1"]["kernel"]), -1, 0)
    norms = np.sqrt((filters.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    return filters[np.argsort(-norms, kind="stable")]


def class_means(split: Split, num_classes: int) -> np.ndarray:
    """Mean image of each class, in raw pixel units: float32 [K, H, W, C]; NaN for a class without examples."""
    means = np.full((num_classes, *split.images.shape[1:]), np.nan, np.float32)
    for label in np.unique(split.labels):
        means[label] = split.images[split.labels == label].mean(axis=0, dtype=np.float64)
    return means
