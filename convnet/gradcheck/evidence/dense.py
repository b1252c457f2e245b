"""Dense layers."""

from __future__ import annotations

import numpy as np

from convnet.gradcheck.evidence.case import Case, Evidence, drawing, gaussian
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.evidence.planting import Control, Mutant, corrupted, ruled
from convnet.gradcheck.evidence.walk import with_bias
from convnet.gradcheck.oracle import by_walking


def _dense(name: str, x: tuple, w: tuple, *, bias: bool = True) -> Case:
    shapes = (x, w, (w[1],) if bias else None)
    return Case("dense", name, drawing(*shapes), {}, max(x[0], w[1]))


DENSE = (
    _dense("no two sizes equal", (3, 4), (4, 5)),
    _dense("square, no bias", (3, 3), (3, 3), bias=False),
    _dense("one example", (1, 7), (7, 2)),
    _dense("one feature", (6, 1), (1, 3)),
    _dense("one output", (4, 5), (5, 1)),
)


def _call(draws: Draws) -> tuple[tuple, dict]:
    n, d, k = draws.number(1, 4), draws.number(1, 5), draws.number(1, 5)
    return draws.gaussians((n, d), (d, k), draws.choice(None, (k,))), {}


def walk(x, w, g):
    """y, dL/dx, dL/dw, entry by entry."""
    y, dx, dw = np.zeros((x.shape[0], w.shape[1])), np.zeros(x.shape), np.zeros(w.shape)
    g = np.broadcast_to(g, y.shape)
    for n, d, k in np.ndindex(*x.shape, w.shape[1]):
        y[n, k] += x[n, d] * w[d, k]
        dx[n, d] += g[n, k] * w[d, k]
        dw[d, k] += g[n, k] * x[n, d]
    return y, dx, dw


CONVENTIONS = ()
EVIDENCE = {"dense": Evidence(DENSE, by_walking(with_bias(walk)), strategy(_call))}


# --- planted ----------------------------------------------------------------------------------------------------------


def _mutant(name, defect, build, *cases) -> Mutant:
    return Mutant(name, "dense", build, defect, cases=cases)


SQUARE_MATRIX = Case(
    "dense", "as many outputs as inputs",
    lambda rng: (gaussian(rng, (3, 4)), gaussian(rng, (4, 4)), gaussian(rng, (4,))), {}, terms=4,
)  # fmt: skip
MUTANTS = (
    _mutant("dense dX: not transposed", "gW for gWᵀ, which fits where W is square", ruled(
        "dense", lambda g, x, w, b=None: (g @ w, x.T @ g, *([] if b is None else [g.sum(0)]))), SQUARE_MATRIX),
    _mutant("dense dW: averaged", "the mean over the batch, not the sum", ruled(
        "dense", lambda g, x, w, b=None: (g @ w.T, x.T @ g / len(x), *([] if b is None else [g.sum(0)])))),
    _mutant("dense db: first example", "the bias is not summed over the batch", ruled(
        "dense", lambda g, x, w, b=None: (g @ w.T, x.T @ g, *([] if b is None else [g[0]]))), SQUARE_MATRIX),
)  # fmt: skip
CONTROLS = (
    Control("dense handed through", "dense", lambda: corrupted("dense", lambda d: d), "a mutant that changes nothing"),
)  # fmt: skip
