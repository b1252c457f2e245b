"""Logarithms of sums of exponentials."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.case import Case, Convention, Evidence, Mask, drawing, gaussian, mask
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.evidence.planting import Control, Mutant, corrupted_in, ruled, scaled, with_rule
from convnet.gradcheck.oracle import by_complex_step
from convnet.ops import HAND


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
    return Case(op, name, drawing(shape), settings, 2 * shape[axis] + 1, batch=batch)


LOGSUMEXP, LOG_SOFTMAX = _sums("logsumexp"), _sums("log_softmax")
_KEPT = Mask([[True, True, False]])
_QUARTERS = np.array([[0.0, np.log(3), 5]])
CONVENTIONS = (
    Convention("logsumexp", "a masked entry", (_QUARTERS,), {"where": _KEPT}, (np.array([[0.25, 0.75, 0]]),)),
    Convention("logsumexp", "a masked entry that is the largest by far", (np.array([[0.0, 0, 800]]),),
               {"where": _KEPT}, (np.array([[0.5, 0.5, 0]]),)),
    Convention("logsumexp", "a row without entries", (np.zeros((1, 3)),), {"where": Mask([[False] * 3])},
               (np.zeros((1, 3)),)),
    Convention("log_softmax", "a masked entry", (_QUARTERS,), {"where": _KEPT}, (np.array([[0.5, -0.5, 0]]),)),
)  # fmt: skip


# --- oracles: definitions that take complex numbers -------------------------------------------------------------------


def logsumexp(x, *, axis=-1, where=None):
    """log Σ e^x over the entries that `where` keeps; −∞ where it keeps none."""
    where = np.ones(x.shape, bool) if where is None else where
    largest = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf, where=where)
    largest = np.where(np.isfinite(largest), largest, 0)  # a constant: any number may be taken out of the sum
    total = np.sum(np.where(where, np.exp(np.where(where, x - largest, 0)), 0), axis=axis)
    with np.errstate(divide="ignore"):
        return np.log(total) + np.squeeze(largest, axis)


def log_softmax(x, *, axis=-1, where=None):
    """x − logsumexp(x), and −∞ where `where` masks."""
    where = np.ones(x.shape, bool) if where is None else where
    total = np.expand_dims(logsumexp(x, axis=axis, where=where), axis)
    return np.where(where, x - np.where(np.isfinite(total), total, 0), -np.inf)


# --- random calls -----------------------------------------------------------------------------------------------------


def _call(*, masks: bool) -> Callable:
    def build(draws: Draws) -> tuple[tuple, dict]:
        shape = draws.shape(most=5, axes=(1, 3))
        axis = draws.choice(-1, *range(len(shape)))
        settings, rng = {"axis": axis}, draws.rng()
        if masks and draws.choice(False, True):
            settings["where"] = Mask(mask(rng, shape, axis))
        return (draws.choice(1.0, 5.0) * gaussian(rng, shape),), settings

    return build


EVIDENCE = {
    "logsumexp": Evidence(LOGSUMEXP, by_complex_step(logsumexp), strategy(_call(masks=True))),
    "log_softmax": Evidence(LOG_SOFTMAX, by_complex_step(log_softmax), strategy(_call(masks=False))),
}


# --- planted ----------------------------------------------------------------------------------------------------------


def masked(op: str) -> Case:
    """A masked entry is 2000, and its exponential overflows."""
    mask = Mask([[True, True, False, True], [False, True, True, True], [True, True, True, True]])

    def draw(rng):
        x = rng.standard_normal(mask.shape)
        return (np.where(np.asarray(mask), x, 2000.0),)

    return Case(op, "masked entries of 2000", draw, {"where": mask}, terms=4)


def matrix(op: str, name: str, **settings) -> Case:
    return Case(op, name, lambda rng: (rng.standard_normal((3, 4)),), settings, terms=4)


FIRST_AXIS = matrix("logsumexp", "axis 0", axis=0)


def times_mask(g, x, *, axis=-1, where=None):
    """e^(x − L) times the mask: 0 · ∞ where a masked entry is large."""
    slope = jnp.exp(x - jnp.expand_dims(HAND.logsumexp(x, axis=axis, where=where), axis))
    gradient = jnp.expand_dims(g, axis) * (slope if where is None else slope * where)
    return (gradient,) if where is None else (gradient, None)


def last_axis(g, x, *, axis=-1):
    """The softmax along the last axis, whatever axis was meant."""
    return (jnp.expand_dims(g, axis) * jax.nn.softmax(x, axis=-1),)


def own_cotangent(g, x, *, axis=-1, where=None):
    """g − p g for g − p Σ g."""
    gradient = g - jax.nn.softmax(x, axis=axis) * g
    return (gradient,) if where is None else (gradient, None)


def masked_counted(g, x, *, axis=-1, where=None):
    """Σ g over all entries, also those that are masked."""
    kept = jnp.ones(x.shape, bool) if where is None else where
    p = jax.nn.softmax(jnp.where(kept, x, jnp.full_like(x, -jnp.inf)), axis=axis)
    gradient = jnp.where(kept, g - p * g.sum(axis, keepdims=True), jnp.zeros_like(x))
    return (gradient,) if where is None else (gradient, None)


MUTANTS = (
    Mutant("logsumexp: NaN at masked", "logsumexp", lambda: with_rule(HAND.logsumexp, times_mask),
           "0 · ∞ at a masked entry", "jax-ml/jax 23842", (masked("logsumexp"),)),
    Mutant("logsumexp: last axis", "logsumexp", lambda: with_rule(HAND.logsumexp, last_axis),
           "the softmax runs along the last axis, whatever was asked", cases=(FIRST_AXIS,)),
    Mutant("log_softmax: own cotangent", "log_softmax", lambda: with_rule(HAND.log_softmax, own_cotangent),
           "g − p g for g − p Σ g", cases=(matrix("log_softmax", "axis −1"),)),
    Mutant("log_softmax: masked counted", "log_softmax", lambda: with_rule(HAND.log_softmax, masked_counted),
           "the g of masked entries counts", cases=(masked("log_softmax"),)),
    Mutant("log_softmax: float32 only", "log_softmax", lambda: corrupted_in("float32", "log_softmax", scaled(0.99)),
           "float32 is off by 1e-2", cases=(matrix("log_softmax", "axis −1"),), shows="float32"),
)  # fmt: skip


def logsumexp_by_softmax(g, x, *, axis=-1, where=None):
    kept = jnp.ones(x.shape, bool) if where is None else where
    p = jax.nn.softmax(jnp.where(kept, x, jnp.full_like(x, -jnp.inf)), axis=axis)
    p = jnp.where(kept.any(axis, keepdims=True), p, jnp.zeros_like(p))
    gradient = jnp.expand_dims(g, axis) * p
    return (gradient,) if where is None else (gradient, None)


CONTROLS = (
    Control("logsumexp by softmax", "logsumexp", ruled("logsumexp", logsumexp_by_softmax), "JAX's own softmax"),
)  # fmt: skip
