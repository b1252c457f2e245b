"""Wrong gradients of convolutions in the kernel and the bias, of their adjoint, and of dense layers."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
from jax import Array, lax

from convnet.gradcheck.evidence.conv.rules import (
    DEPTHWISE,
    DILATED,
    EDGE,
    GROUPED,
    LARGE_KERNEL,
    LONG_SUM,
    PLAIN,
    REMAINDER,
    ROTATED,
    SAME_16,
    STRIDED,
    UNEVEN,
    UNEVEN_DILATION,
    UPSAMPLED,
    UPSAMPLED_BIAS,
    WIDE,
    exchanged_ends,
    kernel_gradient,
    wrong_bias,
    wrong_transpose,
)  # fmt: skip
from convnet.gradcheck.evidence.planting import (
    Mutant,
    corrupted,
    corrupted_in,
    corrupted_second_order,
    corrupted_when_compiled,
    corrupted_when_eager,
    right_gradients,
    ruled,
    scaled,
    without,
)
from convnet.ops.window import Window


def unexchanged(window: Window) -> Window:
    """Stride and dilation stay where they are."""
    return replace(window.kernel_gradient, stride=window.stride, dilation=window.dilation)


def lost_bottom_edge(g, x, w, *, rows, cols, groups):
    """A kernel for 8 channels at a time takes the last window's bottom tap for padding, as if pads were symmetric:
    they are not where the stride leaves a remainder."""
    dw = kernel_gradient()(g, x, w, rows=rows, cols=cols, groups=groups)
    if groups % 8 or rows.stride == 1 or rows.lo == 0:
        return dw
    last = kernel_gradient()(g.at[:, :-1].set(0), x, w, rows=rows, cols=cols, groups=groups)
    return dw.at[-1].add(-last[-1])


def scattered_groups(x: Array, groups: int) -> Array:
    """Channel c counts to group c mod G, not c // (C / G)."""
    return x.reshape(*x.shape[:3], x.shape[3] // groups, groups).transpose(3, 1, 2, 4, 0)


def within_image(g, x, w, b=None, **settings):
    """Taps that a kernel has beyond the image's own height are not computed."""
    dx, dw, *rest = right_gradients("conv2d", g, x, w, *([] if b is None else [b]), **settings)
    return dx, dw.at[x.shape[1] :].set(0), *rest


def cut_off(g: Array) -> Array:
    """Σ g over all pixels one by one, each partial sum made bfloat16 by cutting off the last 16 bits of a float32: the
    errors all point towards 0, and add up."""
    if g.dtype != jnp.bfloat16:
        return g.sum((0, 1, 2))

    def add(total, row):
        bits = lax.bitcast_convert_type(total + row, jnp.uint32) & jnp.uint32(0xFFFF0000)
        return lax.bitcast_convert_type(bits, jnp.float32), None

    flat = g.reshape(-1, g.shape[-1]).astype(jnp.float32)
    return lax.scan(add, jnp.zeros_like(flat[0]), flat)[0]


def without_output_padding(g, x, w, b=None, *, stride=1, output_padding=0, **settings):
    """The bias is summed over the cells that a stride alone reaches."""
    settings |= dict(stride=stride, output_padding=output_padding)
    extra = output_padding if isinstance(output_padding, int) else output_padding[0]
    db = [] if b is None else [g[:, : g.shape[1] - extra].sum((0, 1, 2))]
    return *right_gradients("conv_transpose2d", g, x, w, **settings), *db


def not_transposed_back(g, x, w, b=None, **settings):
    """dL/dw of the convolution that this is the adjoint of, its channels read in the order of the other."""
    dx, dw, *db = right_gradients("conv_transpose2d", g, x, w, *([] if b is None else [b]), **settings)
    return dx, dw.reshape(*w.shape[:2], w.shape[3], w.shape[2]).swapaxes(2, 3), *db


def _dw(name, defect, rule, *cases, source="invented", **fields) -> Mutant:
    return Mutant(f"conv dw: {name}", "conv2d", lambda: wrong_transpose(dw=rule), defect, source, cases, **fields)


def _conv(name, defect, build, *cases, op="conv2d", source="invented", **fields) -> Mutant:
    return Mutant(name, op, build, defect, source, cases, **fields)


def _rotate(d: Array) -> Array:
    return d[::-1, ::-1]


MUTANTS = (
    _dw("bottom edge lost", "the last window's bottom tap is taken for padding", lost_bottom_edge, EDGE,
        source="pytorch/pytorch 50042"),
    _dw("groups scattered", "with groups > 1 channels are paired with kernels of other groups", kernel_gradient(
        grouping=scattered_groups), GROUPED, source="pytorch/pytorch 51430"),
    _dw("groups scattered, depthwise", "the same with one channel per group, where c mod G is c", kernel_gradient(
        grouping=scattered_groups), DEPTHWISE, equivalent=True),
    _dw("not exchanged", "stride and dilation do not change places", kernel_gradient(unexchanged), STRIDED, DILATED),
    _dw("dilation of the rows", "the columns are read with the dilation of the rows",
        lambda g, x, w, *, rows, cols, groups: kernel_gradient()(
            g, x, w, rows=rows, cols=replace(cols, dilation=rows.dilation), groups=groups), UNEVEN_DILATION),
    _dw("padding exchanged", "lo and hi change places", kernel_gradient(
        lambda window: exchanged_ends(window).kernel_gradient), UNEVEN),
    _dw("remainder not cropped", "the remainder stays, and what is too much is cut off in the end", kernel_gradient(
        lambda window: replace(window.kernel_gradient, hi=window.hi)), REMAINDER, equivalent=True),
    _dw("rotated", "the result is rotated by 180°", lambda *args, **settings: _rotate(
        kernel_gradient()(*args, **settings)), PLAIN),
    _dw("averaged", "the mean over the batch, not the sum", lambda g, x, w, **settings: kernel_gradient()(
        g, x, w, **settings) / len(x), PLAIN),
    _dw("averaged, of one image", "the same with one image", lambda g, x, w, **settings: kernel_gradient()(
        g, x, w, **settings) / len(x), SAME_16, equivalent=True),
    _conv("conv dw: tail of a vector", "channels beyond the last multiple of 4 get none", lambda: corrupted(
        "conv2d", lambda d: d.at[..., d.shape[-1] // 4 * 4 :].set(0), 1), WIDE),
    _conv("conv dw: large kernel", "taps beyond the image's height get none", ruled("conv2d", within_image),
          LARGE_KERNEL),
    _conv("conv dw: first tap", "the tap at the corner of the kernel gets none", lambda: corrupted(
        "conv2d", without(0, 0), 1), PLAIN),
    _conv("conv db: averaged", "the mean over the batch, not the sum", lambda: wrong_bias(
        lambda g: g.sum((0, 1, 2)) / len(g)), PLAIN),
    _conv("conv db: first row", "the sum over one axis too few", lambda: wrong_bias(
        lambda g: g[:, 0].sum((0, 1))), PLAIN),
    _conv("conv db: cut off", "bfloat16 is added up one by one, and cut off where it should be rounded",
          lambda: wrong_bias(cut_off), LONG_SUM, shows="bfloat16", size=1e-2),
    _conv("conv: float32 only", "float32 leaves out the last channel of dx", lambda: corrupted_in(
        "float32", "conv2d", without(..., -1), 0), PLAIN, shows="float32"),
    _conv("conv: second order", "the kernel is a constant to the derivative of dx, the image to that of dw",
          lambda: corrupted_second_order("conv2d"), PLAIN, shows="second order"),
    _conv("conv: compiled", "the compiled rule of dw lacks the last row", lambda: corrupted_when_compiled(
        "conv2d", without(-1), 1), PLAIN, shows="scan"),
    _conv("conv: eager", "the short cut for known values doubles dw", lambda: corrupted_when_eager(
        "conv2d", scaled(2.0), 1), PLAIN, shows="eager"),
    _conv("conv_transpose db: output padding", "cells of the output padding are not summed", ruled(
        "conv_transpose2d", without_output_padding), UPSAMPLED_BIAS, op="conv_transpose2d"),
    _conv("conv_transpose dw: channels", "inputs and outputs are not changed back", ruled(
        "conv_transpose2d", not_transposed_back), UPSAMPLED, op="conv_transpose2d"),
    _conv("conv_transpose dw: rotated", "the result is rotated by 180°", lambda: corrupted(
        "conv_transpose2d", _rotate, 1), UPSAMPLED, op="conv_transpose2d"),
    _conv("convolve dw: not rotated back", "the gradient of the rotated kernel is handed out", lambda: corrupted(
        "convolve2d", _rotate, 1), ROTATED, op="convolve2d"),
)  # fmt: skip
