"""Convolution (cross-correlation, as in every framework), its exact adjoint, and their hand-derived gradients.

Both are maps of one trilinear form (`convnet.ops.correlation`), whose three maps are each other's derivatives.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array, lax

from convnet.ops import formulations
from convnet.ops.checks import check_array, check_bias, check_groups, check_same_dtype
from convnet.ops.correlation import correlate_p, input_gradient_p
from convnet.ops.dense import add_bias, add_bias_forward
from convnet.ops.formulations import Choice, direct
from convnet.ops.window import Padding, Pair, Window, transposed_windows, windows


def _conv2d(correlate, bias, x, w, b, stride, padding, dilation, groups) -> Array:
    check_array("x", x, "N H W C")
    check_array("w", w, "KH KW C//groups K")
    check_same_dtype(x=x, w=w, b=b)
    check_bias(b, w.shape[3])
    check_groups(groups, x.shape[3], w.shape[3])
    if x.shape[3] != w.shape[2] * groups:
        raise ValueError(
            f"x has {x.shape[3]} channels but w has shape {tuple(w.shape)} with groups={groups}: "
            f"expected {w.shape[2] * groups} channels"
        )
    rows, cols = windows(x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation)
    y = correlate(x, w, rows=rows, cols=cols, groups=int(groups))
    return y if b is None else bias(y, b)


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = "SAME",
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation of images with kernels, plus a bias per kernel.

    x: [N, H, W, C], w: [KH, KW, C // groups, K], b: [K], all of one floating dtype -> [N, OH, OW, K] of the same.
    Along each axis y[p] = Σ_i w[i] · x[p·s + i·d − lo] + b, and OH = ⌊(H + lo + hi − d(KH − 1) − 1) / s⌋ + 1.

    Gradient, with g = dL/dy and r the remainder that the stride leaves (Dumoulin & Visin, arXiv:1603.07285, ch. 4, give
    the arithmetic for d = 1):
        dL/dx[h] = Σ_{p,i : p·s + i·d − lo = h} w[i] · g[p]
                 = g dilated by s, correlated with w rotated by 180° and its channels swapped, dilation d,
                   padded by (d(k−1) − lo, d(k−1) − hi + r); the last r elements that no window reads get 0.
        dL/dw[i] = Σ_{n,p} g[p] · x[p·s + i·d − lo]
                 = x correlated with g: stride and dilation change places, padded by (lo, hi − r).
        dL/db    = Σ_{n,p,q} g.
    It is bilinear in (x, w): no kinks, no conventions. Supports every transform to any order: jvp, grad, vmap (over x,
    over w, over both), jit, scan, remat.

    Raises ValueError for wrong ranks, mixed dtypes, mismatched channels, groups that do not divide them, a stride,
    window or dilation below 1, an unknown padding, and an empty output.
    """
    return _conv2d(correlate_p.bind, add_bias, x, w, b, stride, padding, dilation, groups)


def conv2d_as(
    *, correlate: str | None = None, input_gradient: str | None = None, kernel_gradient: str | None = None
) -> Callable[..., Array]:
    """`conv2d` computed by the formulations named (those of `convnet.ops.formulations`), for experiments:

    model.clone(ops=dataclasses.replace(HAND, conv2d=conv2d_as(kernel_gradient="patches")))

    None leaves the choice to the table. The function raises ValueError, as conv2d does, and where a formulation is
    unknown or cannot compute the layer.
    """
    choice = Choice(correlate, input_gradient, kernel_gradient)

    def chosen(x: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
        problem = formulations.Problem(x.shape[0], x.shape[3], w.shape[3], rows, cols, groups)
        for name in formulations.MAPS:
            formulations.choose(name, problem, getattr(choice, name))
        return correlate_p.bind(x, w, rows=rows, cols=cols, groups=groups, choice=choice)

    def conv2d(x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1):
        return _conv2d(chosen, add_bias, x, w, b, stride, padding, dilation, groups)

    return conv2d


def conv2d_forward(x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1) -> Array:
    """`conv2d` without our gradient: what autodiff of `lax.conv_general_dilated` differentiates."""
    return _conv2d(direct.correlate, add_bias_forward, x, w, b, stride, padding, dilation, groups)


conv2d.forward = conv2d_forward


def _conv_transpose2d(input_gradient, bias, x, w, b, stride, padding, dilation, groups, output_padding) -> Array:
    check_array("x", x, "N H W C")
    check_array("w", w, "KH KW C_out//groups C_in")
    check_same_dtype(x=x, w=w, b=b)
    check_groups(groups, x.shape[3])
    check_bias(b, w.shape[2] * groups)
    if x.shape[3] != w.shape[3]:
        raise ValueError(
            f"x has {x.shape[3]} channels but w has shape {tuple(w.shape)}: expected {w.shape[3]} channels"
        )
    groups = int(groups)
    rows, cols = transposed_windows(
        x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation, output_padding=output_padding
    )
    y = input_gradient(x, w, rows=rows, cols=cols, groups=groups)
    return y if b is None else bias(y, b)


def conv_transpose2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = "SAME",
    dilation: Pair = 1,
    groups: int = 1,
    output_padding: Pair = 0,
) -> Array:
    """The exact adjoint of `conv2d` in its x: ⟨conv2d(u, w), x⟩ = ⟨u, conv_transpose2d(x, w)⟩.

    x: [N, H, W, C_in], w: [KH, KW, C_out // groups, C_in], the kernel of that conv2d, which maps C_out channels to C_in
    -> [N, OH, OW, C_out]. OH = (H − 1)·s + 1 + output_padding for "SAME", else (H − 1)·s + d(KH − 1) + 1 − lo − hi +
    output_padding, with 0 ≤ output_padding < s: every size that conv2d maps to H.

    Gradient, from the adjoint: dL/dx = conv2d(g, w); dL/dw[i] = Σ_{n,p} x[p] · g[p·s + i·d − lo], the kernel gradient
    of that conv2d with g as its image and x as its upstream gradient; dL/db = Σ_{n,p,q} g, output padding included.
    Bilinear, and of the same trilinear form as conv2d: every transform, any order.

    Raises ValueError as conv2d does, and for an output padding outside [0, stride).
    """
    return _conv_transpose2d(
        input_gradient_p.bind, add_bias, x, w, b, stride, padding, dilation, groups, output_padding
    )


def conv_transpose2d_forward(
    x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1, output_padding=0
) -> Array:
    """`conv_transpose2d` without our gradient."""
    settings = (stride, padding, dilation, groups, output_padding)
    return _conv_transpose2d(direct.input_gradient, add_bias_forward, x, w, b, *settings)


conv_transpose2d.forward = conv_transpose2d_forward


def convolve2d(x: Array, w: Array, b: Array | None = None, **settings) -> Array:
    """The mathematician's convolution: `conv2d` with the kernel rotated by 180°; same arguments, shapes and errors.

    Gradient: that of conv2d, dL/dw rotated back.
    """
    check_array("w", w, "KH KW C//groups K")
    return conv2d(x, lax.rev(w, (0, 1)), b, **settings)


def convolve2d_forward(x, w, b=None, **settings) -> Array:
    """`convolve2d` without our gradient."""
    check_array("w", w, "KH KW C//groups K")
    return conv2d_forward(x, lax.rev(w, (0, 1)), b, **settings)


convolve2d.forward = convolve2d_forward
