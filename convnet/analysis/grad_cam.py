"""Grad-CAM (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV
2017)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.analysis.attribution import Box, checked_labels, labels_of, last_maps, layer_of_maps, seen_box
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.models.perturbed import perturbed
from convnet.settings import require
from convnet.trained import Trained


def grad_cam(
    network: Trained | View,
    images: Any,
    labels: Any = None,
    *,
    layer: str | None = None,
    relu: bool = True,
    upsample: bool = True,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> np.ndarray:
    """[N, H, W]: where a layer's maps speak for the class of each image, in units of the logit.

    With maps A_k [H', W'] and y the class's logit: max(Σ_k α_k A_k, 0), α_k the mean of ∂y/∂A_k over positions (the
    paper's equations 1 and 2). layer: by name; None: the last whose maps have several pixels. relu: False keeps what
    speaks against the class, below 0. labels: [N]; None: the predicted classes.
    upsample: to the pixels of the image, bilinearly, pixels taken as squares side by side (half-pixel centres; what
    torch calls align_corners=False); where a network sees only a part of the image, such as its centre, the rest is 0.
    False: [N, H', W'], as computed.

    Of a network that ends in a global mean and a dense layer with weights w this is CAM (Zhou et al., CVPR 2016),
    Σ_k w_k A_k, over H'·W'.

    Raises ValueError for a layer that does not exist or has no maps, and for images or labels that do not fit.
    """
    view = View.of(network)
    with view.precision():
        images, layer = view.images(images), last_maps(view) if layer is None else layer_of_maps(view, layer)
        require(layer is not None, "layer", None, f"a network with maps, but this one has {', '.join(view.layers)}")
        labels = checked_labels(view, labels, len(images))
        box = seen_box(view) if upsample else None
        return in_chunks(
            lambda chunk: _maps(view, *chunk, layer=layer, relu=relu, box=box),
            (images, labels),
            size=view.chunk(memory),
            on_progress=on_progress,
        )


@partial(jax.jit, static_argnames=("layer", "relu", "box"))
def _maps(view: View, images: Array, labels: Array | None, *, layer: str, relu: bool, box: Box | None) -> Array:
    labels = labels_of(view, images, labels)
    shape = jax.eval_shape(partial(view.at, layer), images)

    def score(change: Array) -> tuple[Array, Array]:
        logits, maps = perturbed(view.model, view.variables, view.preprocess(images), layer, change)
        return jnp.take_along_axis(logits, labels[:, None], axis=1).sum(), maps

    slopes, maps = jax.grad(score, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    found = (weights * maps).sum(axis=3)
    found = jnp.maximum(found, 0) if relu else found
    if box is None:
        return found
    top, bottom, left, right = box
    large = jax.image.resize(found, (len(found), bottom - top, right - left), "linear")
    return jnp.zeros(images.shape[:3], found.dtype).at[:, top:bottom, left:right].set(large)
