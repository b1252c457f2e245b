"""Features that nobody had to learn, and one linear classifier on those, on pixels and on what a network learned.

The features are those of the texts that make this comparison: a histogram of hues, and histograms of oriented gradients
(Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005; the library is scikit-image).

found = compare_features(network, dataset, ["pool2"])
found["pixels"].accuracy, found["hand-made"].accuracy, found["pool2"].accuracy
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.data import Dataset
from convnet.settings import require
from convnet.trained import Trained

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C to choose from: the larger, the weaker the regularisation."""

STEPS = 1000
"""Of the solver, at most."""


# --- features ---------------------------------------------------------------------------------------------------------


def hue_histogram(images: Any, bins: int = 10, *, by_saturation: bool = True) -> np.ndarray:
    """[N, bins]: how much of each hue an image has, from red through green and blue back to red; a row adds up to 1.

    images: RGB [N, H, W, 3], uint8 or floats from 0 to 1. by_saturation: a pixel counts as much as it is saturated,
    because a grey one has no hue (an image of grey pixels gets zeros); else all count the same, grey ones as red.

    Raises ValueError for images without three channels, of which grey ones have no hue.
    """
    from skimage.color import rgb2hsv

    images = _unit_images(images)
    if images.shape[-1] != 3:
        raise ValueError(f"images have {images.shape[-1]} channels: expected 3, as others have no hue")
    require(bins >= 1, "bins", bins, "1 or more")
    hue, saturation, _ = np.moveaxis(rgb2hsv(images).reshape(len(images), -1, 3), -1, 0)
    bin_of = np.minimum((hue * bins).astype(int), bins - 1) + bins * np.arange(len(images))[:, None]
    weight = saturation if by_saturation else np.ones_like(saturation)
    counts = np.bincount(bin_of.ravel(), weight.ravel(), minlength=bins * len(images)).reshape(len(images), bins)
    total = counts.sum(axis=1, keepdims=True)
    return counts / np.where(total > 0, total, 1)


def hog(
    images: Any,
    *,
    cell: int | None = None,
    orientations: int = 9,
    on_progress: Callable[[int], object] = lambda done: None,
) -> np.ndarray:
    """Histograms of oriented gradients: [N, D].

    The gradient's direction, up to its sign, in `orientations` bins for each cell, by its magnitude; normalised over
    blocks of 2×2 cells (L2-Hys). Of several channels a pixel has the one whose gradient is the largest.

    images: [N, H, W, C] or [N, H, W], uint8 or floats from 0 to 1. cell: its side in pixels; None: 8, or on images
    below 32 pixels a quarter of the shorter side, at least 1 (7 of 28, 2 of 8). on_progress: told of each image.

    Raises ValueError for what are no images, and a cell that does not fit.
    """
    from skimage.feature import hog as of_image

    images = _unit_images(images)
    sides = images.shape[1:3]
    cell = max(min(8, min(sides) // 4), 1) if cell is None else cell
    require(1 <= cell <= min(sides), "cell", cell, f"from 1 to {min(sides)} pixels")
    require(orientations >= 1, "orientations", orientations, "1 or more")
    block = tuple(min(2, side // cell) for side in sides)
    found = []
    for image in images:
        found.append(of_image(image, orientations, (cell, cell), block, block_norm="L2-Hys", channel_axis=-1))
        on_progress(1)
    return np.stack(found)


def handmade_features(images: Any, *, on_progress: Callable[[int], object] = lambda done: None) -> np.ndarray:
    """`hog` and, of colour images, `hue_histogram`, one after the other: [N, D]."""
    images = _unit_images(images)
    found = hog(images, on_progress=on_progress)
    return np.concatenate([found, hue_histogram(images)], axis=1) if images.shape[-1] == 3 else found


def layer_features(
    network: Trained | View,
    images: Any,
    layer: str,
    *,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> np.ndarray:
    """The result of a layer for each image, flattened: [N, D].

    Raises ValueError for a layer that does not exist and images that the network does not take.
    """
    view = View.of(network)
    with view.precision():
        images = view.images(images)
        view.units(layer)  # raises where there is no such layer
        size = view.chunk(memory)
        return in_chunks(partial(_flat, view, layer=layer), np.asarray(images), size=size, on_progress=on_progress)


@partial(jax.jit, static_argnames="layer")
def _flat(view: View, images: Array, *, layer: str) -> Array:
    return view.at(layer, images).reshape(len(images), -1)


def _unit_images(images: Any) -> np.ndarray:
    """[N, H, W, C] in 0 … 1."""
    images = np.asarray(images)
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or not images.size:
        raise ValueError(f"images have shape {list(images.shape)}: expected [N, H, W, C], none of them 0")
    if images.dtype == np.uint8:
        return images / 255
    if not np.issubdtype(images.dtype, np.floating) or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"images are {images.dtype}, {images.min()} … {images.max()}: expected uint8, or 0.0 … 1.0")
    return images


# --- the classifier ---------------------------------------------------------------------------------------------------


class LinearAccuracy(NamedTuple):
    """How a linear classifier does on features.

    accuracy: share of test examples that are right. strength: the C that was chosen, by `validation`, the accuracy on
    the validation part for each of the `strengths`. converged: whether the solver came to its end.
    """

    accuracy: float
    strength: float
    validation: tuple[float, ...]
    converged: bool


def linear_accuracy(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    validation: float | tuple[Any, Any] = 0.2,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> LinearAccuracy:
    """The accuracy of logistic regression on features, [N, D] or of any further shape, for labels [N].

    Each feature is standardised with the mean and deviation of the training examples. Which of the `strengths` is best
    (the smallest of equals) is told by `validation`: the features and labels of other examples; or a share of the
    training examples, stratified by class and drawn by `seed`, after which all of them are trained on.

    Raises ValueError for features or labels that do not fit each other or are not finite, fewer than two classes, a
    share that leaves a class without examples, and strengths that are not positive.
    """
    x, y = _checked("train", train_features, train_labels)
    given = isinstance(validation, tuple)
    others = [("test", test_features, test_labels), *([("validation", *validation)] if given else [])]
    (x_test, y_test), *held = (_checked(*other, dimensions=x.shape[1]) for other in others)
    order = sorted(strengths)
    require(len(order) > 0 and order[0] > 0, "strengths", tuple(strengths), "one positive number or more")
    require(len(np.unique(y)) > 1, "train_labels", f"all {y[0]}", "two classes or more")
    fit, (x_held, y_held) = ((x, y), held[0]) if given else _split(x, y, validation, seed)
    models, converged = _fit(*fit, order)
    found = {strength: float((models[strength](x_held) == y_held).mean()) for strength in order}
    best = max(order, key=found.get)  # the first of equals
    if not given:
        models, converged = _fit(x, y, [best])
    accuracy = float((models[best](x_test) == y_test).mean())
    return LinearAccuracy(accuracy, best, tuple(map(found.get, strengths)), converged)


def compare_features(
    network: Trained | View,
    dataset: Dataset,
    layers: Sequence[str],
    *,
    strengths: Sequence[float] = STRENGTHS,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> dict[str, LinearAccuracy]:
    """`linear_accuracy` on "pixels", on "hand-made" features, and on the results of a network's `layers`, by name.

    dataset: what the network was trained on, as its layers have seen the labels of the training examples: the strength
    is chosen on the validation examples, for all kinds of features. on_progress: told of each kind. Thousands of
    features of more than some thousand examples take minutes: `data.load(…, limit=5000)`.

    Raises ValueError for a layer that does not exist, and images that the network does not take.
    """
    view = View.of(network)
    for layer in layers:
        view.units(layer)  # raises where there is no such layer
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {"pixels": _unit_images, "hand-made": handmade_features}
    kinds |= {layer: partial(layer_features, view, layer=layer, memory=memory) for layer in layers}
    found = {}
    for name, features in kinds.items():
        train, test, held = (
            (features(split.images), split.labels) for split in (dataset.train, dataset.test, dataset.validation)
        )
        found[name] = linear_accuracy(*train, *test, validation=held, strengths=strengths)
        on_progress(1)
    return found


def _split(x: np.ndarray, y: np.ndarray, share: float, seed: int) -> tuple[Any, Any]:
    """What is fitted to and what is held out."""
    from sklearn.model_selection import train_test_split

    require(0 < share < 1, "validation", share, "a share between 0 and 1, or features and labels")
    classes, counts = np.unique(y, return_counts=True)
    held = round(share * len(y))
    if counts.min() < 2 or not len(classes) <= held <= len(y) - len(classes):
        told = f"{len(y)} training examples in {len(classes)} classes, of the smallest {counts.min()}"
        raise ValueError(f"validation is {share} of {told}: expected one and more of each class on either side")
    fit, out = train_test_split(np.arange(len(y)), test_size=held, stratify=y, random_state=seed)
    return (x[fit], y[fit]), (x[out], y[out])


def _fit(
    x: np.ndarray, y: np.ndarray, strengths: Sequence[float]
) -> tuple[dict[float, Callable[[np.ndarray], np.ndarray]], bool]:
    """For each of the rising strengths a function from features to labels; and whether all converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    x, found, steps = scaler.transform(x), {}, []
    # One thread: the sums of several depend on their number, and wait long for each other on a machine that is busy.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            model = LogisticRegression(C=strength, max_iter=STEPS).fit(x, y)
            found[strength] = make_pipeline(scaler, model).predict
            steps.append(model.n_iter_.max())
    return found, bool(max(steps) < STEPS)


def _checked(part: str, features: Any, labels: Any, dimensions: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] float64 and [N]."""
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim < 2 or not features.size or labels.shape != features.shape[:1]:
        told = f"{list(features.shape)} and {list(labels.shape)}"
        raise ValueError(
            f"{part}_features and {part}_labels have shapes {told}: expected [N, D] and [N], none of them 0"
        )
    features = features.reshape(len(features), -1).astype(np.float64)
    if dimensions not in (None, features.shape[1]):
        raise ValueError(f"{part}_features are {features.shape[1]} numbers: expected {dimensions}, as train_features")
    if not np.isfinite(features).all():
        raise ValueError(f"{part}_features hold what is no finite number: expected finite ones")
    require(np.issubdtype(labels.dtype, np.integer), f"{part}_labels' type", str(labels.dtype), "whole numbers")
    return features, labels
