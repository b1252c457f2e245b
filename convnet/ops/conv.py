"""Convolution (cross-correlation, as in every framework), its exact adjoint, and their hand-derived gradients.

The correlation below is a bilinear primitive. Its two transposes are correlations again, described by the relatives of
its `Window`s, so one primitive serves the forward pass, both gradients, and every higher derivative.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
from jax import Array, lax
from jax.interpreters import mlir

from convnet.ops.checks import check_array, check_bias, check_groups, check_same_dtype
from convnet.ops.dense import add_bias, add_bias_forward
from convnet.ops.primitive import primitive, to_front, transpose_bilinear
from convnet.ops.window import Padding, Pair, Window, transposed_windows, windows


def correlate_forward(x: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """y[n,p,q,k] = Σ_{i,j,c} w[i,j,c,k] · x̃[n, p·s + i·d − lo, q·s + j·d − lo, c] over the channels c of k's group.

    x: [N, H, W, C], w: [KH, KW, C // groups, K] -> [N, OH, OW, K].
    """
    x, rows = _crop_low(x, rows, axis=1)
    x, cols = _crop_low(x, cols, axis=2)
    return lax.conv_general_dilated(
        x,
        w,
        window_strides=(rows.stride, cols.stride),
        padding=((rows.lo, rows.hi), (cols.lo, cols.hi)),
        lhs_dilation=(rows.input_dilation, cols.input_dilation),
        rhs_dilation=(rows.dilation, cols.dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _crop_low(x: Array, window: Window, axis: int) -> tuple[Array, Window]:
    """The same windows over x without the elements that negative padding crops off its low side.

    Only where the high side is padded: for float32 the XLA:CPU of jax 0.10.2 then reads memory beyond the image, and
    the result is wrong by anything. Gradients need such windows too, where an image is padded by more than a kernel.
    """
    if not (-window.size < window.lo < 0 < window.hi and window.input_dilation == 1):
        return x, window
    x = lax.slice_in_dim(x, -window.lo, window.size, axis=axis)
    return x, replace(window, size=window.size + window.lo, lo=0)


def _correlate_on_cpu(x: Array, w: Array, **settings) -> Array:
    # XLA:CPU has a fast convolution for canonical NHWC × HWIO operands only. Without the barrier it folds our explicit
    # transposes into the dimension numbers of the convolution and falls back to a loop that is many times slower.
    return correlate_forward(*lax.optimization_barrier((x, w)), **settings)


def adjoint_kernel(w: Array, groups: int) -> Array:
    """[KH, KW, C // G, K] -> [KH, KW, K // G, C]: rotated by 180°, inputs and outputs swapped within each group."""
    kh, kw, c, k = w.shape
    w = lax.rev(w, (0, 1)).reshape(kh, kw, c, groups, k // groups)
    return w.transpose(0, 1, 4, 3, 2).reshape(kh, kw, k // groups, groups * c)


def _input_gradient(g: Array, x, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """dL/dx[n,h,v,c] = Σ_{k,i,j} w[i,j,c,k] · g[n,p,q,k] over all (p,i), (q,j) whose tap is (h,v)."""
    del x  # bilinear: the gradient in x does not depend on x
    return correlate_p.bind(
        g, adjoint_kernel(w, groups), rows=rows.input_gradient, cols=cols.input_gradient, groups=groups
    )


def _kernel_gradient(g: Array, x: Array, w, *, rows: Window, cols: Window, groups: int) -> Array:
    """dL/dw[i,j,c,k] = Σ_{n,p,q} g[n,p,q,k] · x̃[n, p·s + i·d − lo, q·s + j·d − lo, c].

    The sum over n is a sum over input channels once N and C change places: each channel of a group becomes an image
    with N channels, and g is the kernel.
    """
    del w
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, groups, channels // groups).transpose(4, 1, 2, 3, 0)
    x = x.reshape(channels // groups, height, width, groups * n)
    dw = correlate_p.bind(
        x, g.transpose(1, 2, 0, 3), rows=rows.kernel_gradient, cols=cols.kernel_gradient, groups=groups
    )
    return dw.transpose(1, 2, 0, 3)


def _batch(args, dims, *, rows: Window, cols: Window, groups: int):
    """vmap without grouped convolutions: mapped images fold into N, mapped kernels into K, pairs run one by one."""
    settings = dict(rows=rows, cols=cols, groups=groups)
    (x, w), (x_dim, w_dim) = args, dims
    x, w = to_front(x, x_dim), to_front(w, w_dim)
    if w_dim is None:
        y = correlate_p.bind(x.reshape(-1, *x.shape[2:]), w, **settings)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    if x_dim is None:
        size, kh, kw, c, k = w.shape
        w = w.reshape(size, kh, kw, c, groups, k // groups).transpose(1, 2, 3, 4, 0, 5).reshape(kh, kw, c, size * k)
        y = correlate_p.bind(x, w, **settings)
        y = y.reshape(*y.shape[:3], groups, size, k // groups)
        return jnp.moveaxis(y, 4, 0).reshape(size, *y.shape[:3], k), 0
    # A grouped convolution would be XLA's way; on CPUs it costs about five times the separate ones.
    return lax.map(lambda pair: correlate_p.bind(*pair, **settings), (x, w)), 0


correlate_p = primitive("correlate", correlate_forward, settings=("rows", "cols", "groups"), batch=_batch)
transpose_bilinear(correlate_p, _input_gradient, _kernel_gradient)
mlir.register_lowering(correlate_p, mlir.lower_fun(_correlate_on_cpu, multiple_results=False), platform="cpu")


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


def conv2d_forward(x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1) -> Array:
    """`conv2d` without our gradient: what autodiff of `lax.conv_general_dilated` differentiates."""
    return _conv2d(correlate_forward, add_bias_forward, x, w, b, stride, padding, dilation, groups)


def _conv_transpose2d(correlate, bias, x, w, b, stride, padding, dilation, groups, output_padding) -> Array:
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
    y = correlate(x, adjoint_kernel(w, groups), rows=rows.input_gradient, cols=cols.input_gradient, groups=groups)
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
    Bilinear, and the same primitive as conv2d: every transform, any order.

    Raises ValueError as conv2d does, and for an output padding outside [0, stride).
    """
    return _conv_transpose2d(correlate_p.bind, add_bias, x, w, b, stride, padding, dilation, groups, output_padding)


def conv_transpose2d_forward(
    x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1, output_padding=0
) -> Array:
    """`conv_transpose2d` without our gradient."""
    return _conv_transpose2d(
        correlate_forward, add_bias_forward, x, w, b, stride, padding, dilation, groups, output_padding
    )


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
