"""The logarithm of a sum of exponentials, and what is made of it, with hand-derived gradients.

All rules are made of p = softmax(x), and the rule of p of p again, hence every transform and any order. A mask `where`
takes entries out as if they were −∞. What is out, and what is −∞, has gradient 0, never NaN.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array
from convnet.ops.precision import in_float32


def _keep(x: Array, where: Array | None, other: float | Array) -> Array:
    return x if where is None else jnp.where(where, x, jnp.asarray(other, x.dtype))


def _exponentials(x: Array, where: Array | None, axis: int) -> tuple[Array, Array, Array]:
    """(e^(x − t), x − t, t) with t the largest kept entry along the axis, which stays as 1, or 0 if that is infinite.

    e^(x − t) is 0 where nothing is kept.
    """
    top = lax.stop_gradient(jnp.max(_keep(x, where, jnp.finfo(x.dtype).min), axis=axis, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    shifted = _keep(x, where, top) - top
    return _keep(jnp.exp(shifted), where, 0), shifted, top


def _log_sum(exponentials: Array, axis: int) -> Array:
    """log Σ; −∞, with slope 0, where nothing adds to the sum."""
    total = jnp.sum(exponentials, axis=axis, keepdims=True)
    empty = total == 0
    one = jnp.ones_like(total)
    nothing = jnp.log(jnp.where(empty, jnp.zeros_like(total), one))  # −∞ only where it is used: see `jax.debug_infs`
    return jnp.where(empty, nothing, jnp.log(jnp.where(empty, one, total)))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def softmax(x: Array, where: Array | None, axis: int) -> Array:
    """p = e^x / Σ e^x over the kept entries, 0 elsewhere; all 0 where none is kept, or only −∞.

    Gradient: ∂p_k/∂x_j = p_k (1[j = k] − p_j), so dp = p (dx − Σ p dx), which is its own transpose.
    """
    exponentials, _, _ = _exponentials(x, where, axis)
    total = jnp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials / jnp.where(total == 0, jnp.ones_like(total), total)


@softmax.defjvp
def _softmax_jvp(axis, primals, tangents):
    (x, where), (dx, _) = primals, tangents
    p, dx = softmax(x, where, axis), _keep(dx, where, 0)
    return p, p * (dx - jnp.sum(p * dx, axis=axis, keepdims=True))


def _of_wide(f, x: Array, axis: int, where: Array | None) -> Array:
    """f(x, where, axis) in float32, once the arguments are in order."""
    x = check_array("x", x)
    integer = hasattr(axis, "__index__") and not isinstance(axis, bool)
    if not integer or not -len(x.shape) <= axis < len(x.shape):
        raise ValueError(f"axis is {axis!r}: expected an axis of x, which has shape {tuple(x.shape)}")
    if x.shape[axis] == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected at least one entry along axis {axis}")
    if where is not None:
        check_array("where", where, floating=False)
        if where.shape != x.shape or where.dtype != jnp.bool_:
            raise ValueError(f"where is {where.dtype} {tuple(where.shape)}: expected bool {tuple(x.shape)}, True keeps")
        where = jnp.asarray(where)
    return in_float32(lambda x: f(x, where, int(axis)), x)


# --- log Σ exp --------------------------------------------------------------------------------------------------------


def _logsumexp_forward(x, where, axis):
    exponentials, _, top = _exponentials(x, where, axis)
    return jnp.squeeze(_log_sum(exponentials, axis) + top, axis)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _logsumexp(x, where, axis):
    return _logsumexp_forward(x, where, axis)


@_logsumexp.defjvp
def _logsumexp_jvp(axis, primals, tangents):
    (x, where), (dx, _) = primals, tangents
    return _logsumexp(x, where, axis), jnp.sum(softmax(x, where, axis) * _keep(dx, where, 0), axis=axis)


def logsumexp(x: Array, *, axis: int = -1, where: Array | None = None) -> Array:
    """L = log Σ e^x along one axis, over the entries that `where` keeps.

    x: any floating dtype, where: bool of the same shape, True keeps -> as x without the axis. Stable for any finite x:
    the largest is subtracted before exp. −∞ adds nothing; where nothing is kept L = −∞.

    Gradient: ∂L/∂x_j = e^(x_j) / Σ e^x = p_j, so dL = Σ p dx. Convention: 0 at entries that are masked or −∞, also
    where L = −∞. Every transform, any order.

    Raises ValueError for an axis that x does not have or that is empty, and a mask of another shape or dtype.
    """
    return _of_wide(_logsumexp, x, axis, where)


def logsumexp_forward(x, *, axis=-1, where=None) -> Array:
    """`logsumexp` without our gradient."""
    return _of_wide(_logsumexp_forward, x, axis, where)


logsumexp.forward = logsumexp_forward


# --- log softmax ------------------------------------------------------------------------------------------------------


def _log_softmax_forward(x, where, axis):
    exponentials, shifted, _ = _exponentials(x, where, axis)
    kept = lax.stop_gradient(_keep(x, where, -jnp.inf))
    return jnp.where(kept == -jnp.inf, kept, shifted - _log_sum(exponentials, axis))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _log_softmax(x, where, axis):
    return _log_softmax_forward(x, where, axis)


@_log_softmax.defjvp
def _log_softmax_jvp(axis, primals, tangents):
    (x, where), (dx, _) = primals, tangents
    dx = _keep(dx, where, 0)
    dy = dx - jnp.sum(softmax(x, where, axis) * dx, axis=axis, keepdims=True)
    return _log_softmax(x, where, axis), jnp.where(_keep(x, where, -jnp.inf) == -jnp.inf, jnp.zeros_like(dy), dy)


def log_softmax(x: Array, *, axis: int = -1, where: Array | None = None) -> Array:
    """y = x − log Σ e^x along one axis, over the entries that `where` keeps.

    x: any floating dtype, where: bool of the same shape, True keeps -> as x. y = −∞ at entries that are masked or −∞.
    Stable as `logsumexp` is, and more accurate than x − logsumexp(x) where x is large.

    Gradient: dy = dx − Σ p dx with p = e^y, so dL/dx = g − p Σ g. Convention: at entries that are masked or −∞ the
    gradient is 0, and their g counts for nothing. Every transform, any order.

    Raises ValueError as `logsumexp` does.
    """
    return _of_wide(_log_softmax, x, axis, where)


def log_softmax_forward(x, *, axis=-1, where=None) -> Array:
    """`log_softmax` without our gradient."""
    return _of_wide(_log_softmax_forward, x, axis, where)


log_softmax.forward = log_softmax_forward
