"""Do layers know that parts correspond? Hide the same part in several images, and compare what changes.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.analysis.attribution import baselines, mean_of_data
from convnet.analysis.grid import inside
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained


@dataclass(frozen=True)
class Correspondence:
    """By name of the layer: Δ_l = Σ_{i≠j} Hamming(sign ε_i, sign ε_j), the lower the more alike, as whole numbers.

    part: int, where the part is hidden. random: [R] int, where parts of the same sizes at random places are.
    share divides a Δ of a layer by the number of what was compared, N(N − 1) pairs of D features: 0 … 1.
    """

    part: dict[str, int]
    random: dict[str, np.ndarray]
    compared: dict[str, int]

    def share(self, layer: str) -> tuple[float, np.ndarray]:
        """Of the part, and of the random parts [R]: the share of features whose signs differ."""
        return self.part[layer] / self.compared[layer], self.random[layer] / self.compared[layer]


def correspondence(
    network: Trained | View,
    images: Any,
    parts: Any,
    *,
    layers: Iterable[str] | None = None,
    baseline: Any = None,
    random: int = 20,
    key: Array | int = 0,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Correspondence:
    """Δ_l of `parts` hidden in `images`, one in each, beside that of parts at random places.

    With x_l the features of layer l and x̃_l those with the part hidden, ε = x_l − x̃_l; a sign is −1, 0 or 1, and the
    Hamming distance counts the features whose signs differ. A low Δ_l beside the random ones says that hiding this part
    does the same to layer l in every image. What is within rounding (8 units in the last place of the layer's largest
    value in that image) is no change: its sign is 0.

    parts: [N, 4] whole numbers, (top, left, height, width) of the same part (the left eye, say) in each image.
    layers: by name; None: all. baseline: as in `occlusion`. random: how many times a part of the same size is hidden
    at a random place of each image. key: a key or a seed. on_progress: is told how many of the 1 + random are done.

    Raises ValueError for fewer than two images, and for parts, layers or a baseline that do not fit.
    """
    view = View.of(network)
    known = view.layers
    layers = tuple(known if layers is None else layers)
    for layer in layers:
        require(layer in known, "layers", layer, f"some of {', '.join(known)}")
    require(random >= 0, "random", random, "0 or more")
    with view.precision():
        images = view.images(images)
        require(len(images) >= 2, "images", len(images), "at least 2, to be compared")
        parts = _checked(parts, images.shape)
        base = baselines(mean_of_data(network) if baseline is None else baseline, images)
        key = key if isinstance(key, Array) else jax.random.key(key)
        sets = np.concatenate([parts[None], np.asarray(_elsewhere(key, parts, images.shape[1:3], random))])
        found = in_chunks(
            lambda chunk: _differing(view, images, base, chunk, layers=layers),
            sets,
            size=max(view.chunk(memory) // len(images), 1),
            on_progress=on_progress,
        )
    totals = [values.reshape(len(sets), -1).sum(axis=1, dtype=np.int64) for values in found]
    pairs = len(images) * (len(images) - 1)
    return Correspondence(
        part={layer: int(total[0]) for layer, total in zip(layers, totals, strict=True)},
        random={layer: total[1:] for layer, total in zip(layers, totals, strict=True)},
        compared={layer: pairs * int(np.prod(known[layer])) for layer in layers},
    )


def _checked(parts: Any, shape: tuple[int, ...]) -> np.ndarray:
    parts = np.asarray(parts)
    if parts.shape != (shape[0], 4) or not np.issubdtype(parts.dtype, np.integer):
        raise ValueError(f"parts are {parts.dtype} {list(parts.shape)}: expected whole numbers [{shape[0]}, 4]")
    corner, sides = parts[:, :2], parts[:, 2:]
    for part in parts[~((corner >= 0) & (sides >= 1) & (corner + sides <= shape[1:3])).all(axis=1)]:
        raise ValueError(
            f"parts hold {part.tolist()}: expected (top, left, height, width) within {shape[1]} × {shape[2]} pixels"
        )
    return parts.astype(np.int32)


def _elsewhere(key: Array, parts: np.ndarray, image: tuple[int, int], count: int) -> Array:
    """[count, N, 4]: parts of the same sizes, every place within the image as likely as any other."""
    places = np.asarray(image, np.int32) - parts[:, 2:] + 1
    corners = jax.random.randint(key, (count, len(parts), 2), 0, places[None])
    return jnp.concatenate([corners, jnp.broadcast_to(parts[None, :, 2:], corners.shape)], axis=2)


@partial(jax.jit, static_argnames="layers")
def _differing(view: View, images: Array, base: Array, sets: Array, *, layers: tuple[str, ...]) -> list[Array]:
    """Of each layer [S, …]: per place, how many of the ordered pairs of images differ in sign, over the channels.

    sets: [S, N, 4]. Of N signs with n₋, n₀ and n₊ of each kind, N² − n₋² − n₀² − n₊² ordered pairs differ.
    """
    hidden = jnp.where(inside(sets, view.image_shape), base[None], images[None])
    versions = jnp.concatenate([images[None], hidden])  # in one batch, so that equal pixels are rounded alike
    features, count = view.results(versions.reshape(-1, *view.image_shape)), len(images)

    def differing(layer: str) -> Array:
        found = features[layer].reshape(*versions.shape[:2], -1)
        clean, occluded = found[0], found[1:]
        least = 8 * jnp.finfo(clean.dtype).eps * abs(clean).max(axis=-1, keepdims=True)
        change = clean[None] - occluded
        signs = jnp.where(abs(change) > least[None], jnp.sign(change), 0)
        alike = sum((signs == kind).sum(axis=1, dtype=jnp.int32) ** 2 for kind in (-1, 0, 1))
        return (count**2 - alike).reshape(len(sets), *features[layer].shape[1:]).sum(axis=-1)

    return [differing(layer) for layer in layers]
