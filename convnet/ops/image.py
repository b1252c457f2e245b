"""What is asked of whole images and feature maps: total variation and the Gram matrix, with hand-derived gradients."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array, real
from convnet.ops.dense import matmul_forward, matmul_p
from convnet.ops.precision import in_float32
from convnet.ops.primitive import each_image, folded, primitive, transpose_linear


def _check(name: str, x: Array) -> None:
    check_array(name, x, "N H W C")
    if 0 in x.shape[1:3]:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected at least one pixel")


# --- total variation --------------------------------------------------------------------------------------------------


def _slide(x: Array, axis: int, lo: int, hi: int) -> Array:
    margins = [(0, 0, 0)] * x.ndim
    margins[axis] = (lo, hi, 0)  # negative margins crop
    return lax.pad(x, jnp.zeros((), x.dtype), margins)


def difference_forward(x: Array, *, axis: int) -> Array:
    """d[h] = x[h + 1] − x[h] along the axis, 0 at its end."""
    return _slide(_slide(x, axis, -1, 0) - _slide(x, axis, 0, -1), axis, 0, 1)


def difference_adjoint_forward(g: Array, *, axis: int) -> Array:
    """x[h] = g[h − 1] − g[h], g[−1] and the last g counting 0: what is +1 at h + 1 and −1 at h in `difference`."""
    inner = _slide(g, axis, 0, -1)
    return _slide(inner, axis, 1, 0) - _slide(inner, axis, 0, 1)


difference_p = primitive(
    "difference", difference_forward, settings=("axis",), batch=folded(lambda: difference_p), division=each_image()
)
difference_adjoint_p = primitive(
    "difference_adjoint",
    difference_adjoint_forward,
    settings=("axis",),
    batch=folded(lambda: difference_adjoint_p),
    division=each_image(),
)
transpose_linear(difference_p, difference_adjoint_p.bind)
transpose_linear(difference_adjoint_p, difference_p.bind)


def _power(s: Array, exponent: float) -> Array:
    """s^exponent for s ≥ 0; unless the exponent is whole, s = 0 gives 0 with slope 0, where autodiff may find 0·∞."""
    if exponent >= 0 and exponent == int(exponent):
        return lax.integer_pow(s, int(exponent))
    zero = s == 0
    return jnp.where(zero, jnp.zeros_like(s), jnp.where(zero, jnp.ones_like(s), s) ** exponent)


def _total_variation_forward(difference, x, beta, eps):
    a, b = difference(x, axis=1), difference(x, axis=2)
    return jnp.sum(_power(a * a + b * b + eps, beta / 2), axis=(1, 2, 3))


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _total_variation(x, beta, eps):
    return _total_variation_forward(difference_p.bind, x, beta, eps)


@_total_variation.defjvp
def _total_variation_jvp(beta, eps, primals, tangents):
    (x,), (dx,) = primals, tangents
    (a, b), (da, db) = ((difference_p.bind(v, axis=1), difference_p.bind(v, axis=2)) for v in (x, dx))
    slope = beta * _power(a * a + b * b + eps, beta / 2 - 1)
    return _total_variation(x, beta, eps), jnp.sum(slope * (a * da + b * db), axis=(1, 2, 3))


def _total_variation_of(variation, x, beta, eps) -> Array:
    _check("x", x)
    beta, eps = real("beta", beta, above=0), real("eps", eps, least=0)
    return in_float32(lambda x: variation(x, beta, eps), x)


def total_variation(x: Array, *, beta: float = 2.0, eps: float = 1e-8) -> Array:
    """L = Σ m^β with m = √(a² + b² + ε), a = x[h+1, w] − x[h, w], b = x[h, w+1] − x[h, w], 0 past the border.

    x: [N, H, W, C] -> [N]; the sum runs over pixels and channels (Rudin, Osher & Fatemi, Physica D 1992, β = 1; the
    exponent from Mahendran & Vedaldi, CVPR 2015).

    Gradient: dm = (a da + b db) / m, so dL = Σ β m^(β−2) (a da + b db), da and db the same differences of dx.
    Transposed, with u = β m^(β−2) a and v = β m^(β−2) b: dL/dx[h, w] = g (u[h−1, w] − u[h, w] + v[h, w−1] − v[h, w]),
    where past the border there is nothing. Convention: slope 0 where m = 0, which is a flat region with ε = 0: a kink
    for β ≤ 1. Second derivatives are 0 there as well for β < 2, where they do not exist. Every transform, any order.

    Raises ValueError for another rank, images without pixels, beta ≤ 0, eps < 0.
    """
    return _total_variation_of(_total_variation, x, beta, eps)


def total_variation_forward(x, *, beta=2.0, eps=1e-8) -> Array:
    """`total_variation` without our gradient."""
    return _total_variation_of(partial(_total_variation_forward, difference_forward), x, beta, eps)


total_variation.forward = total_variation_forward


# --- Gram matrix ------------------------------------------------------------------------------------------------------


def _gram_matrix(matmul, f) -> Array:
    _check("f", f)
    n, height, width, channels = f.shape

    def gram(f):
        rows = f.reshape(n, height * width, channels)
        return matmul(jnp.swapaxes(rows, 1, 2), rows) / (height * width)

    return in_float32(gram, f)


def gram_matrix(f: Array) -> Array:
    """G = FᵀF / (H·W) with F the [H·W, C] features of one image (Gatys, Ecker & Bethge, CVPR 2016, who sum).

    f: [N, H, W, C] -> [N, C, C], symmetric.

    Gradient: δG = (δFᵀF + FᵀδF) / HW, so dL/dF = F (g + gᵀ) / HW; g need not be symmetric. Made of one bilinear
    primitive: every transform, any order.

    Raises ValueError for another rank and for images without pixels.
    """
    return _gram_matrix(matmul_p.bind, f)


def gram_matrix_forward(f) -> Array:
    """`gram_matrix` without our gradient."""
    return _gram_matrix(matmul_forward, f)


gram_matrix.forward = gram_matrix_forward
