"""Dropout with a given mask: where the mask comes from is the caller's affair, so that the op is a pure function."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from convnet.ops.checks import check_array


def _check_dropout(x: Array, mask: Array, rate: float) -> tuple[Array, Array]:
    x, mask = check_array("x", x), check_array("mask", mask, floating=False)
    if mask.shape != x.shape or mask.dtype != jnp.bool_:
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}: expected bool {tuple(x.shape)}, True keeps")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate!r}: expected a probability in [0, 1]")
    return x, mask


def dropout_forward(x: Array, mask: Array, *, rate: float) -> Array:
    """`dropout` without our gradient."""
    x, mask = _check_dropout(x, mask, rate)
    scale = 0.0 if rate == 1 else 1 / (1 - float(rate))
    return jnp.where(mask, x * scale, jnp.zeros_like(x))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _dropout(x, mask, rate):
    return dropout_forward(x, mask, rate=rate)


@_dropout.defjvp
def _dropout_jvp(rate, primals, tangents):
    (x, mask), (dx, _) = primals, tangents
    return _dropout(x, mask, rate), _dropout(dx, mask, rate)


def dropout(x: Array, mask: Array, *, rate: float) -> Array:
    """y = x / (1 − rate) where `mask` keeps, else 0 (Srivastava et al., JMLR 2014; "inverted", so that E[y] = x).

    x: any shape, mask: bool of the same shape, True keeps -> as x. A rate of 1 gives zeros.

    Gradient: dL/dx = g · mask / (1 − rate) with the same mask: linear in x.

    Raises ValueError for a mask of another shape or dtype, and for a rate outside [0, 1].
    """
    return _dropout(x, mask, rate)


dropout.forward = dropout_forward
