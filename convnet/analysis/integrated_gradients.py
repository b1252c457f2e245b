"""Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from convnet.analysis.attribution import (
    at_once,
    baselines,
    checked_labels,
    grouped,
    labels_of,
    scores,
    weighted_gradients,
)
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained


@dataclass(frozen=True)
class IntegratedGradients:
    """attributions: [N, H, W, C], in units of the logit. gap: [N], |Σ attributions − (logit(image) − logit(baseline))|,
    which is 0 for the exact integral (completeness). labels: int32 [N], the classes whose logits these are."""

    attributions: np.ndarray
    gap: np.ndarray
    labels: np.ndarray


def integrated_gradients(
    network: Trained | View,
    images: Any,
    labels: Any = None,
    *,
    baseline: Any = 0.0,
    steps: int = 50,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> IntegratedGradients:
    """(x − b) ⊙ ∫₀¹ ∇f(b + α(x − b)) dα of each image x, f the logit of its class.

    labels: [N]; None: the predicted classes. baseline: b, in the 0 … 1 of the images: a number (0, black, unless
    given), values [C], an image [H, W, C], or one for each image. steps: points of a Gauss–Legendre quadrature, which
    is exact where ∇f is a polynomial of degree below 2·steps along the path; relus make kinks in it, and there the gap
    falls about as 1/steps: raise the steps until it is small beside logit(image) − logit(baseline).

    Where image and baseline agree, and where f does not depend on a pixel, that gets 0 (the paper's proposition 1).

    Raises ValueError for steps below 1, and for images, labels or a baseline that do not fit.
    """
    view = View.of(network)
    require(steps >= 1, "steps", steps, "1 or more")
    with view.precision():
        images = view.images(images)
        labels, base = checked_labels(view, labels, len(images)), baselines(baseline, images)
        size, group = at_once(view, len(images), steps, memory)
        nodes, weights = np.polynomial.legendre.leggauss(steps)  # on −1 … 1
        points = [grouped(values.astype(images.dtype), group, 0.0) for values in ((1 + nodes) / 2, weights / 2)]
        found = in_chunks(
            lambda chunk: _integrated(view, *chunk, *points),
            (images, labels, base),
            size=size,
            on_progress=on_progress,
        )
    return IntegratedGradients(*found)


@jax.jit
def _integrated(
    view: View, images: Array, labels: Array | None, base: Array, alphas: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Attributions, gap and labels. alphas, weights: [groups, steps at once]."""
    labels, along = labels_of(view, images, labels), images - base
    mean = weighted_gradients(view, labels, lambda alpha: base + alpha * along, alphas, weights)
    found = along * mean
    total = scores(view, images, labels) - scores(view, base, labels)
    return found, abs(found.sum(axis=(1, 2, 3)) - total), labels
