"""Does an explanation depend on what the network learned? (Adebayo et al., "Sanity checks for saliency maps", NeurIPS
2018): the same explanation of the same images once more, with weights drawn anew.

maps = partial(my_explanation, images, labels)                      # (view) -> [N, H, W]
for step in cascade(network, maps): ...                             # from the logits down: step.layer, step.similarity
similarity(maps(view), maps(randomized(view, key=0))).absolute      # [N]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from convnet import models
from convnet.analysis.view import View
from convnet.settings import require
from convnet.trained import Trained

WINDOW = 7
"""Pixels of SSIM's window, or as many as a smaller image has (an odd number)."""

ANOTHER = 0x5A17
"""Folded into keys."""


class Similarity(NamedTuple):
    """How alike two maps of each of N images are: [N] each.

    signed, absolute: Spearman's rank correlation of the values, and of their magnitudes; 0 where a map is constant and
    the other is not, 1 where both are. ssim: of the magnitudes, each divided by its largest.
    """

    signed: np.ndarray
    absolute: np.ndarray
    ssim: np.ndarray


class Step(NamedTuple):
    """A layer whose weights were drawn anew, alone or with all above it, and how alike the maps still are."""

    layer: str
    similarity: Similarity


def similarity(maps: Any, others: Any) -> Similarity:
    """Of maps [N, H, W] and others of the same shape.

    Raises ValueError for another shape, values that are not finite, and sides below 3 pixels: SSIM has no window there.
    """
    maps, others = np.asarray(maps, np.float64), np.asarray(others, np.float64)
    if maps.ndim != 3 or maps.shape != others.shape or min(maps.shape[1:]) < 3:
        shapes = f"{list(maps.shape)} and {list(others.shape)}"
        raise ValueError(f"maps have shapes {shapes}: expected [N, H, W] twice, 3 or more pixels a side")
    require(bool(np.isfinite(maps).all() and np.isfinite(others).all()), "maps", "not finite", "finite numbers")
    pairs = list(zip(maps, others, strict=True))
    return Similarity(*(np.array([measure(one, other) for one, other in pairs])
                        for measure in (_spearman, _spearman_of_magnitudes, _ssim)))  # fmt: skip


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    ranks = [rankdata(values) - (values.size + 1) / 2 for values in (one, other)]
    lengths = [np.linalg.norm(rank) for rank in ranks]
    if min(lengths) == 0:
        return float(lengths[0] == lengths[1])
    return float(ranks[0] @ ranks[1] / (lengths[0] * lengths[1]))


def _spearman_of_magnitudes(one: np.ndarray, other: np.ndarray) -> float:
    return _spearman(np.abs(one), np.abs(other))


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    scaled = [np.abs(values) / (np.abs(values).max() or 1) for values in (one, other)]
    side = min(WINDOW, *one.shape)
    return float(structural_similarity(*scaled, win_size=side - (side % 2 == 0), data_range=1.0))


# --- weights drawn anew -----------------------------------------------------------------------------------------------


def weighted_layers(network: Trained | View) -> tuple[str, ...]:
    """Names of the layers that have weights, in the order of the network, as far as its results tell it."""
    view = View.of(network)
    owners = dict.fromkeys(name.split("/", 1)[1].rpartition("/")[0] for name in _parameters(view))
    order = {name: at for at, name in enumerate(view.layers)}
    return tuple(sorted(owners, key=lambda name: order.get(name, len(order))))


def randomized(network: Trained | View, layers: Iterable[str] | None = None, *, key: Array | int = 0) -> View:
    """The same network with the weights of some `layers` as the model would start them; None: of all.

    Running statistics of batch normalisation stay, and frozen kernels: they tell of the data. key: a key, or a seed.

    Raises ValueError for a layer that has no weights.
    """
    view = View.of(network)
    known = weighted_layers(view)
    layers = known if layers is None else tuple(layers)
    for layer in layers:
        require(layer in known, "layer", layer, f"one with weights, {', '.join(known)}")
    # Not the key that the network may have been started with: the same weights would be drawn again.
    key = jax.random.fold_in(key if isinstance(key, Array) else jax.random.key(key), ANOTHER)
    with view.precision():
        image = jax.ShapeDtypeStruct((1, *view.image_shape), view.dtype)
        seen = jax.eval_shape(view.preprocess, image)
        started = models.flatten(_started(view.model, key, np.zeros(seen.shape, seen.dtype)))
    kept = models.flatten(view.variables)
    chosen = {name for name in _parameters(view) if name.split("/", 1)[1].rpartition("/")[0] in layers}
    return view.with_variables(models.unflatten({n: started[n] if n in chosen else kept[n] for n in kept}))


@partial(jax.jit, static_argnames="model")
def _started(model: Any, key: Array, images: Array) -> Any:
    """Compiled once for a model, whichever of its layers are drawn anew: of a deep one that takes long."""
    return model.init(key, images)


def _parameters(view: View) -> list[str]:
    return [name for name in models.flatten(view.variables) if name.startswith("params/")]


def cascade(
    network: Trained | View,
    explain: Callable[[View], np.ndarray],
    *,
    independent: bool = False,
    key: Array | int = 0,
    on_progress: Callable[[int], object] = lambda done: None,
) -> list[Step]:
    """How alike `explain`'s maps are to those of the network, as its layers are drawn anew from the last to the first.

    explain: (view) -> maps [N, H, W] of the same images. independent: one layer at a time, all others as they were;
    else all above it as well. An explanation that stays what it was does not explain the network. on_progress: told of
    each layer.

    Raises ValueError as `similarity` does.
    """
    view = View.of(network)
    maps, found = explain(view), []
    layers = weighted_layers(view)[::-1]
    for at, layer in enumerate(layers):
        changed = randomized(view, [layer] if independent else layers[: at + 1], key=key)
        found.append(Step(layer, similarity(maps, explain(changed))))
        on_progress(1)
    return found
