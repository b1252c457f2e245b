"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from convnet.gradcheck.evidence.activation.mutants import CONTROLS, MUTANTS
from convnet.gradcheck.evidence.case import (
    Case,
    Convention,
    Evidence,
    column,
    drawing,
    gaussian,
    moderate,
    off_zero,
)
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.oracle import by_complex_step, by_walking

__all__ = ["CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS"]


def off_threes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """On both sides of ±3, at least 0.05 away from either."""
    values = 3 * gaussian(rng, shape)
    return np.asarray(values + np.copysign(0.05, values) * np.sign(np.abs(values) - 3))


SHAPES = {"4 axes": (2, 3, 4, 2), "matrix": (5, 7), "vector": (11,), "one number": ()}


def _pointwise(op: str, terms: int, *settings: dict, draw=gaussian) -> tuple[Case, ...]:
    """The first settings with every shape, the others with the first shape."""
    first, *others = settings or ({},)
    cases = [
        Case(
            op,
            ", ".join([name, *_said(first)]),
            drawing(shape, draw=draw),
            first,
            terms,
            batch=(0,) if shape else (),
        )
        for name, shape in SHAPES.items()
    ]
    shape = SHAPES["4 axes"]
    cases += [Case(op, ", ".join(_said(s)) or "defaults", drawing(shape, draw=draw), s, terms) for s in others]
    return tuple(cases)


def _said(settings: dict) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


RELU = _pointwise("relu", 1, draw=off_zero)
LEAKY_RELU = _pointwise("leaky_relu", 1, {"negative_slope": 0.3}, {}, {"negative_slope": 0.0}, {"negative_slope": -2.0},
                        draw=off_zero)  # fmt: skip
SIGMOID, TANH, SILU = (_pointwise(op, 2, draw=moderate) for op in ("sigmoid", "tanh", "silu"))
HARD_SWISH = _pointwise("hard_swish", 2, draw=off_threes)
GELU = _pointwise("gelu", 4, {}, {"approximate": False})
SOFTPLUS = _pointwise("softplus", 2, {"beta": 2.5}, {}, {"beta": 0.3})


CONVENTIONS = (
    Convention("relu", "0 and −0", (column(-1, -0.0, 0, 2),), {}, (column(0, 0, 0, 1),)),
    Convention("leaky_relu", "0", (column(-1, 0, 2),), {"negative_slope": 0.25}, (column(0.25, 0.25, 1),)),
    Convention("leaky_relu", "0, slopes of either sign", (column(-1, 0, 2),), {"negative_slope": -2.0},
               (column(-2, -2, 1),)),
    Convention("softplus", "0, smooth", (column(0, -0.0),), {}, (column(0.5, 0.5),)),
    Convention("softplus", "0, smooth, beta 8", (column(0,),), {"beta": 8.0}, (column(0.5),)),
    Convention("sigmoid", "far out, smooth", (column(-800, 800),), {}, (column(0, 0),)),
    Convention("tanh", "far out, smooth", (column(-800, 800),), {}, (column(0, 0),)),
    Convention("silu", "far out, smooth", (column(-800, 800),), {}, (column(0, 1),)),
    Convention("hard_swish", "±3", (column(-3, 3),), {}, (column(-0.5, 1.5),)),
    Convention("softplus", "far out, smooth", (column(-800, 800),), {}, (column(0, 1),)),
    Convention("gelu", "far out, smooth", (column(-800, 800),), {}, (column(0, 1),)),
    Convention("gelu", "far out, smooth, exact", (column(-800, 800),), {"approximate": False}, (column(0, 1),)),
)  # fmt: skip


# --- oracles: y and the gradients of what has a kink, the definition of what is smooth --------------------------------


def leaky_relu(x, g, *, negative_slope=0.01):
    """y, dL/dx; at 0 the slope is that of the negative side."""
    slope = np.where(x > 0, 1.0, negative_slope)
    return slope * x, slope * g


def relu(x, g):
    return leaky_relu(x, g, negative_slope=0.0)


def hard_swish(x, g):
    """y, dL/dx; at ±3 the slope is that of the parabola between them."""
    slope = np.select([np.abs(x) <= 3, x > 3], [(2 * x + 3) / 6, 1.0], 0.0)
    return np.select([np.abs(x) <= 3, x > 3], [x * (x + 3) / 6, x], 0.0), slope * g


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tanh(x):
    return np.tanh(x)


def gelu(x, *, approximate=True):
    """x·Φ(x), Φ = ½(1 + erf(x/√2)), or Φ ≈ ½(1 + tanh u) (Hendrycks & Gimpel, arXiv:1606.08415).

    Written as 1 + erf(z) = erfc(−z) and ½(1 + tanh u) = σ(2u), because the sums cancel for x < 0.
    """
    if approximate:
        return x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return x / 2 * special.erfc(-x / np.sqrt(2))


def softplus(x, *, beta=1.0):
    """log(1 + e^βx) / β."""
    return special.log1p(np.exp(beta * x)) / beta


def silu(x):
    return x * sigmoid(x)


# --- random calls -----------------------------------------------------------------------------------------------------


def _call(array: Callable, **settings: tuple) -> Callable:
    """An activation at any shape, each setting one of its values."""

    def build(draws: Draws) -> tuple[tuple, dict]:
        chosen = {name: draws.choice(*values) for name, values in settings.items()}
        shape = draws.shape(axes=(0, 4))
        return (np.asarray(draws.choice(1.0, 0.1) * array(draws.rng(), shape)),), chosen

    return build


EVIDENCE = {
    "relu": Evidence(RELU, by_walking(relu), strategy(_call(off_zero))),
    "leaky_relu": Evidence(
        LEAKY_RELU, by_walking(leaky_relu), strategy(_call(off_zero, negative_slope=(0.01, 0.3, 0.0, -2.0)))
    ),
    "sigmoid": Evidence(SIGMOID, by_complex_step(sigmoid), strategy(_call(moderate))),
    "tanh": Evidence(TANH, by_complex_step(tanh), strategy(_call(moderate))),
    "gelu": Evidence(GELU, by_complex_step(gelu), strategy(_call(gaussian, approximate=(True, False)))),
    "softplus": Evidence(SOFTPLUS, by_complex_step(softplus), strategy(_call(gaussian, beta=(1.0, 2.5, 0.3)))),
    "silu": Evidence(SILU, by_complex_step(silu), strategy(_call(moderate))),
    "hard_swish": Evidence(HARD_SWISH, by_walking(hard_swish), strategy(_call(off_threes))),
}
