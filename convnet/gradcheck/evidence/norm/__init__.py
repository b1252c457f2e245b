"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod

import numpy as np

from convnet.gradcheck.evidence.case import Case, Convention, Evidence, column, drawing, gaussian, off_zero, wide
from convnet.gradcheck.evidence.draws import Draws, channels, strategy
from convnet.gradcheck.evidence.norm import response
from convnet.gradcheck.evidence.norm.controls import CONTROLS
from convnet.gradcheck.evidence.norm.mutants import MUTANTS as OF_MOMENTS
from convnet.gradcheck.oracle import by_complex_step

__all__ = ["CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS"]


# A gradient adds up m values for each of mean(h), mean(h·x̂), and the mean and the variance within x̂.


def _arguments(rng: np.random.Generator, shape: tuple, *, running: bool) -> tuple:
    """x, scale, bias; running: and a mean and a variance."""
    x, scale = gaussian(rng, shape), off_zero(rng, shape[-1:])
    bias = gaussian(rng, shape[-1:])
    if not running:
        return x, scale, bias
    return x, scale, bias, gaussian(rng, shape[-1:]), rng.uniform(0.2, 2.0, shape[-1:])


def _norm(op: str, name: str, shape: tuple, m: int, **settings) -> Case:
    def draw(rng):
        return _arguments(rng, shape, running=op == "batch_norm_inference")

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
    Case("local_response_norm", name, drawing(shape, draw=wide), settings, 4 * (1 + min(size, shape[-1])))
    for name, shape, size, settings in (
        ("even size, alpha 1", (2, 2, 3, 7), 4, {"size": 4, "alpha": 1.0}),
        ("odd size, alpha 1", (2, 3, 2, 7), 3, {"size": 3, "alpha": 1.0, "k": 1.0}),
        ("defaults", (1, 3, 2, 8), 5, {}),
        ("size 2, beta 1", (2, 2, 2, 5), 2, {"size": 2, "alpha": 2.0, "beta": 1.0, "k": 0.5}),
        ("size larger than the channels", (2, 3, 3), 8, {"size": 8, "alpha": 1.0}),
        ("size 1", (3, 4), 1, {"size": 1, "alpha": 1.0}),
    )
)
_EQUAL = np.full((4, 2), 3.0)
_PER_CHANNEL = column(1, 3), column(0.5, -1)
CONVENTIONS = (
    Convention("batch_norm", "constant channels", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25},
               (np.full((4, 2), 0.25), np.zeros(2), np.full(2, 4.0))),
    Convention("layer_norm", "constant rows", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25},
               (np.tile([-2.0, 2.0], (4, 1)), np.zeros(2), np.full(2, 4.0))),
    Convention("group_norm", "constant groups", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25, "groups": 1},
               (np.tile([-2.0, 2.0], (4, 1)), np.zeros(2), np.full(2, 4.0))),
    Convention("local_response_norm", "zeros", (np.zeros((2, 3)),), {"k": 4.0, "alpha": 1.0, "beta": 0.5},
               (np.full((2, 3), 0.5),)),
)  # fmt: skip


# --- oracles: definitions that take complex numbers -------------------------------------------------------------------


def standardised(x, axes, eps):
    """(x − mean) / √(var + eps), mean and biased variance over `axes`, which stay. No abs: x may be complex."""
    count = math.prod(x.shape[axis] for axis in axes)
    mean = np.sum(x, axis=axes, keepdims=True) / count
    var = np.sum((x - mean) ** 2, axis=axes, keepdims=True) / count
    return (x - mean) / np.sqrt(var + eps), mean, var


def batch_norm(x, scale, bias, *, eps=1e-5):
    """(y, mean, var) over all axes but the last."""
    hat, mean, var = standardised(x, tuple(range(x.ndim - 1)), eps)
    return hat * scale + bias, mean.reshape(-1), var.reshape(-1)


def batch_norm_inference(x, scale, bias, mean, var, *, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps) * scale + bias


def layer_norm(x, scale, bias, *, eps=1e-5):
    """Over the last axis."""
    return standardised(x, (x.ndim - 1,), eps)[0] * scale + bias


def group_norm(x, scale, bias, *, groups, eps=1e-5):
    """Over all places and the channels of one group, for each example."""
    y = np.empty(x.shape, np.result_type(x, scale, bias))
    width = x.shape[-1] // groups
    for group in range(groups):
        own = slice(group * width, (group + 1) * width)
        y[..., own] = standardised(x[..., own], tuple(range(1, x.ndim)), eps)[0] * scale[own] + bias[own]
    return y


def local_response_norm(x, *, size=5, k=2.0, alpha=1e-4, beta=0.75):
    """x[c] · (k + α/size · Σ x[j]²)^−β over the channels j = c − size//2 … c + (size − 1)//2 that exist."""
    y = np.empty(x.shape, x.dtype)
    for c in range(x.shape[-1]):
        first, last = max(c - size // 2, 0), c + (size - 1) // 2
        total = np.sum(x[..., first : last + 1] ** 2, axis=-1)
        y[..., c] = x[..., c] * (k + alpha / size * total) ** -beta
    return y


# --- random calls -----------------------------------------------------------------------------------------------------


EPS = (1e-3, 1e-5, 1e-8, 0.1, 10.0)


def _norm_call(*, running: bool = False, grouped: bool = False, last: bool = False) -> Callable:
    """At least three values share a mean: two are ±1 when normalised, whatever they were."""

    def build(draws: Draws) -> tuple[tuple, dict]:
        settings = {"eps": draws.choice(*EPS)}
        if grouped:
            settings["groups"], c, _ = channels(draws)
        else:
            c = draws.number(3 if last else 1, 5)
        examples = draws.number(1 if last or grouped else 3, 4)
        places = (draws.number(3, 4), *draws.shape(axes=(0, 1))) if grouped else draws.shape(axes=(0, 2))
        return _arguments(draws.rng(), (examples, *places, c), running=running), settings

    return build


def _response_call(draws: Draws) -> tuple[tuple, dict]:
    settings = dict(
        size=draws.number(1, 7),
        alpha=draws.choice(1.0, 1e-4, 3.0),
        beta=draws.choice(0.75, 0.5, 1.0, 2.0),
        k=draws.choice(2.0, 1.0, 0.5),
    )
    return draws.gaussians((*draws.shape(axes=(1, 3), most=3), draws.number(1, 6))), settings


EVIDENCE = {
    "batch_norm": Evidence(BATCH_NORM, by_complex_step(batch_norm), strategy(_norm_call())),
    "batch_norm_inference": Evidence(
        BATCH_NORM_INFERENCE, by_complex_step(batch_norm_inference), strategy(_norm_call(running=True))
    ),
    "layer_norm": Evidence(LAYER_NORM, by_complex_step(layer_norm), strategy(_norm_call(last=True))),
    "group_norm": Evidence(GROUP_NORM, by_complex_step(group_norm), strategy(_norm_call(grouped=True))),
    "local_response_norm": Evidence(
        LOCAL_RESPONSE_NORM, by_complex_step(local_response_norm), strategy(_response_call)
    ),
}
MUTANTS = (*OF_MOMENTS, *response.MUTANTS)
