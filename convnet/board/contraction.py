"""Results of many numbers as one, φ: each number counts with a factor of its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

PERIOD, OFFSET = 8, 3.5


def weights(start: int, stop: int) -> np.ndarray:
    """Fixed factors, no two neighbours alike, that every dtype holds exactly."""
    return ((5 * np.arange(start, stop) + 3) % PERIOD - OFFSET) / 4


def contracted(result: Any) -> Array:
    """A pytree of arrays as one number: the sum of all entries, real and imaginary parts, times `weights`."""
    total, start = jnp.zeros(()), 0
    for leaf in jax.tree.leaves(result):
        parts = [leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf]
        for part in parts:
            if jnp.issubdtype(jnp.result_type(part), jnp.floating):
                factors = jnp.asarray(weights(start, start + part.size), part.dtype)
                total, start = total + (factors * jnp.ravel(part)).sum(), start + part.size
    return total


def cotangents(result: Any) -> Any:
    """Of `contracted` in a pytree of arrays, as `jax.vjp` takes them."""
    leaves, tree = jax.tree.flatten(result)
    found, start = [], 0
    for leaf in leaves:
        split, real = jnp.iscomplexobj(leaf), jnp.issubdtype(leaf.dtype, jnp.floating)
        own = weights(start, start := start + leaf.size * (split or real))
        if split:
            own = own - 1j * weights(start, start := start + leaf.size)  # of z it sees the real part of the product
        kind = leaf.dtype if split or real else jax.dtypes.float0
        found.append(np.resize(own, leaf.shape).astype(kind) if own.size else np.zeros(leaf.shape, kind))
    return tree.unflatten(found)
