"""Dense layers, biases, and their hand-derived gradients."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array, check_bias, check_same_dtype
from convnet.ops.primitive import (
    Division,
    batch_size,
    divided_as,
    primitive,
    to_front,
    transpose_bilinear,
    transpose_linear,
)


def matmul_forward(x: Array, w: Array) -> Array:
    """[…, N, D] @ […, D, K] -> […, N, K] over equal leading axes."""
    leading = tuple(range(x.ndim - 2))
    return lax.dot_general(x, w, (((x.ndim - 1,), (w.ndim - 2,)), (leading, leading)))


def _batch_matmul(args, dims):
    """vmap of plain matrices: mapped x fold into N, mapped w into K; all else is one batched product."""
    (x, w), (x_dim, w_dim) = args, dims
    if w.ndim == 2 and w_dim is None:
        x = to_front(x, x_dim)
        return matmul_p.bind(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1]), 0
    if x.ndim == 2 and x_dim is None:
        size, d, k = (w := to_front(w, w_dim)).shape
        y = matmul_p.bind(x, w.transpose(1, 0, 2).reshape(d, size * k))
        return y.reshape(-1, size, k), 1
    size = batch_size(args, dims)
    return matmul_p.bind(to_front(x, x_dim, size), to_front(w, w_dim, size)), 0


def _swap(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


matmul_p = primitive("matmul", matmul_forward, batch=_batch_matmul, division=Division(lambda x, w: (*x[:-1], w[-1])))
transpose_bilinear(
    matmul_p,
    lambda g, x, w: matmul_p.bind(g, _swap(w)),  # dL/dX = g Wᵀ
    lambda g, x, w: matmul_p.bind(_swap(x), g),  # dL/dW = Xᵀ g
)


def spread_forward(v: Array, *, middle: tuple[int, ...]) -> Array:
    """[…, K] -> […, *middle, K]: the same feature vector at every place."""
    leading = v.ndim - 1
    axes = (*range(leading), leading + len(middle))
    return lax.broadcast_in_dim(v, (*v.shape[:-1], *middle, v.shape[-1]), axes)


def collect_forward(x: Array, *, middle: tuple[int, ...]) -> Array:
    """[…, *middle, K] -> […, K]: the sum over all places, the adjoint of `spread`."""
    axes = range(x.ndim - 1 - len(middle), x.ndim - 1)
    return jnp.sum(x, axis=tuple(axes))


def _batch_spread(args, dims, **settings):
    return spread_p.bind(to_front(args[0], dims[0]), **settings), 0


def _batch_collect(args, dims, **settings):
    return collect_p.bind(to_front(args[0], dims[0]), **settings), 0


spread_p = primitive(
    "spread",
    spread_forward,
    settings=("middle",),
    batch=_batch_spread,
    division=Division(lambda v, *, middle: (*v[:-1], *[None] * len(middle), v[-1])),
)
collect_p = primitive(
    "collect",
    collect_forward,
    settings=("middle",),
    batch=_batch_collect,
    division=Division(lambda x, *, middle: (*x[: -1 - len(middle)], x[-1])),
)
transpose_linear(spread_p, collect_p.bind)
transpose_linear(collect_p, spread_p.bind)


def add_bias(y: Array, b: Array) -> Array:
    """y: […, K] plus b: [K] at every place. Gradient: dL/dy = g, dL/db = Σ g over all axes but the last."""
    return y + divided_as(spread_p.bind(b, middle=tuple(y.shape[:-1])), y)


def add_bias_forward(y: Array, b: Array) -> Array:
    """`add_bias` without our gradient."""
    return y + spread_forward(b, middle=tuple(y.shape[:-1]))


def _dense(matmul, bias, x, w, b) -> Array:
    check_array("x", x, "N D")
    check_array("w", w, "D K")
    check_same_dtype(x=x, w=w, b=b)
    check_bias(b, w.shape[1])
    if x.shape[1] != w.shape[0]:
        raise ValueError(f"x has shape {tuple(x.shape)} but w has shape {tuple(w.shape)}: expected w to be [D, K]")
    y = matmul(x, w)
    return y if b is None else bias(y, b)


def dense(x: Array, w: Array, b: Array | None = None) -> Array:
    """Y = XW + b.

    x: [N, D], w: [D, K], b: [K], all of one floating dtype -> [N, K] of the same.

    Gradient, with g = dL/dY: dL/dX[n,d] = Σ_k g[n,k] W[d,k] = gWᵀ; dL/dW[d,k] = Σ_n X[n,d] g[n,k] = Xᵀg;
    dL/db = Σ_n g[n]. Bilinear: every transform, any order.

    Raises ValueError for wrong ranks, mixed dtypes and mismatched shapes.
    """
    return _dense(matmul_p.bind, add_bias, x, w, b)


def dense_forward(x, w, b=None) -> Array:
    """`dense` without our gradient."""
    return _dense(matmul_forward, add_bias_forward, x, w, b)


dense.forward = dense_forward
