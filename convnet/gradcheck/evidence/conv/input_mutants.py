"""Wrong gradients of convolutions in the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.gradcheck.evidence.conv.rules import (
    ATROUS,
    DEPTHWISE,
    DILATED,
    EVEN_PADS,
    FAR_PADDING,
    GAPS,
    GROUPED,
    PLAIN,
    REMAINDER,
    SAME_15,
    SAME_16,
    STRIDED,
    UNEVEN,
    exchanged_ends,
    input_gradient,
    kernel_gradient,
    refilled,
    wrong_transpose,
)  # fmt: skip
from convnet.gradcheck.evidence.planting import Mutant, corrupted, right_gradients, ruled, without
from convnet.ops.correlation import correlate_p
from convnet.ops.formulations.direct import adjoint_kernel
from convnet.ops.formulations.direct import correlate as correlate_forward
from convnet.ops.primitive import batch_size, primitive, to_front, transpose_bilinear
from convnet.ops.window import Window, windows


def undilated_reach(window: Window) -> Window:
    """Pads by the reach of the kernel as if it were not dilated."""
    reach = window.kernel - 1
    return replace(window.input_gradient, lo=reach - window.lo, hi=reach - window.hi + window.remainder)


def no_remainder(window: Window) -> Window:
    gradient = window.input_gradient
    return replace(gradient, hi=gradient.hi - window.remainder)


def extra_in_front(window: Window) -> Window:
    """`same_padding` done again, with the odd element on the low side."""
    if window.hi - window.lo == 1:
        window = exchanged_ends(window)
    return window.input_gradient


def no_crop(window: Window) -> Window:
    gradient = window.input_gradient
    return replace(gradient, lo=max(gradient.lo, 0), hi=max(gradient.hi, 0))


def rows_by_loop_index(g, x, w, *, rows, cols, groups):
    """dx[m] = … for dx[d] = …: the row of the output, left over from another loop, for the row of the image."""
    dx = input_gradient()(g, x, w, rows=rows, cols=cols, groups=groups)
    source = np.full(rows.size, -1)
    for m, taps in enumerate(rows.positions):
        for d in taps[(taps >= 0) & (taps < rows.size)]:
            source[min(m, rows.size - 1)] = d  # the last write stays
    return jnp.where(jnp.asarray(source >= 0)[None, :, None, None], dx[:, source], jnp.zeros((), dx.dtype))


def height_for_width(g, x, w, *, rows, cols, groups):
    cols = replace(cols, lo=rows.lo, hi=cols.lo + cols.hi - rows.lo)
    return input_gradient()(g, x, w, rows=rows, cols=cols, groups=groups)


def common_factor(g, x, w, *, rows, cols, groups):
    """Where stride and dilation have a common factor, only every so many-th row is touched: but these need not begin
    with row 0."""
    dx = input_gradient()(g, x, w, rows=rows, cols=cols, groups=groups)
    factor = gcd(rows.stride, rows.dilation)
    return jnp.where(jnp.asarray(np.arange(rows.size) % factor == 0)[None, :, None, None], dx, jnp.zeros_like(dx))


def rotated_if_grouped(w: Array, groups: int) -> Array:
    """Depthwise kernels are not rotated."""
    return adjoint_kernel(lax.rev(w, (0, 1)) if groups > 1 and w.shape[2] == 1 else w, groups)


def reshaped_kernel(w: Array, groups: int) -> Array:
    """[KH, KW, C // G, K] read as [KH, KW, K // G, C]: a reshape where axes should change places."""
    kh, kw, c, k = w.shape
    return lax.rev(w, (0, 1)).reshape(kh, kw, k // groups, groups * c)


def first_group_only(w: Array, groups: int) -> Array:
    """Every group is sent back through the kernel of the first."""
    k = w.shape[3] // groups
    return adjoint_kernel(jnp.tile(w[..., :k], (1, 1, 1, groups)), groups)


def group_by_modulo(w: Array, groups: int) -> Array:
    """Kernel k belongs to group k mod G, not k // (K / G)."""
    kh, kw, c, k = w.shape
    w = lax.rev(w, (0, 1)).reshape(kh, kw, c, k // groups, groups)
    return w.transpose(0, 1, 3, 4, 2).reshape(kh, kw, k // groups, groups * c)


def filled_gaps(g, x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1):
    """Upsampling g by repetition: pixels that a stride jumps over get their neighbour's gradient."""
    settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    dx, *rest = right_gradients("conv2d", g, x, w, *([] if b is None else [b]), **settings)
    rows, _ = windows(x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation)
    touched = np.isin(np.arange(rows.size), rows.positions)
    source = np.maximum.accumulate(np.where(touched, np.arange(rows.size), 0))
    return dx[:, source], *rest


def first_kernel_under_vmap() -> Callable:
    """A batching rule that takes the kernel for shared: right while it is."""

    def batch(args, dims, *, rows, cols, groups):
        g, w = (to_front(a, dim, batch_size(args, dims)) for a, dim in zip(args, dims, strict=True))
        y = correlate_p.bind(g.reshape(-1, *g.shape[2:]), w[0], rows=rows, cols=cols, groups=groups)
        return y.reshape(*g.shape[:2], *y.shape[1:]), 0

    p = primitive("back_correlate", correlate_forward, settings=("rows", "cols", "groups"), batch=batch)
    transpose_bilinear(p, input_gradient(), kernel_gradient())
    return wrong_transpose(dx=input_gradient(bind=p.bind))


def _dx(name, defect, rule, *cases, source="invented", **fields) -> Mutant:
    return Mutant(f"conv dx: {name}", "conv2d", lambda: wrong_transpose(dx=rule), defect, source, cases, **fields)


def _conv(name, defect, build, *cases, **fields) -> Mutant:
    return Mutant(f"conv dx: {name}", "conv2d", build, defect, cases=cases, **fields)


EXTRA_IN_FRONT = input_gradient(extra_in_front)
EXCHANGED_ENDS = input_gradient(lambda window: exchanged_ends(window).input_gradient)
MUTANTS = (
    _dx("dilation forgotten", "the padding is that of an undilated kernel", input_gradient(undilated_reach), DILATED,
        source="jax-ml/jax pull 567"),
    _dx("remainder omitted", "the dilated g is too small by r, and all indices slip", input_gradient(no_remainder,
        fit=refilled), REMAINDER, source="flagos-ai/FlagGems pull 1576"),
    _dx("last rows lost", "the remainder is left out of the padding, the missing rows are 0", input_gradient(
        no_remainder), REMAINDER),
    _dx("m for d", "a loop index of the output addresses the input", rows_by_loop_index, STRIDED,
        source="NervanaSystems/neon 111"),
    _dx("stride missing", "g is not dilated by the stride", input_gradient(lambda window: replace(
        window.input_gradient, input_dilation=1)), STRIDED, source="Kulbear/deep-learning-coursera pull 34"),
    _dx("not rotated", "the kernel is not rotated by 180°", input_gradient(kernel=lambda w, groups: adjoint_kernel(
        lax.rev(w, (0, 1)), groups)), PLAIN),
    _dx("depthwise not rotated", "with one channel per group the kernel is not rotated", input_gradient(
        kernel=rotated_if_grouped), DEPTHWISE),
    _dx("channels reshaped", "inputs and outputs are reshaped where they change places", input_gradient(
        kernel=reshaped_kernel), PLAIN),
    _dx("one channel reshaped", "the same with one input channel, where a reshape is a transpose", input_gradient(
        kernel=reshaped_kernel), SAME_16, equivalent=True),
    _dx("padding exchanged", "lo and hi change places", EXCHANGED_ENDS, UNEVEN),
    _dx("equal padding exchanged", "lo and hi change places where they are equal", EXCHANGED_ENDS, EVEN_PADS,
        equivalent=True),
    _dx("extra in front, H = 16", "SAME puts the odd element on the low side", EXTRA_IN_FRONT, SAME_16),
    _dx("extra in front, H = 15", "the same where the padding is even", EXTRA_IN_FRONT, SAME_15, equivalent=True),
    _dx("height for width", "the columns are padded as the rows", height_for_width, UNEVEN,
        source="torch/cunn pull 470"),
    _dx("padding not cropped", "padding of dx below 0 counts as 0", input_gradient(no_crop), FAR_PADDING),
    _dx("first group only", "all groups use the kernel of the first", input_gradient(kernel=first_group_only), GROUPED),
    _dx("group by modulo", "kernel k is sought in group k mod G", input_gradient(kernel=group_by_modulo), GROUPED),
    _dx("common factor", "a stride and a dilation with a common factor lose the odd rows", common_factor, ATROUS),
    _conv("gaps filled", "pixels that the stride jumps over get a gradient", ruled("conv2d", filled_gaps), GAPS),
    _conv("odd heights", "the last row of an image of odd height gets none", lambda: corrupted(
        "conv2d", lambda d: d.at[:, -1].set(0) if d.shape[1] % 2 else d, 0), PLAIN),
    _conv("odd heights, of even ones", "the same where all heights are even", lambda: corrupted(
        "conv2d", lambda d: d.at[:, -1].set(0) if d.shape[1] % 2 else d, 0), SAME_16, UNEVEN, equivalent=True),
    _conv("corner", "the last pixel of the last channel gets none", lambda: corrupted(
        "conv2d", without(slice(None), -1, -1, -1), 0), PLAIN),
    _conv("zero", "no gradient at all", lambda: corrupted("conv2d", jnp.zeros_like, 0), PLAIN),
    _conv("batch tail", "the last of an odd number of images gets none", lambda: corrupted(
        "conv2d", lambda d: d.at[-1].set(0) if len(d) % 2 else d, 0), PLAIN),
    _conv("vmap", "the batching rule of dx uses the first kernel for all", first_kernel_under_vmap, PLAIN,
          shows="vmap"),
)  # fmt: skip
