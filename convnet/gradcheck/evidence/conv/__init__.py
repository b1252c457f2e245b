"""Convolution, its adjoint, and the mathematician's convolution.

The remainder r of an axis is what no window reads at its end.
"""

from __future__ import annotations

from math import prod

from convnet.gradcheck.evidence.case import Case, Evidence, drawing
from convnet.gradcheck.evidence.conv import input_mutants, kernel_mutants, oracle
from convnet.gradcheck.evidence.conv.controls import CONTROLS
from convnet.gradcheck.evidence.draws import Draws, channels, strategy, window_call
from convnet.gradcheck.evidence.walk import with_bias
from convnet.gradcheck.oracle import by_walking
from convnet.ops.window import transposed_windows, windows

__all__ = ["CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS"]


def _conv(name: str, x: tuple, w: tuple, *, bias: bool = True, op: str = "conv2d", **settings) -> Case:
    """A tap of the kernel gives an element of x at most one term; a weight gets one from every window."""
    places = {key: settings[key] for key in ("stride", "dilation") if key in settings}
    outputs = windows(x[1:3], w[:2], padding=settings.get("padding", "SAME"), **places)
    reads = prod(w[:2]) * w[3] // settings.get("groups", 1)
    terms = max(reads, x[0] * prod(axis.output for axis in outputs))
    return Case(op, name, drawing(x, w, (w[3],) if bias else None), settings, terms)


CONV2D = (
    _conv("all at once: r = (1, 2), asymmetric, stride (2, 3), dilation (1, 2), groups 2",
          (2, 5, 6, 4), (3, 2, 2, 4), stride=(2, 3), dilation=(1, 2), padding=((1, 2), (2, 0)), groups=2),
    _conv("SAME 3x3", (2, 5, 4, 3), (3, 3, 3, 4)),
    _conv("SAME, even kernel, stride (2, 1)", (1, 7, 5, 2), (4, 2, 2, 3), stride=(2, 1)),
    _conv("VALID, r = (1, 2), no bias", (3, 6, 5, 2), (3, 3, 2, 3), bias=False, stride=(2, 3), padding="VALID"),
    _conv("asymmetric padding", (1, 5, 6, 2), (3, 4, 2, 2), padding=((0, 2), (3, 1))),
    _conv("padded by more than a kernel on one side", (1, 4, 5, 2), (2, 3, 2, 3), padding=((2, 0), (4, 1))),
    _conv("negative padding crops", (1, 8, 7, 2), (2, 3, 2, 3), stride=2, padding=((-1, 0), (1, -2))),
    _conv("dilation (3, 2)", (1, 8, 7, 2), (2, 3, 2, 3), dilation=(3, 2), padding=(1, 2)),
    _conv("gcd(stride, dilation) = (2, 3)", (1, 9, 10, 2), (3, 2, 2, 2), stride=(2, 3), dilation=(2, 3), padding=2),
    _conv("gcd(stride, dilation) = 2, r = 2", (1, 8, 7, 2), (2, 2, 2, 2), bias=False, stride=4, dilation=2, padding=1),
    _conv("kernel larger than the image", (2, 2, 3, 3), (5, 4, 3, 2), padding=((2, 3), (1, 2))),
    _conv("gaps between windows", (1, 9, 8, 2), (2, 1, 2, 3), stride=(4, 3), padding="VALID"),
    _conv("groups 2, N = 3", (3, 4, 3, 4), (3, 2, 2, 6), groups=2),
    _conv("depthwise, two kernels each, stride 2", (2, 5, 4, 3), (3, 3, 1, 6), stride=2, groups=3),
    _conv("1x1, stride 2", (2, 4, 5, 3), (1, 1, 3, 4), stride=2, padding="VALID"),
    _conv("one row, one column", (1, 1, 1, 3), (3, 3, 3, 2)),
)  # fmt: skip
CONVOLVE2D = (
    _conv("r = (1, 1), asymmetric, dilation (1, 2), groups 2", (2, 6, 5, 4), (3, 2, 2, 4), op="convolve2d",
          stride=2, dilation=(1, 2), padding=((1, 1), (2, 1)), groups=2),
    _conv("SAME, even kernel, no bias", (1, 5, 4, 2), (4, 2, 2, 3), bias=False, op="convolve2d"),
    _conv("depthwise", (2, 5, 4, 3), (2, 3, 1, 3), op="convolve2d", stride=(1, 2), groups=3),
)  # fmt: skip


def _transposed(name: str, x: tuple, w: tuple, *, bias: bool = True, **settings) -> Case:
    groups = settings.get("groups", 1)
    places = {"stride": 1, "padding": "SAME", "dilation": 1, "output_padding": 0}
    places |= {key: settings[key] for key in places if key in settings}
    images = transposed_windows(x[1:3], w[:2], **places)
    terms = max(prod(w[:3]), x[0] * prod(axis.size for axis in images))
    shapes = (x, w, (w[2] * groups,) if bias else None)
    return Case("conv_transpose2d", name, drawing(*shapes), settings, terms)


CONV_TRANSPOSE2D = (
    _transposed("all at once: output padding (1, 2), asymmetric, stride (2, 3), dilation (2, 1), groups 2",
                (2, 3, 2, 4), (3, 4, 2, 4), stride=(2, 3), dilation=(2, 1), padding=((2, 1), (0, 3)), groups=2,
                output_padding=(1, 2)),
    _transposed("SAME", (2, 4, 3, 3), (3, 3, 2, 3)),
    _transposed("SAME, stride 2, no output padding", (1, 3, 4, 2), (3, 3, 2, 2), stride=2),
    _transposed("SAME, stride 2, output padding 1", (1, 3, 4, 2), (3, 3, 2, 2), stride=2, output_padding=1),
    _transposed("SAME, even kernel, no bias", (3, 3, 2, 2), (4, 2, 1, 2), bias=False, stride=(2, 3),
                output_padding=(1, 0)),
    _transposed("gaps", (1, 3, 2, 2), (1, 2, 2, 2), stride=(3, 4), padding="VALID", output_padding=(2, 1)),
    _transposed("negative padding", (1, 3, 3, 2), (2, 3, 2, 2), stride=(1, 2), padding=((-1, 0), (-2, 1))),
    _transposed("gcd(stride, dilation) = (2, 3)", (1, 3, 3, 2), (3, 2, 2, 2), stride=(2, 3), dilation=(2, 3), padding=1,
                output_padding=(0, 1)),
    _transposed("depthwise", (1, 3, 2, 3), (2, 3, 1, 3), stride=2, groups=3, output_padding=(1, 0)),
)  # fmt: skip


# --- random calls -----------------------------------------------------------------------------------------------------


def _conv_call(draws: Draws) -> tuple[tuple, dict]:
    sizes, kernel, settings = window_call(draws, dilation=3)
    groups, c, k = channels(draws)
    bias = draws.choice(None, (k,))
    arrays = draws.gaussians((draws.number(1, 2), *sizes, c), (*kernel, c // groups, k), bias)
    return arrays, {**settings, "groups": groups}


def _conv_transpose_call(draws: Draws) -> tuple[tuple, dict]:
    """The larger image has (H − 1)·s + d(k − 1) + 1 − lo − hi + output padding rows: padding must leave one of them."""
    sizes, kernel = (draws.number(1, 3), draws.number(1, 3)), (draws.number(1, 3), draws.number(1, 3))
    stride, dilation = (draws.number(1, 3), draws.number(1, 3)), (draws.number(1, 3), draws.number(1, 3))
    extra = tuple(draws.number(0, s - 1) for s in stride)
    padding = draws.choice("VALID", "SAME", "explicit")
    if padding == "explicit":
        pads = []
        for size, k, s, d, more in zip(sizes, kernel, stride, dilation, extra, strict=True):
            length = (size - 1) * s + d * (k - 1) + 1 + more
            lo = draws.number(-1, min(2, length - 1))
            pads.append((lo, draws.number(-1, min(2, length - 1 - lo))))
        padding = tuple(pads)
    groups, c_out, c_in = channels(draws)
    bias = draws.choice(None, (c_out,))
    arrays = draws.gaussians((draws.number(1, 2), *sizes, c_in), (*kernel, c_out // groups, c_in), bias)
    settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, output_padding=extra)
    return arrays, settings


EVIDENCE = {
    "conv2d": Evidence(CONV2D, by_walking(with_bias(oracle.conv2d)), strategy(_conv_call)),
    "conv_transpose2d": Evidence(
        CONV_TRANSPOSE2D,
        by_walking(with_bias(oracle.conv_transpose2d_of_settings)),
        strategy(_conv_transpose_call),
    ),
    "convolve2d": Evidence(CONVOLVE2D, by_walking(with_bias(oracle.convolve2d)), strategy(_conv_call)),
}
MUTANTS = (*input_mutants.MUTANTS, *kernel_mutants.MUTANTS)
CONVENTIONS = ()
