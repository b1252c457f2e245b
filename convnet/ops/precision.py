"""Where an op averages, cancels or raises to powers, bfloat16 and float16 are computed in float32 and rounded once."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def in_float32(f: Callable, *arrays: Array):
    """f(*arrays), computed in float32 or wider; its results are rounded to the dtype of the arrays.

    The casts stand outside the rule of f, so it works on wide numbers too; being linear, they transpose themselves.
    """
    arrays = [jnp.asarray(x) for x in arrays]
    narrow = arrays[0].dtype
    if narrow.itemsize >= 4:
        return f(*arrays)
    return jax.tree.map(lambda y: y.astype(narrow), f(*(x.astype(jnp.float32) for x in arrays)))
