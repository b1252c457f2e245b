"""The trilinear form behind every convolution here, as three primitives that are each other's derivatives.

    T(x, w, g) = Σ w[i,j,c,k] · x̃[n, p·s + i·d − lo, q·s + j·d − lo, c] · g[n,p,q,k]

with x: [N, H, W, C] (x̃ is x with its padding), w: [KH, KW, C // groups, K] and g: [N, OH, OW, K]; the sum goes over
all n, p, q, i, j and k, and over the channels c of k's group. Leave out one factor, and what is left is bilinear:

    correlate(x, w)        = ∂T/∂g    the forward pass
    input_gradient(g, w)   = ∂T/∂x    its adjoint in x
    kernel_gradient(x, g)  = ∂T/∂w    its adjoint in w

T is linear in each factor, so the derivative of any of the three in either argument is another of the three: no other
map appears, whatever the order of the derivative, and all carry the `Window`s of the forward pass. How each is computed
is the business of `convnet.ops.formulations`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array, lax

from convnet.ops import formulations
from convnet.ops.formulations import direct
from convnet.ops.primitive import primitive, to_front, transpose_bilinear


def _merge(a: Array, axis: int, groups: int) -> Array:
    """[R, …, G·m, …] -> […, G·R·m, …]: the mapped axis becomes part of `axis`, within each group."""
    size, *shape = a.shape
    a = a.reshape(size, *shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    return jnp.moveaxis(a, 0, axis + 1).reshape(*shape[:axis], size * shape[axis], *shape[axis + 1 :])


def _split(a: Array, axis: int, groups: int, size: int) -> Array:
    """[…, G·R·m, …] -> [R, …, G·m, …], the inverse of `_merge`."""
    length = a.shape[axis] // size
    split = a.reshape(*a.shape[:axis], groups, size, length // groups, *a.shape[axis + 1 :])
    return jnp.moveaxis(split, axis + 1, 0).reshape(size, *a.shape[:axis], length, *a.shape[axis + 1 :])


def _batch(bind: Callable, left: tuple[int, int], right: tuple[int, int], join: Callable) -> Callable:
    """vmap without grouped convolutions, which on CPUs cost many times the separate ones.

    A mapped operand beside one that is not: its mapped axis joins the axis that the two do not share, which is also
    one of the result. `left` and `right` name that axis in the operand and in the result; only axis 3 has groups.
    Where both are mapped, the pairs run one by one, but where `join(shape of a, of b, groups)` says that they are to be
    the groups of one convolution: with one channel per group. (One by one, XLA:CPU fuses its few sums per pixel into
    the copy to the stack of results, which runs on one core. A kernel's gradient is no such copy.)
    """

    def batch(args, dims, **settings):
        a, b = (to_front(x, dim) for x, dim in zip(args, dims, strict=True))
        if None not in dims and join(a.shape[1:], b.shape[1:], settings["groups"]):
            merged = settings | {"groups": settings["groups"] * len(a)}
            return _split(bind(_merge(a, 3, 1), _merge(b, 3, 1), **merged), 3, 1, len(a)), 0
        if None not in dims:
            return lax.map(lambda pair: bind(*pair, **settings), (a, b)), 0
        axis, result = left if dims[1] is None else right
        size = (a if dims[1] is None else b).shape[0]
        groups = [settings["groups"] if place == 3 else 1 for place in (axis, result)]
        operands = (_merge(a, axis, groups[0]), b) if dims[1] is None else (a, _merge(b, axis, groups[0]))
        return _split(bind(*operands, **settings), result, groups[1], size), 0

    return batch


def _map(name: str, reference: Callable, left: tuple[int, int], right: tuple[int, int], join: Callable):
    """The primitive of one map; `reference` gives its shape and dtype."""

    def forward(a: Array, b: Array, *, rows, cols, groups, choice=None) -> Array:
        del choice
        return reference(a, b, rows=rows, cols=cols, groups=groups)

    new = primitive(
        name,
        forward,
        settings=("rows", "cols", "groups", "choice"),
        batch=_batch(lambda *pair, **settings: new.bind(*pair, **settings), left, right, join),
        lowerings={
            None: partial(formulations.compute, name, cpu=False),
            "cpu": partial(formulations.compute, name, cpu=True),
        },
    )
    return new


N, C, K = 0, 3, 3  # the axes of images; kernels are [KH, KW, C, K]
correlate_p = _map("correlate", direct.correlate, (N, N), (3, K), lambda x, w, groups: groups == x[3] > 1)
input_gradient_p = _map(
    "input_gradient", direct.input_gradient, (N, N), (2, C), lambda g, w, groups: groups > w[2] == 1
)
kernel_gradient_p = _map("kernel_gradient", direct.kernel_gradient, (C, 2), (K, 3), lambda x, g, groups: False)

transpose_bilinear(
    correlate_p,
    lambda g, x, w, **settings: input_gradient_p.bind(g, w, **settings),
    lambda g, x, w, **settings: kernel_gradient_p.bind(x, g, **settings),
)
transpose_bilinear(
    input_gradient_p,
    lambda x, g, w, **settings: correlate_p.bind(x, w, **settings),
    lambda x, g, w, **settings: kernel_gradient_p.bind(x, g, **settings),
)
transpose_bilinear(
    kernel_gradient_p,
    lambda w, x, g, **settings: input_gradient_p.bind(g, w, **settings),
    lambda w, x, g, **settings: correlate_p.bind(x, w, **settings),
)
