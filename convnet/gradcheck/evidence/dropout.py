"""Dropout."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.case import Case, Convention, Evidence, column, gaussian, mask
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.evidence.planting import Control, Mutant, with_rule
from convnet.gradcheck.oracle import by_walking
from convnet.ops import AUTO, HAND


def _dropout(rate: float, shape: tuple) -> Case:
    def draw(rng):
        return gaussian(rng, shape), mask(rng, shape)

    return Case("dropout", f"rate {rate}", draw, {"rate": rate}, 1, batch=(0, 0))


DROPOUT = _dropout(0.3, (2, 3, 4, 2)), _dropout(0.5, (5, 7)), _dropout(0.0, (3, 4)), _dropout(1.0, (3, 4))

CONVENTIONS = (
    Convention("dropout", "rate 1", (column(1, -2), np.array([True, False])), {"rate": 1.0}, (column(0, 0), None)),
    Convention("dropout", "0 that is kept, and one that is not", (column(0, 0), np.array([True, False])),
               {"rate": 0.5}, (column(2, 0), None)),
)  # fmt: skip


def walk(x, mask, g, *, rate):
    """y, dL/dx, None: what is kept is divided by the probability of being kept; at rate 1 nothing is."""
    if rate == 1:
        return np.zeros(x.shape), np.zeros(x.shape), None
    return np.where(mask, x, 0) / (1 - rate), np.where(mask, g, 0) / (1 - rate), None


def _call(draws: Draws) -> tuple[tuple, dict]:
    rate, shape, rng = draws.choice(0.5, 0.0, 0.1, 0.9, 1.0), draws.shape(), draws.rng()
    return (gaussian(rng, shape), mask(rng, shape)), {"rate": rate}


EVIDENCE = {"dropout": Evidence(DROPOUT, by_walking(walk), strategy(_call))}

# --- planted ----------------------------------------------------------------------------------------------------------

DROPPED = Case("dropout", "half", lambda rng: (rng.standard_normal((4, 6)), rng.random((4, 6)) < 0.5), {"rate": 0.5}, 1)
QUARTER = Case("dropout", "quarter", lambda rng: (rng.standard_normal((4, 6)), rng.random((4, 6)) < 0.75),
               {"rate": 0.25}, 1)  # fmt: skip
ALL_DROPPED = Case("dropout", "rate 1", lambda rng: (rng.standard_normal((2, 3)), np.zeros((2, 3), bool)),
                   {"rate": 1.0}, 1)  # fmt: skip


def _with_zeros(rng: np.random.Generator) -> tuple:
    """Dropped out, and kept, where the value is 0 anyway."""
    x, mask = rng.standard_normal((4, 6)), rng.random((4, 6)) < 0.5
    x[0], mask[0] = 0.0, np.arange(6) % 2 == 0
    return x, mask


DROPPED_ZEROS = Case("dropout", "zeros among the values", _with_zeros, {"rate": 0.5}, 1)


def _inferred(g, x, mask, *, rate):
    """From the values: y/x · g, and g where x is 0."""
    y = AUTO.dropout(x, mask, rate=rate)
    zero = x == 0
    return jnp.where(zero, g, y / jnp.where(zero, jnp.ones_like(x), x) * g), None


def _mutant(name, defect, rule, *cases, source="invented", **fields) -> Mutant:
    return Mutant(f"dropout: {name}", "dropout", lambda: with_rule(HAND.dropout, rule), defect, source, cases, **fields)


MUTANTS = (
    _mutant("no mask", "g / (1 − p) everywhere", lambda g, x, mask, *, rate: (g / (1 - rate), None), DROPPED,
             source="ddbourgin/numpy-ml 94"),
    _mutant("inferred mask", "a dropped value that was 0 counts as kept", _inferred, DROPPED_ZEROS,
             source="kaldi-asr/kaldi 3890"),
    _mutant("not scaled", "1 / (1 − p) is missing", lambda g, x, mask, *, rate: (g * mask, None), DROPPED),
    _mutant("scaled by p", "1/p for 1 / (1 − p)", lambda g, x, mask, *, rate: (g * mask / rate, None), QUARTER),
    _mutant("NaN at 1", "0 / 0 where everything is dropped", lambda g, x, mask, *, rate: (
        g * mask / jnp.asarray(1 - rate, g.dtype), None), ALL_DROPPED),
)  # fmt: skip
CONTROLS = (
    Control("dropout by multiplication", "dropout", lambda: lambda x, mask, *, rate: x * mask.astype(x.dtype) * (
        0.0 if rate == 1 else 1 / (1 - rate)), "autodiff of a product"),
)  # fmt: skip
