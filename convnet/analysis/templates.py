"""A linear classifier as what it is: one template per class, and how alike an image is to each."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.analysis.weights import class_means, templates
from convnet.data import Dataset


def template_scores(variables: Any, dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """[N, K] float32: the inner products, summed in float64, of images, normalised as those of `dataset` are, with the
    templates, plus biases. images: uint8 [N, H, W, C]."""
    seen = (images - dataset.mean.astype(float)) / dataset.std
    products = np.einsum("nhwc,khwc->nk", seen, templates(variables, dataset.image_shape))
    return products.astype(np.float32) + np.asarray(variables["params"]["logits"]["bias"])


def recognised_templates(variables: Any, dataset: Dataset) -> int:
    """How many of the templates are more like the mean image of their own class than of any other, by the correlation
    of the templates and the means, each less the mean of all classes."""
    looks = (class_means(dataset.train, dataset.num_classes), templates(variables, dataset.image_shape))
    mean, template = ((x - x.mean(axis=0)).reshape(dataset.num_classes, -1) for x in looks)
    likeness = template @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T
    return int((likeness.argmax(axis=1) == np.arange(dataset.num_classes)).sum())


def nearest_mean_accuracy(dataset: Dataset) -> float:
    """Test accuracy of the mean images of the training classes as templates: the nearest mean, which is linear, too."""
    means = class_means(dataset.train, dataset.num_classes).reshape(dataset.num_classes, -1)
    scores = np.asarray(dataset.test.images).reshape(len(dataset.test), -1) @ means.T - (means**2).sum(axis=1) / 2
    return float((scores.argmax(axis=1) == dataset.test.labels).mean())
