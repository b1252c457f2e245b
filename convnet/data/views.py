"""Views of an image that is classified: the logits of several are averaged (test-time augmentation).

Krizhevsky et al. (NeurIPS 2012, section 4.1) average over crops and their mirror images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array, lax

from convnet.settings import require


def mirror(images: Array) -> Array:
    """Left and right exchanged: [N, H, W, C] -> the same shape."""
    return images[:, :, ::-1]


def moved(images: Array, by: int) -> Array:
    """Down and to the right by so many pixels (up and to the left where negative), the border reflected.

    [N, H, W, C] -> the same shape.
    """
    (_, height, width, _), border = images.shape, abs(by)
    padded = jnp.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
    start = border - by
    return padded[:, start : start + height, start : start + width]


def _with_mirror(weight: float, view: Callable[[Array], Array]) -> tuple[tuple[float, Callable], ...]:
    return (weight / 2, view), (weight / 2, lambda images: mirror(view(images)))


def _as_it_is(images: Array) -> Array:
    return images


VIEWS: dict[str, tuple[tuple[float, Callable[[Array], Array]], ...]] = {
    "one": ((1.0, _as_it_is),),
    "mirror": _with_mirror(1.0, _as_it_is),
    "mirror_shift": (
        *_with_mirror(0.5, _as_it_is),
        *_with_mirror(0.25, partial(moved, by=1)),
        *_with_mirror(0.25, partial(moved, by=-1)),
    ),
}
"""Weight and function of each view. The weights of a set add up to 1; a set begins with the views of those before."""


def averaged(classify: Callable[[Array], Array], name: str) -> Callable[[Array], Array]:
    """`classify`, images [N, H, W, C] -> logits [N, K], as the weighted mean over the views of each image.

    name: one of VIEWS. With "one" it is `classify` itself.

    Raises ValueError for another name.
    """
    require(name in VIEWS, "views", name, f"one of {', '.join(VIEWS)}")
    if len(VIEWS[name]) == 1:
        return classify
    views = each(classify, name)
    return lambda images: mean(views(images), name)


def each(classify: Callable[[Array], Array], name: str) -> Callable[[Array], Array]:
    """`classify` of each view: images [N, H, W, C] -> logits [V, N, K]."""
    return lambda images: lax.map(classify, jnp.stack([view(images) for _, view in VIEWS[name]]))


def mean(logits: Array, name: str) -> Array:
    """The weighted mean over views: [V, N, K], of this set of views or one that begins with it -> [N, K]."""
    weights = jnp.asarray([weight for weight, _ in VIEWS[name]], logits.dtype)
    return jnp.sum(weights[:, None, None] * logits[: len(weights)], axis=0)
