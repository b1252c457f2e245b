"""Random calls of every op, by `hypothesis`: valid by construction, and full of the corners where gradients go wrong.

Shapes and settings are drawn one by one, the simplest first, so that a failure shrinks to a small shape and plain
settings. Arrays come from a seed, so drawing them is fast; shrinking changes their numbers, never their kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from convnet.gradcheck.cases import case
from convnet.gradcheck.cases.case import Mask, gaussian

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


class Draws:
    """What a strategy draws with: integers, choices, and a generator for arrays."""

    def __init__(self, draw: Callable):
        from hypothesis import strategies

        self._draw, self._strategies = draw, strategies

    def number(self, least: int, most: int) -> int:
        return self._draw(self._strategies.integers(least, most))

    def choice(self, *options):
        """One of the options, the first of which is the simplest."""
        return self._draw(self._strategies.sampled_from(options))

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.number(0, 2**32 - 1))

    def gaussians(self, *shapes: tuple[int, ...] | None) -> tuple:
        rng = self.rng()
        return tuple(None if shape is None else gaussian(rng, shape) for shape in shapes)

    def shape(self, *, least: int = 1, most: int = 4, axes: tuple[int, int] = (1, 4)) -> tuple[int, ...]:
        return tuple(self.number(least, most) for _ in range(self.number(*axes)))


def strategy(build: Callable) -> Callable[[], SearchStrategy]:
    """`build(draws) -> (args, settings)` as a hypothesis strategy; hypothesis is imported when one is asked for."""

    def of_op() -> SearchStrategy:
        from hypothesis import strategies

        return strategies.composite(lambda draw: build(Draws(draw)))()

    return of_op


# --- windows ----------------------------------------------------------------------------------------------------------


def _axis(draws: Draws, padding: str, *, dilation: int, real: bool) -> dict:
    """One axis of a window: stride s, kernel k, dilation d, the size of the image and its padding (lo, hi).

    Built backwards from the number of windows and the remainder r, so that no draw is refused. real: every window holds
    an element of the image, as pooling requires; then neither side is padded by a whole window.
    """
    s, k, d = draws.number(1, 3), draws.number(1, 3), draws.number(1, dilation)
    if padding == "SAME":
        return dict(stride=s, kernel=k, dilation=d, size=draws.number(1, 6), lo_hi=(0, 0))
    span, r = d * (k - 1) + 1, draws.number(0, s - 1)
    length = (draws.number(1, 2 if s > 1 else 3) - 1) * s + span + r  # of the padded or cropped image
    if padding == "VALID":
        return dict(stride=s, kernel=k, dilation=d, size=length, lo_hi=(0, 0))
    most = k - 1 if real else span
    lo = draws.number(-1, min(most, length))
    hi = draws.number(-1, min(most, length - 1 - max(lo, 0)))
    return dict(stride=s, kernel=k, dilation=d, size=length - lo - hi, lo_hi=(lo, hi))


def _window(draws: Draws, *, dilation: int = 1, real: bool = False) -> tuple[tuple, tuple, dict]:
    """(spatial sizes of the image, kernel, settings) of a convolution or a pooling."""
    padding = draws.choice("VALID", "explicit", "SAME", "explicit")
    axes = [_axis(draws, padding, dilation=dilation, real=real) for _ in range(2)]
    stride, kernel, dilations, sizes, pads = (
        tuple(axis[key] for axis in axes) for key in ("stride", "kernel", "dilation", "size", "lo_hi")
    )
    settings = {"stride": stride, "padding": pads if padding == "explicit" else padding}
    if dilation > 1:
        settings["dilation"] = dilations
    return sizes, kernel, settings


def _channels(draws: Draws) -> tuple[int, int, int]:
    """(groups, channels in, channels out): groups 1, 2, or as many as there are channels."""
    kind = draws.choice("one", "two", "depthwise")
    if kind == "depthwise":
        c = draws.number(2, 3)
        return c, c, c * draws.number(1, 2)
    groups = 1 if kind == "one" else 2
    return groups, groups * draws.number(1, 2), groups * draws.number(1, 2)


def _conv(draws: Draws) -> tuple[tuple, dict]:
    sizes, kernel, settings = _window(draws, dilation=3)
    groups, c, k = _channels(draws)
    bias = draws.choice(None, (k,))
    arrays = draws.gaussians((draws.number(1, 2), *sizes, c), (*kernel, c // groups, k), bias)
    return arrays, {**settings, "groups": groups}


def _conv_transpose(draws: Draws) -> tuple[tuple, dict]:
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
    groups, c_out, c_in = _channels(draws)
    bias = draws.choice(None, (c_out,))
    arrays = draws.gaussians((draws.number(1, 2), *sizes, c_in), (*kernel, c_out // groups, c_in), bias)
    settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, output_padding=extra)
    return arrays, settings


def _dense(draws: Draws) -> tuple[tuple, dict]:
    n, d, k = draws.number(1, 4), draws.number(1, 5), draws.number(1, 5)
    return draws.gaussians((n, d), (d, k), draws.choice(None, (k,))), {}


def _pool(array: Callable = gaussian, count: bool = False) -> Callable:
    def build(draws: Draws) -> tuple[tuple, dict]:
        sizes, kernel, settings = _window(draws, real=True)
        if settings["stride"] == kernel:
            settings["stride"] = draws.choice(None, kernel)
        if count:
            settings["count_include_pad"] = draws.choice(True, False)
        shape = (draws.number(1, 2), *sizes, draws.number(1, 3))
        return (array(draws.rng(), shape),), {"window": kernel, **settings}

    return build


def _global_avg_pool(draws: Draws) -> tuple[tuple, dict]:
    return draws.gaussians(draws.shape(most=5, axes=(4, 4))), {}


# --- elementwise ------------------------------------------------------------------------------------------------------


def _pointwise(array: Callable, **settings: tuple) -> Callable:
    """An activation at any shape, each setting one of its values."""

    def build(draws: Draws) -> tuple[tuple, dict]:
        chosen = {name: draws.choice(*values) for name, values in settings.items()}
        shape = draws.shape(axes=(0, 4))
        return (np.asarray(draws.choice(1.0, 0.1) * array(draws.rng(), shape)),), chosen

    return build


def _dropout(draws: Draws) -> tuple[tuple, dict]:
    rate, shape, rng = draws.choice(0.5, 0.0, 0.1, 0.9, 1.0), draws.shape(), draws.rng()
    return (gaussian(rng, shape), case.mask(rng, shape)), {"rate": rate}


# --- normalisation ----------------------------------------------------------------------------------------------------

EPS = (1e-3, 1e-5, 1e-8, 0.1, 10.0)


def _norm(*, running: bool = False, grouped: bool = False, last: bool = False) -> Callable:
    """At least three values share a mean: two are ±1 when normalised, whatever they were."""

    def build(draws: Draws) -> tuple[tuple, dict]:
        settings = {"eps": draws.choice(*EPS)}
        if grouped:
            settings["groups"], channels, _ = _channels(draws)
        else:
            channels = draws.number(3 if last else 1, 5)
        examples = draws.number(1 if last or grouped else 3, 4)
        places = (draws.number(3, 4), *draws.shape(axes=(0, 1))) if grouped else draws.shape(axes=(0, 2))
        shape = (examples, *places, channels)
        rng = draws.rng()
        args = gaussian(rng, shape), case.off_zero(rng, shape[-1:]), gaussian(rng, shape[-1:])
        if running:
            args = (*args, gaussian(rng, shape[-1:]), rng.uniform(0.2, 2.0, shape[-1:]))
        return args, settings

    return build


def _local_response_norm(draws: Draws) -> tuple[tuple, dict]:
    settings = dict(
        size=draws.number(1, 7),
        alpha=draws.choice(1.0, 1e-4, 3.0),
        beta=draws.choice(0.75, 0.5, 1.0, 2.0),
        k=draws.choice(2.0, 1.0, 0.5),
    )
    return draws.gaussians((*draws.shape(axes=(1, 3), most=3), draws.number(1, 6))), settings


# --- losses and sums --------------------------------------------------------------------------------------------------


def _cross_entropy(draws: Draws) -> tuple[tuple, dict]:
    n, k, smoothing = draws.number(1, 6), draws.number(1, 6), draws.choice(0.0, 0.1, 0.9)
    size, rng = draws.choice(1.0, 5.0), draws.rng()
    return (size * gaussian(rng, (n, k)), case.labels(rng, n, k)), {"label_smoothing": smoothing}


def _hinge(draws: Draws) -> tuple[tuple, dict]:
    n, k, margin, rng = draws.number(1, 6), draws.number(2, 6), draws.choice(1.0, 0.25, 5.0), draws.rng()
    return (case.off_margin(rng, (n, k), margin), case.labels(rng, n, k)), {"margin": margin}


def _squared_error(draws: Draws) -> tuple[tuple, dict]:
    shape = draws.shape()
    return draws.gaussians(shape, shape), {}


def _sum(*, masks: bool) -> Callable:
    def build(draws: Draws) -> tuple[tuple, dict]:
        shape = draws.shape(most=5, axes=(1, 3))
        axis = draws.choice(-1, *range(len(shape)))
        settings, rng = {"axis": axis}, draws.rng()
        if masks and draws.choice(False, True):
            settings["where"] = Mask(case.mask(rng, shape, axis))
        return (draws.choice(1.0, 5.0) * gaussian(rng, shape),), settings

    return build


def _total_variation(draws: Draws) -> tuple[tuple, dict]:
    """For β = 1 along one line the gradient is a difference of near ±1: with a small ε only rounding is left."""
    beta = draws.choice(2.0, 1.0, 3.0, 1.5)
    settings = dict(beta=beta, eps=1.0 if beta == 1 else draws.choice(1e-2, 1e-8, 1.0))
    return draws.gaussians((*draws.shape(axes=(3, 3)), draws.number(1, 2))), settings


def _gram_matrix(draws: Draws) -> tuple[tuple, dict]:
    return draws.gaussians(draws.shape(axes=(4, 4))), {}


STRATEGIES: dict[str, Callable[[], SearchStrategy]] = {
    "conv2d": strategy(_conv),
    "conv_transpose2d": strategy(_conv_transpose),
    "convolve2d": strategy(_conv),
    "dense": strategy(_dense),
    "max_pool": strategy(_pool(case.separated)),
    "avg_pool": strategy(_pool(count=True)),
    "sum_pool": strategy(_pool()),
    "global_avg_pool": strategy(_global_avg_pool),
    "relu": strategy(_pointwise(case.off_zero)),
    "leaky_relu": strategy(_pointwise(case.off_zero, negative_slope=(0.01, 0.3, 0.0, -2.0))),
    "sigmoid": strategy(_pointwise(case.moderate)),
    "tanh": strategy(_pointwise(case.moderate)),
    "gelu": strategy(_pointwise(gaussian, approximate=(True, False))),
    "softplus": strategy(_pointwise(gaussian, beta=(1.0, 2.5, 0.3))),
    "silu": strategy(_pointwise(case.moderate)),
    "dropout": strategy(_dropout),
    "batch_norm": strategy(_norm()),
    "batch_norm_inference": strategy(_norm(running=True)),
    "layer_norm": strategy(_norm(last=True)),
    "group_norm": strategy(_norm(grouped=True)),
    "local_response_norm": strategy(_local_response_norm),
    "softmax_cross_entropy": strategy(_cross_entropy),
    "weston_watkins_hinge": strategy(_hinge),
    "crammer_singer_hinge": strategy(_hinge),
    "squared_error": strategy(_squared_error),
    "logsumexp": strategy(_sum(masks=True)),
    "log_softmax": strategy(_sum(masks=False)),
    "total_variation": strategy(_total_variation),
    "gram_matrix": strategy(_gram_matrix),
}
"""By op: a function that makes a strategy of (positional arguments, settings)."""
