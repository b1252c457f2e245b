"""Gradient ascent on images, and the small values that steer it: what activation maximisation and deep dream share.

A step goes like this: every transform changes what the network sees (jitter); the slope of the objective, less that of
the penalties (ink, total variation, L2), goes through an Optax chain; every constraint takes the result (blur, clip).
All of these are plain callables, so one's own function will do in the place of any. They shape the program: equal
ones share it, and a function that is made anew for each call compiles anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from convnet import ops
from convnet.settings import require

Penalty = Callable[[Mapping[str, Array], Array], Array]
"""(results of the layers by name, images [S, H, W, C]) -> [S], taken off the objective of each image."""

Transform = Callable[[Array, Array], Array]
"""(key, image [H, W, C]) -> what the network sees of it in one step, of the same shape."""

Constraint = Callable[[Array, Array], Array]
"""(images [S, H, W, C], number of the step from 0) -> what is made of them after it."""

Slope = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(number of the step, keys [S], images [S, H, W, C]) -> objective [S] and its gradient [S, H, W, C]."""


def ascend(
    slope: Slope,
    images: Array,
    keys: Array,
    *,
    steps: int,
    optimizer: optax.GradientTransformation,
    constraints: Sequence[Constraint] = (),
) -> tuple[Array, Array]:
    """`images` [S, H, W, C] after `steps` steps up the slope, and the objective that each step began with [steps, S].

    The optimiser works on each image by itself, as if it were alone. One `lax.scan`.
    """

    def step(carry, number):
        images, state = carry
        values, gradient = slope(number, jax.vmap(jax.random.fold_in, (0, None))(keys, number), images)
        updates, state = jax.vmap(optimizer.update)(-gradient, state, images)  # Optax goes down
        images = optax.apply_updates(images, updates)
        for constraint in constraints:
            images = constraint(images, number)
        return (images, state), values

    (images, _), values = lax.scan(step, (images, jax.vmap(optimizer.init)(images)), jnp.arange(steps))
    return images, values


# --- what the network sees --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Jitter:
    """The image rolled by up to `pixels` each way, another distance each step (Mordvintsev et al., 2015): a pattern
    that is high only where the strides of the network happen to fall does not survive it."""

    pixels: int

    def __post_init__(self):
        require(self.pixels >= 0, "pixels of jitter", self.pixels, "0 or more")

    def __call__(self, key: Array, image: Array) -> Array:
        shift = jax.random.randint(key, (2,), -self.pixels, self.pixels + 1)
        return jnp.roll(image, (shift[0], shift[1]), (0, 1))


# --- what is taken off the objective ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ink:
    """weight · Σ x, which is weight · Σ|x| of pixels from 0 to 1: every pixel that is not black must be worth it."""

    weight: float

    def __call__(self, results: Mapping[str, Array], images: Array) -> Array:
        return self.weight * jnp.sum(images, axis=(1, 2, 3))


@dataclass(frozen=True)
class L2:
    """weight · ½ Σ (x − center)² (Simonyan et al., ICLR workshop 2014, whose images have mean 0)."""

    weight: float
    center: float = 0.0

    def __call__(self, results: Mapping[str, Array], images: Array) -> Array:
        return self.weight / 2 * jnp.sum((images - self.center) ** 2, axis=(1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """weight · `ops.total_variation` (Mahendran & Vedaldi, CVPR 2015)."""

    weight: float
    beta: float = 2.0

    def __call__(self, results: Mapping[str, Array], images: Array) -> Array:
        return self.weight * ops.total_variation(images, beta=self.beta)


@dataclass(frozen=True)
class Diversity:
    """weight · Σ of the cosines between the Gram matrix of an image's features and those of all other starts of its
    unit (Olah et al., Distill 2017), so that they show different things that excite it. layer: of the features, maps.
    """

    layer: str
    weight: float = 1.0

    def __call__(self, results: Mapping[str, Array], images: Array) -> Array:
        maps = [name for name, values in results.items() if values.ndim == 4]
        require(self.layer in maps, "layer of diversity", self.layer, f"one of {', '.join(maps)}")
        grams = ops.gram_matrix(results[self.layer]).reshape(len(images), -1)
        # The norm's slope at 0 would be 0/0; features of nothing are like no others.
        unit = grams / jnp.sqrt(jnp.maximum(jnp.sum(grams**2, axis=1, keepdims=True), jnp.finfo(grams.dtype).tiny))
        return self.weight * (jnp.sum(unit @ unit.T, axis=1) - jnp.sum(unit * unit, axis=1))


# --- what is made of the image after a step ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """Pixels outside the range become its ends."""

    low: float = 0.0
    high: float = 1.0

    def __call__(self, images: Array, step: Array) -> Array:
        return jnp.clip(images, self.low, self.high)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of `sigma` pixels after every `every`-th step (Yosinski et al., ICML workshop 2015)."""

    sigma: float
    every: int = 4

    def __post_init__(self):
        require(self.every >= 1, "every of blur", self.every, "1 or more")

    def __call__(self, images: Array, step: Array) -> Array:
        due = (step + 1) % self.every == 0
        return lax.cond(due, lambda x: gaussian_blur(x, self.sigma), lambda x: x, images)


@dataclass(frozen=True)
class Ball:
    """The nearest image of norm `radius` or less (Erhan et al., 2009, who keep the norm)."""

    radius: float

    def __post_init__(self):
        require(0 < self.radius < inf, "radius of the ball", self.radius, "a positive number")

    def __call__(self, images: Array, step: Array) -> Array:
        norms = jnp.sqrt(jnp.sum(images**2, axis=(1, 2, 3), keepdims=True))
        return images * (self.radius / jnp.maximum(norms, self.radius))


def gaussian_blur(images: Array, sigma: float) -> Array:
    """images [N, H, W, C] convolved with a Gaussian of `sigma` pixels, cut at 4 sigma; past the border the image goes
    on as its last pixels (as `scipy.ndimage.gaussian_filter` with mode "nearest").

    Raises ValueError for a sigma that is not positive and finite.
    """
    require(0 < sigma < inf, "sigma of blur", sigma, "a positive number of pixels")
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = jnp.asarray(weights / weights.sum(), images.dtype)
    n, height, width, channels = images.shape
    planes = jnp.moveaxis(images, -1, 1).reshape(n * channels, height, width, 1)
    planes = jnp.pad(planes, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    for kernel in (weights.reshape(-1, 1, 1, 1), weights.reshape(1, -1, 1, 1)):
        planes = ops.conv2d(planes, kernel, padding="VALID")
    return jnp.moveaxis(planes.reshape(n, channels, height, width), 1, -1)
