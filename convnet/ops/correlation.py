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

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Primitive

from convnet.ops import formulations
from convnet.ops.formulations import direct
from convnet.ops.primitive import Division, folded, primitive, to_front, transpose_bilinear


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


def _batch(p: Callable[[], Primitive], left: tuple[int, int], right: tuple[int, int]) -> Callable:
    """vmap without grouped convolutions, which on CPUs cost many times the separate ones.

    A mapped operand beside one that is not: its mapped axis joins the axis that the two do not share, which is also
    one of the result. `left` and `right` name that axis in the operand and in the result; only axis 3 has groups.
    Where both are mapped, the map is one of pairs, and how pairs are computed is a question of formulation, too.
    """

    def batch(args, dims, *, paired=False, **settings):
        bind = partial(p().bind, **settings)
        a, b = (to_front(x, dim) for x, dim in zip(args, dims, strict=True))
        if None not in dims:
            return folded(p)((a, b), (0, 0), paired=True, **settings) if paired else (bind(a, b, paired=True), 0)
        axis, result = left if dims[1] is None else right
        size = (a if dims[1] is None else b).shape[0]
        groups = [settings["groups"] if place == 3 else 1 for place in (axis, result)]
        merge = partial(_merge, axis=axis, groups=groups[0])
        split = partial(_split, axis=result, groups=groups[1], size=size)
        if paired:  # the same within each pair
            merge, split = jax.vmap(merge, 1), jax.vmap(split, out_axes=1)
        operands = (merge(a), b) if dims[1] is None else (a, merge(b))
        return split(bind(*operands, paired=paired)), 0

    return batch


def _division(left: tuple[int, int], right: tuple[int, int]) -> Division:
    """The result is divided as the operands are along the two axes that they do not share."""

    def result(a: tuple, b: tuple, *, paired=False, **_) -> tuple:
        own = {left[1]: a[-4:][left[0]], right[1]: b[-4:][right[0]]}
        return *(a[:1] if paired else ()), *(own.get(axis) for axis in range(4))

    sliding = (-4, -3) if left[0] == N else (-3, -2)  # beside images a kernel, or, for dL/dw, images
    images = (True, False) if left[0] == N else ()
    return Division(result, together=((-3, -2), sliding), images=images)


def _map(name: str, reference: Callable, left: tuple[int, int], right: tuple[int, int]) -> Primitive:
    """The primitive of one map; `reference` gives its shape and dtype. `paired`: of R pairs, [R, …] and [R, …]."""

    def forward(a: Array, b: Array, *, rows, cols, groups, choice=None, paired=False) -> Array:
        del choice
        one = partial(reference, rows=rows, cols=cols, groups=groups)
        return jax.vmap(one)(a, b) if paired else one(a, b)

    new = primitive(
        name,
        forward,
        settings=("rows", "cols", "groups", "choice", "paired"),
        batch=_batch(lambda: new, left, right),
        division=_division(left, right),
        lowerings={
            None: partial(formulations.compute, name, cpu=False),
            "cpu": partial(formulations.compute, name, cpu=True),
        },
    )
    return new


N, C, K = 0, 3, 3  # the axes of images; kernels are [KH, KW, C, K]
correlate_p = _map("correlate", direct.correlate, (N, N), (3, K))
input_gradient_p = _map("input_gradient", direct.input_gradient, (N, N), (2, C))
kernel_gradient_p = _map("kernel_gradient", direct.kernel_gradient, (C, 2), (K, 3))

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
