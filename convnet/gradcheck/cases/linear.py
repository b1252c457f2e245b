"""Cases of convolution, dense layers and pooling. The remainder r of an axis is what no window reads at its end."""

from __future__ import annotations

from functools import partial
from math import prod

from convnet.gradcheck.cases.case import Case, gaussian, separated
from convnet.ops.window import pair, transposed_windows, windows


def _arrays(rng, shapes):
    return tuple(None if shape is None else gaussian(rng, shape) for shape in shapes)


def _conv(name: str, x: tuple, w: tuple, *, bias: bool = True, op: str = "conv2d", **settings) -> Case:
    """A tap of the kernel gives an element of x at most one term; a weight gets one from every window."""
    places = {key: settings[key] for key in ("stride", "dilation") if key in settings}
    outputs = windows(x[1:3], w[:2], padding=settings.get("padding", "SAME"), **places)
    reads = prod(w[:2]) * w[3] // settings.get("groups", 1)
    terms = max(reads, x[0] * prod(axis.output for axis in outputs))
    return Case(op, name, partial(_arrays, shapes=(x, w, (w[3],) if bias else None)), settings, terms)


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
    return Case("conv_transpose2d", name, partial(_arrays, shapes=shapes), settings, terms)


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


def _dense(name: str, x: tuple, w: tuple, *, bias: bool = True) -> Case:
    shapes = (x, w, (w[1],) if bias else None)
    return Case("dense", name, partial(_arrays, shapes=shapes), {}, max(x[0], w[1]))


DENSE = (
    _dense("no two sizes equal", (3, 4), (4, 5)),
    _dense("square, no bias", (3, 3), (3, 3), bias=False),
    _dense("one example", (1, 7), (7, 2)),
    _dense("one feature", (6, 1), (1, 3)),
    _dense("one output", (4, 5), (5, 1)),
)

# --- pooling ----------------------------------------------------------------------------------------------------------

GEOMETRIES = {  # name: (shape, window, settings)
    "overlapping, r = (1, 0), asymmetric": ((2, 6, 5, 2), (3, 2), {"stride": (2, 1), "padding": ((0, 2), (1, 0))}),
    "tiling": ((2, 4, 6, 2), (2, 3), {}),
    "window = stride, r = (1, 2)": ((1, 7, 5, 3), (2, 3), {}),
    "gaps": ((1, 9, 8, 1), (2, 1), {"stride": (4, 3)}),
    "SAME, even window": ((1, 5, 6, 2), (2, 4), {"stride": (1, 2), "padding": "SAME"}),
    "negative padding crops": ((1, 8, 7, 1), (2, 3), {"stride": 2, "padding": ((-1, 1), (0, -2))}),
    "window larger than the image": ((1, 2, 3, 2), (4, 5), {"stride": 1, "padding": ((2, 1), (2, 2))}),
    "one pixel per window": ((1, 4, 3, 2), 1, {"stride": 2}),
    "tall": ((3, 11, 2, 1), (3, 2), {"stride": 1, "padding": "SAME"}),
}


def _one(rng, draw, shape):
    return (draw(rng, shape),)


def _pool(op: str, name: str, shape: tuple, window, settings: dict, draw=gaussian) -> Case:
    settings = {"window": window, **settings}
    return Case(op, name, partial(_one, draw=draw, shape=shape), settings, prod(pair(window, "window")))


def _pools(op: str, draw=gaussian, **settings) -> tuple[Case, ...]:
    return tuple(
        _pool(op, name, shape, window, {**geometry, **settings}, draw)
        for name, (shape, window, geometry) in GEOMETRIES.items()
    )


MAX_POOL, SUM_POOL = _pools("max_pool", separated), _pools("sum_pool")

_REAL = tuple(
    _pool("avg_pool", f"{name}, real elements only", shape, window, {**settings, "count_include_pad": False})
    for name, (shape, window, settings) in GEOMETRIES.items()
    if settings.get("padding")
)
AVG_POOL = (_REAL[0], *_pools("avg_pool"), *_REAL[1:])

GLOBAL_AVG_POOL = tuple(
    Case("global_avg_pool", name, partial(_one, draw=gaussian, shape=shape), {}, 1)
    for name, shape in {
        "H ≠ W": (2, 3, 5, 4),
        "one row": (3, 1, 7, 2),
        "one pixel": (2, 1, 1, 3),
    }.items()
)
