"""The gradients of a convolution, open for faults, and the cases in which faults show.

They are the rules of `convnet.ops.formulations.direct` with other relatives of a `Window`, or another kernel, put in.
As there, they are the transposes of a bilinear primitive, so a fault leaves forward mode right and makes reverse mode
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.gradcheck.evidence.case import Case, gaussian
from convnet.gradcheck.evidence.planting import with_rule
from convnet.ops.correlation import correlate_p
from convnet.ops.dense import add_bias, add_bias_forward
from convnet.ops.formulations import Choice
from convnet.ops.formulations.direct import adjoint_kernel
from convnet.ops.formulations.direct import correlate as correlate_forward
from convnet.ops.primitive import batch_size, primitive, to_front, transpose_bilinear
from convnet.ops.window import Window, windows


def conv_case(name: str, x: tuple, w: tuple, *, op: str = "conv2d", bias: bool = False, **settings) -> Case:
    def draw(rng):
        return gaussian(rng, x), gaussian(rng, w), gaussian(rng, w[-1:]) if bias else None

    terms = max(w[0] * w[1] * w[3], x[0] * x[1] * x[2] * settings.get("stride", 1) ** (2 * (op != "conv2d")))
    return Case(op, name, draw, settings, terms)


EDGE = conv_case("24 groups, stride 2, pad 1", (1, 6, 6, 24), (3, 3, 1, 24), stride=2, padding=1, groups=24)
DILATED = conv_case("dilation 2", (2, 7, 8, 3), (3, 3, 3, 4), dilation=2, padding=1)
UNEVEN_DILATION = conv_case("dilation (1, 2)", (2, 7, 8, 3), (3, 3, 3, 4), dilation=(1, 2), stride=2)
GROUPED = conv_case("2 of 3 groups", (2, 5, 6, 6), (3, 2, 3, 4), groups=2)
DEPTHWISE = conv_case("one channel per group", (2, 5, 6, 4), (3, 3, 1, 4), groups=4)
REMAINDER = conv_case("stride 3, remainder 1, padded", (2, 8, 8, 2), (3, 3, 2, 3), stride=3, padding=1, bias=True)
STRIDED = conv_case("stride 2, dilation 1", (2, 7, 8, 2), (3, 2, 2, 3), stride=2, padding="VALID")
UNEVEN = conv_case("padding (0, 2), (2, 1)", (2, 6, 6, 2), (3, 3, 2, 3), padding=((0, 2), (2, 1)))
EVEN_PADS = conv_case("padding (1, 1), (2, 2)", (2, 6, 6, 2), (3, 3, 2, 3), padding=(1, 2))
PLAIN = conv_case("3 × 2 kernel, bias", (3, 5, 6, 2), (3, 2, 2, 5), bias=True)
SAME_15 = conv_case("SAME, stride 2, H = 15", (1, 15, 15, 1), (3, 3, 1, 2), stride=2)
SAME_16 = conv_case("SAME, stride 2, H = 16", (1, 16, 16, 1), (3, 3, 1, 2), stride=2)
LARGE_KERNEL = conv_case("kernel larger than the image", (2, 3, 4, 2), (5, 3, 2, 3), padding=2)
FAR_PADDING = conv_case("padding beyond the kernel's reach", (2, 5, 5, 2), (2, 2, 2, 3), padding=3)
ATROUS = conv_case("stride 2, dilation 2, padding 1", (2, 8, 8, 2), (3, 3, 2, 3), stride=2, dilation=2, padding=1)
GAPS = conv_case("1 × 1, stride 2: gaps", (2, 5, 6, 2), (1, 1, 2, 3), stride=2)
WIDE = conv_case("6 channels", (2, 4, 4, 2), (3, 3, 2, 6))
LONG_SUM = conv_case("many pixels", (4, 16, 16, 1), (1, 1, 1, 2), bias=True)
UPSAMPLED = conv_case(
    "stride 2, output padding 1", (2, 4, 3, 3), (3, 3, 2, 3), op="conv_transpose2d", stride=2, output_padding=1
)
UPSAMPLED_BIAS = Case(
    "conv_transpose2d",
    "stride 2, output padding 1, bias",
    lambda rng: (gaussian(rng, (2, 4, 3, 3)), gaussian(rng, (3, 3, 2, 3)), gaussian(rng, (2,))),
    dict(stride=2, output_padding=1),
    terms=96,
)
ROTATED = conv_case("3 × 2 kernel", (2, 5, 5, 2), (3, 2, 2, 3), op="convolve2d")
Relative = Callable[[Window], Window]


def fitted(y: Array, shape: tuple[int, ...]) -> Array:
    """`y` cut off or filled with zeros at its ends, as a buffer of the expected shape would hold it."""
    return lax.pad(y, jnp.zeros((), y.dtype), [(0, n - have, 0) for n, have in zip(shape, y.shape, strict=True)])


def refilled(y: Array, shape: tuple[int, ...]) -> Array:
    """The numbers of `y` in memory order in a buffer of the expected shape."""
    flat = y.reshape(-1)
    size = int(np.prod(shape))
    return fitted(flat, (size,)).reshape(shape)


directly = partial(correlate_p.bind, choice=Choice(correlate="direct"))
"""The library's convolution by the formulation that goes by its operands: a wrong rule's windows may not fit them."""


def input_gradient(
    rows: Relative = lambda window: window.input_gradient,
    cols: Relative | None = None,
    kernel: Callable = adjoint_kernel,
    fit: Callable = fitted,
    bind: Callable = directly,
) -> Callable:
    """dL/dx as in `convnet.ops.formulations.direct`, with other windows (for both axes or each) or another kernel."""

    def rule(g, x, w, **settings):
        groups = settings["groups"]
        placed = dict(rows=rows(settings["rows"]), cols=(cols or rows)(settings["cols"]))
        return fit(bind(g, kernel(w, groups), **placed, groups=groups), x.aval.shape)

    return rule


def by_group(x: Array, groups: int) -> Array:
    """[N, H, W, C] -> [C // G, H, W, G, N]."""
    return x.reshape(*x.shape[:3], groups, x.shape[3] // groups).transpose(4, 1, 2, 3, 0)


def kernel_gradient(relative: Relative = lambda window: window.kernel_gradient, grouping=by_group) -> Callable:
    """dL/dw as in `convnet.ops.formulations.direct`, with other windows or another division into groups."""

    def rule(g, x, w, *, rows, cols, groups):
        images = grouping(x, groups)
        images = images.reshape(*images.shape[:3], -1)
        placed = dict(rows=relative(rows), cols=relative(cols))
        dw = directly(images, g.transpose(1, 2, 0, 3), **placed, groups=groups)
        return fitted(dw.transpose(1, 2, 0, 3), w.aval.shape)

    return rule


def conv2d_with(correlate: Callable = correlate_p.bind, bias: Callable = add_bias) -> Callable:
    def conv2d(x, w, b=None, *, stride=1, padding="SAME", dilation=1, groups=1):
        rows, cols = windows(x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation)
        y = correlate(x, w, rows=rows, cols=cols, groups=int(groups))
        return y if b is None else bias(y, b)

    return conv2d


def wrong_transpose(dx: Callable | None = None, dw: Callable | None = None) -> Callable:
    """conv2d with a wrong transpose in x, in w or in both; under vmap its points run one by one."""

    def batch(args, dims, **settings):
        pair = [to_front(a, dim, batch_size(args, dims)) for a, dim in zip(args, dims, strict=True)]
        return lax.map(lambda xw: p.bind(*xw, **settings), tuple(pair)), 0

    p = primitive("wrong_correlate", correlate_forward, settings=("rows", "cols", "groups"), batch=batch)
    transpose_bilinear(p, dx or input_gradient(), dw or kernel_gradient())
    return conv2d_with(p.bind)


def wrong_bias(db: Callable) -> Callable:
    return conv2d_with(bias=with_rule(add_bias_forward, lambda g, y, b: (g, db(g)), widen=False))


def exchanged_ends(window: Window) -> Window:
    """The padding of a forward pass that has `lo` and `hi` the other way round."""
    return replace(window, lo=window.hi, hi=window.lo)
