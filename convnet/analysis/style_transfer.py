"""The content of one image in the style of another (Gatys, Ecker & Bethge, CVPR 2016).

found = style_transfer(network, photograph, painting, style_weight=100.0)
found.image                                        # [H, W, C] in 0 … 1, of the photograph's size
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import inf
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import optimize

from convnet import ops
from convnet.analysis.activation_maximization import Noise
from convnet.analysis.view import View
from convnet.architectures.layers import Activation
from convnet.settings import require
from convnet.trained import Trained

Start = Literal["content", "noise"]
Pooling = Literal["avg", "max"]


def content_loss(features: Array, wanted: Array) -> Array:
    """½ Σ (F − P)² of maps [N, H, W, C] -> [N] (equation 1)."""
    return ops.squared_error(features, wanted) / 2


def style_loss(features: Array, wanted: Array) -> Array:
    """E = Σ (G − A)² / (4 C² M²), G = FᵀF of maps [N, H, W, C] with M = H·W places -> [N] (equation 4).

    wanted: `ops.gram_matrix` of the style's maps, [N, C, C]. That divides by M, so what is squared here is G/M − A/M,
    and style maps of another size than these are compared by their means over places. Where M is the same for both,
    it is the published loss; the mean squared difference of G/(CM), which others use, is 4/C² times that.
    """
    grams, channels = ops.gram_matrix(features), features.shape[3]
    return ops.squared_error(grams, wanted) / (4 * channels**2)


@dataclass(frozen=True, eq=False)
class Stylized:
    """image: [H, W, C] in 0 … 1. objectives: [steps + 1], L at the start and after each step. content_loss, variation,
    style_losses [layers]: those of the image with its margin, as they stand in L before they are weighed."""

    content_layer: str
    style_layers: tuple[str, ...]
    image: np.ndarray
    objectives: np.ndarray
    content_loss: float
    style_losses: np.ndarray
    variation: float


def style_transfer(
    network: Trained | View,
    content: Any,
    style: Any,
    *,
    content_layer: str | None = None,
    style_layers: Sequence[str] | None = None,
    style_weight: float = 100.0,
    variation_weight: float = 10.0,
    steps: int = 200,
    start: Start = "content",
    pooling: Pooling = "avg",
    margin: int = 16,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Stylized:
    """An image [H, W, C] with the maps of `content` [H, W, C] and the correlations between maps of `style` [H', W', C].

    L(x) = ½ mean((F − P)²) + style_weight · mean over layers of E + variation_weight · Σ TV(x) / M

    with E that of `style_loss` and M the number of values in the image. F, P and the style's maps are divided by the
    mean of |F| over the layer's maps of both images, as the authors scale their network (theirs channel by channel).
    They sum over the content layer where this takes the mean, so that a weight means the same whatever the size and
    the network: theirs do not transfer. The variation, which they do without, is Johnson et al.'s (ECCV 2016): small
    networks leave a grain.

    content_layer, style_layers: maps; None: `usual_layers`. start: the content, or Gaussian noise by `seed`. pooling:
    averages in the place of maxima, as the authors advise, or maxima, as the network was trained. margin: so many
    pixels beyond its border the content is mirrored, painted as well, and cut off, as a network's padding shows there.
    0 for a module that takes images of one size only. x goes downhill by L-BFGS-B (SciPy's), which keeps it in 0 … 1:
    an image cut to that at the end is far from what was found. `steps` end early where it is at the bottom.
    on_progress: told how many steps more are done. Other images of these sizes, other weights and numbers run the same
    programs.

    Raises ValueError for images, layers and numbers that will not do, and where averages are asked of a model that does
    not compute through an `OpSet`.
    """
    for name, value in {"style_weight": style_weight, "variation_weight": variation_weight}.items():
        require(0 <= value < inf, name, value, "0 or more")
    require(steps >= 0, "steps", steps, "0 or more")
    require(margin >= 0, "margin", margin, "0 or more pixels")
    require(start in get_args(Start), "start", start, f"one of {', '.join(get_args(Start))}")
    require(pooling in get_args(Pooling), "pooling", pooling, f"one of {', '.join(get_args(Pooling))}")
    view, content = _seen(network, "content", content, margin)
    style_view, style = _seen(network, "style", style)
    layers = _layers(view, content_layer, style_layers)
    if pooling == "avg":
        view, style_view = (one.replace_ops(max_pool=ops.avg_pool) for one in (view, style_view))
    with view.precision():
        wanted = _wanted(view, style_view, content, style, **layers)
        weights = np.asarray([style_weight, variation_weight], view.dtype)
        x = content if start == "content" else Noise()(jax.random.key(seed), view.image_shape, view.dtype)[None]
        objective = partial(_objective, view, wanted, weights, **layers)
        x, objectives = _descend(objective, x, steps, on_progress)
        of_content, of_style, variation = _terms_of(view, wanted, x, **layers)
    losses = {"content_loss": float(of_content), "style_losses": np.asarray(of_style), "variation": float(variation)}
    rows, columns = (slice(margin, side - margin) for side in view.image_shape[:2])
    return Stylized(**layers, image=x[0, rows, columns], objectives=objectives, **losses)


def usual_layers(view: View) -> tuple[str, tuple[str, ...]]:
    """The layer of the content and those of the style: of the maps of each size the first activation, as the authors'
    conv1_1, conv2_1, …; and the last one of the last size but one, where they take conv4_2.

    Raises ValueError for a model without a table of layers, or without maps.
    """
    placed = view.placed
    maps = [one for one in placed if isinstance(one.layer, Activation) and len(one.output) == 3]
    names = [one.name for one in placed]
    require(len(maps) >= 1, "network", names, "one with maps that go through an activation")
    sizes = [[one.name for one in group] for _, group in groupby(maps, key=lambda one: one.output[:2])]
    return sizes[max(len(sizes) - 2, 0)][-1], tuple(names[0] for names in sizes)


def _seen(network: Trained | View, name: str, image: Any, margin: int = 0) -> tuple[View, Array]:
    """A view of images of this one's size, and the image as it takes them, [1, H, W, C]; mirrored beyond its border."""
    image = np.asarray(image)
    require(image.ndim in (2, 3), name, f"an array {list(image.shape)}", "one image [H, W, C]")
    image = image if image.ndim == 3 else image[..., None]
    image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "reflect") if image.size else image
    try:
        view = View.of(network, image_shape=image.shape)
        return view, view.images(image[None])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _layers(view: View, content_layer: str | None, style_layers: Sequence[str] | None) -> dict[str, Any]:
    """Those that were chosen, where they are maps, and the usual ones."""
    usual = usual_layers(view) if content_layer is None or style_layers is None else (content_layer, style_layers)
    content_layer = usual[0] if content_layer is None else content_layer
    style_layers = tuple(usual[1] if style_layers is None else style_layers)
    maps = [name for name, shape in view.layers.items() if len(shape) == 3]
    require(content_layer in maps, "content_layer", content_layer, f"maps of one of {', '.join(maps)}")
    require(len(style_layers) >= 1, "style_layers", style_layers, "one layer or more")
    for layer in style_layers:
        require(layer in maps, "style_layers", layer, f"maps of {', '.join(maps)}")
    return {"content_layer": content_layer, "style_layers": style_layers}


def _descend(
    objective: Callable[[Array], tuple[Array, Array]], x: Array, steps: int, on_progress: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """The image after `steps` steps at most, and the objective at the start and after each of them."""
    objectives: list[float] = []

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = objective(jnp.asarray(flat.reshape(x.shape), x.dtype))
        objectives[:] = objectives or [float(value)]
        return float(value), np.asarray(slope, np.float64).ravel()

    def note(intermediate_result: optimize.OptimizeResult) -> None:  # the name tells SciPy what to call it with
        objectives.append(float(intermediate_result.fun))
        on_progress(1)

    if not steps:  # SciPy takes one all the same
        return np.asarray(x), np.asarray([value_and_slope(np.asarray(x, np.float64).ravel())[0]])
    # It goes on until the steps are done, unless no step leads downhill any more.
    options = {"maxiter": steps, "maxfun": inf, "ftol": 0.0, "gtol": 0.0}
    settings = dict(jac=True, method="L-BFGS-B", bounds=optimize.Bounds(0, 1), callback=note, options=options)
    found = optimize.minimize(value_and_slope, np.asarray(x, np.float64).ravel(), **settings)
    on_progress(steps - (len(objectives) - 1))
    return np.asarray(found.x.reshape(x.shape), x.dtype), np.asarray(objectives)


@partial(jax.jit, static_argnames=("content_layer", "style_layers"))
def _wanted(view: View, style_view: View, content: Array, style: Array, *, content_layer: str, style_layers):
    """Maps of the content, Gram matrices of the style, and what the maps of each layer are divided by."""
    of_content, of_style = view.results(content), style_view.results(style)
    scales = {}
    for layer in {content_layer, *style_layers}:
        mean = (jnp.mean(jnp.abs(of_content[layer])) + jnp.mean(jnp.abs(of_style[layer]))) / 2
        scales[layer] = jnp.where(mean > 0, mean, jnp.ones_like(mean))
    grams = [ops.gram_matrix(of_style[layer] / scales[layer]) for layer in style_layers]
    return of_content[content_layer] / scales[content_layer], grams, scales


def _terms(view: View, wanted: Any, x: Array, *, content_layer: str, style_layers: Sequence[str]):
    """The losses of content, of style by layer, and of total variation, of one image [1, H, W, C]."""
    maps, grams, scales = wanted
    results = view.results(x)
    found = {layer: results[layer] / scale for layer, scale in scales.items()}
    style = [style_loss(found[layer], gram)[0] for layer, gram in zip(style_layers, grams, strict=True)]
    variation = ops.total_variation(x, eps=0.0)[0] / x.size
    return content_loss(found[content_layer], maps)[0] / maps.size, jnp.stack(style), variation


@partial(jax.jit, static_argnames=("content_layer", "style_layers"))
def _objective(view: View, wanted: Any, weights: Array, x: Array, **layers) -> tuple[Array, Array]:
    """L of one image [1, H, W, C], and its gradient."""

    def total(x: Array) -> Array:
        content, style, variation = _terms(view, wanted, x, **layers)
        return content + weights[0] * jnp.mean(style) + weights[1] * variation

    return jax.value_and_grad(total)(x)


_terms_of = jax.jit(_terms, static_argnames=("content_layer", "style_layers"))
