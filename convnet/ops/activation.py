"""Elementwise activations of any shape, each with its slope derived by hand, and dropout with a given mask.

Every rule is written in forward mode, dy = f′(x) · dx, which JAX transposes to dL/dx = f′(x) · g. The slope is itself
made of these ops, so all of them support every transform, to any order.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array


def relu_forward(x: Array) -> Array:
    """`relu` without our gradient; autodiff gives it slope 0 at 0 as well, and NaN stays NaN."""
    check_array("x", x)
    return jnp.where(x <= 0, jnp.zeros_like(x), x)


@jax.custom_jvp
def relu(x: Array) -> Array:
    """y = max(x, 0) (Nair & Hinton, ICML 2010).

    Gradient: dL/dx = g where x > 0, else 0. Convention: slope 0 at x = 0.
    """
    check_array("x", x)
    return jnp.maximum(x, jnp.zeros_like(x))


@relu.defjvp
def _relu_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return relu(x), jnp.where(x > 0, dx, jnp.zeros_like(dx))


def leaky_relu_forward(x: Array, *, negative_slope: float = 0.01) -> Array:
    """`leaky_relu` without our gradient."""
    check_array("x", x)
    return jnp.where(x > 0, x, float(negative_slope) * x)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _leaky_relu(x, negative_slope):
    return leaky_relu_forward(x, negative_slope=negative_slope)


@_leaky_relu.defjvp
def _leaky_relu_jvp(negative_slope, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _leaky_relu(x, negative_slope), jnp.where(x > 0, dx, negative_slope * dx)


def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """y = x where x > 0, else a·x with a = negative_slope (Maas et al., ICML 2013).

    Gradient: dL/dx = g where x > 0, else a·g. Convention: slope a at x = 0, so that a = 0 is relu.
    """
    return _leaky_relu(x, float(negative_slope))


def sigmoid_forward(x: Array) -> Array:
    """`sigmoid` without our gradient."""
    check_array("x", x)
    return lax.logistic(x)


@jax.custom_jvp
def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e^−x), without overflow for any finite x.

    Gradient: y′ = e^−x / (1 + e^−x)² = y (1 − y), so dL/dx = y (1 − y) g. Written as σ(x)·σ(−x), which keeps its
    relative accuracy where y is close to 1 and 1 − y would cancel.
    """
    return sigmoid_forward(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = sigmoid(x)
    return y, y * sigmoid(-x) * dx


def tanh_forward(x: Array) -> Array:
    """`tanh` without our gradient."""
    check_array("x", x)
    return lax.tanh(x)


@jax.custom_jvp
def tanh(x: Array) -> Array:
    """y = tanh x.

    Gradient: y′ = 1 − y², so dL/dx = (1 − y²) g. As tanh x = 2σ(2x) − 1, it is written 4σ(2x)σ(−2x), which keeps its
    relative accuracy where |y| is close to 1 and 1 − y² would cancel.
    """
    return tanh_forward(x)


@tanh.defjvp
def _tanh_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return tanh(x), 4 * sigmoid(2 * x) * sigmoid(-2 * x) * dx


def _check_dropout(x: Array, mask: Array, rate: float) -> None:
    check_array("x", x)
    check_array("mask", mask, floating=False)
    if mask.shape != x.shape or mask.dtype != jnp.bool_:
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}: expected bool {tuple(x.shape)}, True keeps")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate!r}: expected a probability in [0, 1]")


def dropout_forward(x: Array, mask: Array, *, rate: float) -> Array:
    """`dropout` without our gradient."""
    _check_dropout(x, mask, rate)
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
