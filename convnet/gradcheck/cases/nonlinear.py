"""Cases of activations, normalisation, losses and what is asked of images."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from convnet.gradcheck.cases.case import Case, Mask, gaussian, labels, mask, moderate, off_margin, off_zero

# --- activations ------------------------------------------------------------------------------------------------------

SHAPES = {"4 axes": (2, 3, 4, 2), "matrix": (5, 7), "vector": (11,), "one number": ()}


def _one(rng, draw, shape):
    return (np.asarray(draw(rng, shape)),)


def _pointwise(op: str, terms: int, *settings: dict, draw=gaussian) -> tuple[Case, ...]:
    """The first settings with every shape, the others with the first shape."""
    first, *others = settings or ({},)
    cases = [
        Case(
            op,
            ", ".join([name, *_said(first)]),
            partial(_one, draw=draw, shape=shape),
            first,
            terms,
            batch=(0,) if shape else (),
        )
        for name, shape in SHAPES.items()
    ]
    shape = SHAPES["4 axes"]
    cases += [
        Case(op, ", ".join(_said(s)) or "defaults", partial(_one, draw=draw, shape=shape), s, terms) for s in others
    ]
    return tuple(cases)


def _said(settings: dict) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _wide(rng, shape):
    """Far enough for sums of squares and exponentials to differ much from one another."""
    return 3 * gaussian(rng, shape)


RELU = _pointwise("relu", 1, draw=off_zero)
LEAKY_RELU = _pointwise("leaky_relu", 1, {"negative_slope": 0.3}, {}, {"negative_slope": 0.0}, {"negative_slope": -2.0},
                        draw=off_zero)  # fmt: skip
SIGMOID, TANH, SILU = (_pointwise(op, 2, draw=moderate) for op in ("sigmoid", "tanh", "silu"))
GELU = _pointwise("gelu", 4, {}, {"approximate": False})
SOFTPLUS = _pointwise("softplus", 2, {"beta": 2.5}, {}, {"beta": 0.3})


def _dropped(rng, shape):
    return gaussian(rng, shape), mask(rng, shape)


DROPOUT = tuple(
    Case("dropout", f"rate {rate}", partial(_dropped, shape=shape), {"rate": rate}, 1, batch=(0, 0))
    for rate, shape in ((0.3, (2, 3, 4, 2)), (0.5, (5, 7)), (0.0, (3, 4)), (1.0, (3, 4)))
)

# --- normalisation ----------------------------------------------------------------------------------------------------
# A gradient adds up m values for each of mean(h), mean(h·x̂), and the mean and the variance within x̂.


def _normed(rng, shape, running):
    x, scale = gaussian(rng, shape), off_zero(rng, shape[-1:])
    bias = gaussian(rng, shape[-1:])
    if not running:
        return x, scale, bias
    return x, scale, bias, gaussian(rng, shape[-1:]), rng.uniform(0.2, 2.0, shape[-1:])


def _norm(op: str, name: str, shape: tuple, m: int, **settings) -> Case:
    draw = partial(_normed, shape=shape, running=op == "batch_norm_inference")
    return Case(op, name, draw, settings, max(4 * m, 2 * prod(shape[:-1])))


NORM_SHAPES = {
    "4 axes, large eps": ((2, 2, 3, 5), {"eps": 0.1}),
    "4 axes": ((3, 2, 2, 6), {}),
    "matrix": ((6, 7), {"eps": 1e-3}),
    "3 axes, small eps": ((2, 4, 7), {"eps": 1e-8}),
    "eps above the variance": ((2, 3, 2, 3), {"eps": 10.0}),
}
BATCH_NORM = tuple(
    _norm("batch_norm", name, shape, prod(shape[:-1]), **settings) for name, (shape, settings) in NORM_SHAPES.items()
)
BATCH_NORM_INFERENCE = tuple(
    _norm("batch_norm_inference", name, shape, 1, **settings) for name, (shape, settings) in NORM_SHAPES.items()
)
LAYER_NORM = tuple(
    _norm("layer_norm", name, shape, shape[-1], **settings) for name, (shape, settings) in NORM_SHAPES.items()
)
GROUP_NORM = tuple(
    _norm("group_norm", name, shape, prod(shape[1:]) // settings["groups"], **settings)
    for name, shape, settings in (
        ("groups 2 of 6", (2, 3, 2, 6), {"groups": 2, "eps": 0.1}),
        ("groups 3 of 6", (2, 2, 3, 6), {"groups": 3}),
        ("one group", (2, 3, 4, 3), {"groups": 1, "eps": 1e-3}),
        ("instance norm", (3, 3, 4, 3), {"groups": 3}),
        ("matrix", (4, 8), {"groups": 2, "eps": 1e-8}),
        ("3 axes, eps above the variance", (2, 5, 4), {"groups": 2, "eps": 10.0}),
    )
)
# Each of up to `size` channels brings a power of a sum over as many.
LOCAL_RESPONSE_NORM = tuple(
    Case("local_response_norm", name, partial(_one, draw=_wide, shape=shape), settings, 4 * (1 + min(size, shape[-1])))
    for name, shape, size, settings in (
        ("even size, alpha 1", (2, 2, 3, 7), 4, {"size": 4, "alpha": 1.0}),
        ("odd size, alpha 1", (2, 3, 2, 7), 3, {"size": 3, "alpha": 1.0, "k": 1.0}),
        ("defaults", (1, 3, 2, 8), 5, {}),
        ("size 2, beta 1", (2, 2, 2, 5), 2, {"size": 2, "alpha": 2.0, "beta": 1.0, "k": 0.5}),
        ("size larger than the channels", (2, 3, 3), 8, {"size": 8, "alpha": 1.0}),
        ("size 1", (3, 4), 1, {"size": 1, "alpha": 1.0}),
    )
)

# --- losses -----------------------------------------------------------------------------------------------------------


def _classified(rng, draw, shape):
    return draw(rng, shape), labels(rng, *shape)


def _loss(op: str, name: str, shape: tuple, terms: int, draw=gaussian, **settings) -> Case:
    return Case(op, name, partial(_classified, draw=draw, shape=shape), settings, terms, batch=(0, 0))


SOFTMAX_CROSS_ENTROPY = (
    _loss("softmax_cross_entropy", "label smoothing 0.1", (6, 5), 10, label_smoothing=0.1),
    _loss("softmax_cross_entropy", "no smoothing", (6, 5), 10),
    _loss("softmax_cross_entropy", "two classes", (5, 2), 4),
    _loss("softmax_cross_entropy", "far apart", (5, 7), 14, _wide, label_smoothing=0.7),
    _loss("softmax_cross_entropy", "one class", (3, 1), 2),
)


def _hinges(op: str) -> tuple[Case, ...]:
    named = {
        "margin 1": ((6, 5), 1.0),
        "margin 0.25": ((5, 7), 0.25),
        "two classes": ((8, 2), 1.0),
        "margin 5": ((4, 3), 5.0),
    }
    return tuple(
        _loss(op, name, shape, shape[1], partial(off_margin, margin=margin), margin=margin)
        for name, (shape, margin) in named.items()
    )


WESTON_WATKINS_HINGE, CRAMMER_SINGER_HINGE = _hinges("weston_watkins_hinge"), _hinges("crammer_singer_hinge")


def _pair(rng, shape):
    return gaussian(rng, shape), gaussian(rng, shape)


SQUARED_ERROR = tuple(
    Case("squared_error", name, partial(_pair, shape=shape), {}, 2, batch=(0, 0))
    for name, shape in {"matrix": (3, 4), "4 axes": (2, 3, 2, 3), "one number per example": (5,)}.items()
)

# --- sums -------------------------------------------------------------------------------------------------------------


def _sums(op: str) -> tuple[Case, ...]:
    """An output that is −∞ has nothing to difference: masked entries of log_softmax are left to its convention."""
    named = {
        "last axis": ((4, 6), -1, False),
        "middle axis of 3": ((2, 5, 3), 1, False),
        "first axis": ((5, 4), 0, False),
        "vector": ((7,), -1, False),
        "one entry": ((3, 1), -1, False),
    }
    if op == "logsumexp":
        named = {"masked": ((4, 6), -1, True), **named, "masked, first axis": ((4, 3, 2), 0, True)}
    return tuple(_sum(op, name, *arguments) for name, arguments in named.items())


def _sum(op: str, name: str, shape: tuple, axis: int, masked: bool) -> Case:
    settings = {"axis": axis}
    others = [place for place in range(len(shape)) if place != axis % len(shape)]
    batch = () if masked else tuple(others[:1])  # a mask among the settings is as large as it is
    if masked:
        settings["where"] = Mask(mask(np.random.default_rng(0), shape, axis))
    return Case(op, name, partial(_one, draw=gaussian, shape=shape), settings, 2 * shape[axis] + 1, batch=batch)


LOGSUMEXP, LOG_SOFTMAX = _sums("logsumexp"), _sums("log_softmax")

# --- images -----------------------------------------------------------------------------------------------------------

TOTAL_VARIATION = tuple(
    Case("total_variation", name, partial(_one, draw=gaussian, shape=shape), settings, 12)
    for name, shape, settings in (
        ("beta 1, H ≠ W", (2, 3, 5, 2), {"beta": 1.0, "eps": 1.0}),
        ("beta 2", (2, 5, 3, 2), {}),
        ("beta 3", (1, 4, 6, 2), {"beta": 3.0}),
        ("beta 1.5, small eps", (1, 5, 4, 2), {"beta": 1.5}),
        ("one row", (2, 1, 6, 2), {"beta": 1.5, "eps": 1e-4}),
        ("one column", (2, 6, 1, 2), {"beta": 1.0, "eps": 1.0}),
    )
)
GRAM_MATRIX = tuple(
    Case("gram_matrix", name, partial(_one, draw=gaussian, shape=shape), {}, 2 * shape[-1])
    for name, shape in {
        "H ≠ W": (2, 3, 4, 3),
        "more channels than places": (1, 1, 2, 5),
        "one channel": (2, 4, 3, 1),
    }.items()
)
