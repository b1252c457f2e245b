"""How linear networks of some depth learn a linear map, whose singular values are its modes (Saxe et al., "Exact
solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet import HAND, initializers


def linear_starts(modes: int, depth: int, small: float, seeds: Iterable[int]) -> list[jax.Array]:
    """The matrices [starts, D, D'] of each layer, with hidden layers of twice as many units as there are modes. In the
    first start all are the depth-th root of `small` times the identity, so that every mode begins at `small`; in that
    of each seed times random orthonormal ones."""
    sizes, each = [modes, *[2 * modes] * (depth - 1), modes], small ** (1 / depth)
    rotation, keys = initializers.build("orthogonal", each), [jax.random.split(jax.random.key(s), depth) for s in seeds]
    return [
        jnp.stack([each * jnp.eye(*shape), *[rotation(row[i], shape) for row in keys]])
        for i, shape in enumerate(pairwise(sizes))
    ]


def mode_error(values: Sequence[float]) -> Callable[[Any], jax.Array]:
    """The loss that such a network descends: half the squared distance of its product from diag(values)."""
    return lambda stack: jnp.sum((reduce(HAND.dense, stack) - jnp.diag(jnp.array(values))) ** 2) / 2


def mode_strengths(stack: Any) -> jax.Array:
    """How much of each mode is learned: [modes]."""
    return jnp.diag(reduce(HAND.dense, stack))


def mode_formula(values: Sequence[float], small: float, times: np.ndarray) -> np.ndarray:
    """Strengths [T, modes] of two layers that start aligned: the logistic curve of da/dt = 2a(s − a) (equation 8)."""
    s = np.array(values)
    return s / (1 + (s / small - 1) * np.exp(-2 * s * times[:, None]))


def first_reached(paths: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The number of the first step at which each of [..., steps, modes] is at its level, infinity if none."""
    there = paths >= np.array(levels)
    return np.where(there.any(axis=-2), there.argmax(axis=-2), np.inf)
