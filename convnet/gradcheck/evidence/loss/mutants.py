"""Wrong slopes of losses."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.case import Case
from convnet.gradcheck.evidence.planting import (
    Control,
    Mutant,
    corrupted_second_order,
    corrupted_under_vmap,
    ruled,
    with_rule,
)
from convnet.ops import HAND


def scores(op: str, name: str, n: int, k: int, *, size: float = 1.0, last: bool = False, **settings) -> Case:
    """last: all labels are among the last two classes."""

    def draw(rng):
        low = k - 2 if last else 0
        return size * rng.standard_normal((n, k)), rng.integers(low, k, n).astype(np.int32)

    return Case(op, name, draw, settings, terms=k)


PLAIN = scores("softmax_cross_entropy", "5 classes", 4, 5)
SMOOTH = scores("softmax_cross_entropy", "smoothed", 4, 5, label_smoothing=0.1)
LARGE = scores("softmax_cross_entropy", "large logits", 4, 5, size=1e3)
MANY = scores("softmax_cross_entropy", "300 classes", 3, 300, last=True)
HINGE = scores("weston_watkins_hinge", "5 classes", 6, 5)
WIDE_MARGIN = scores("weston_watkins_hinge", "margin 3", 6, 5, margin=3.0)
RIVALS = scores("crammer_singer_hinge", "5 classes", 6, 5)
EASY = Case(
    "crammer_singer_hinge", "margins kept",
    lambda rng: (rng.standard_normal((4, 5)) * 0.1 + 3 * np.eye(5)[:4], np.arange(4, dtype=np.int32)), {}, terms=5,
)  # fmt: skip
CLOSE = Case(
    "crammer_singer_hinge", "y is largest, but not by the margin",
    lambda rng: (0.1 * rng.standard_normal((4, 5)) + 0.5 * np.eye(5)[:4], np.arange(4, dtype=np.int32)), {}, terms=5,
)  # fmt: skip
PAIR = Case("squared_error", "vectors", lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3))), {}, 3)


def one_hot(z, y):
    return (jnp.arange(z.shape[1])[None] == y[:, None]).astype(z.dtype)


def _of_scores(op: str, name: str, defect: str, slope: Callable, *cases, source="invented", **fields) -> Mutant:
    """slope(z, y, **settings): ∂L/∂z per example."""

    def rule(g, z, y, **settings):
        return g[:, None] * slope(z, y, **settings), None

    return Mutant(f"{op}: {name}", op, lambda: with_rule(getattr(HAND, op), rule), defect, source, cases, **fields)


def byte_labels(z, y, *, label_smoothing=0.0):
    """Labels kept in a byte: class 256 is class 0."""
    return jax.nn.softmax(z, axis=1) - one_hot(z, y.astype(jnp.uint8).astype(jnp.int32))


def unshifted(z, y, *, label_smoothing=0.0):
    """e^z / Σ e^z without taking the largest out."""
    return jnp.exp(z) / jnp.exp(z).sum(1, keepdims=True) - one_hot(z, y)


def slack(z, y, margin):
    """Δ + z_k − z_y."""
    return margin + z - jnp.sum(one_hot(z, y) * z, axis=1, keepdims=True)


def violations(z, y, margin):
    return (slack(z, y, margin) > 0) * (1 - one_hot(z, y))


def hinge_slope(z, y, *, margin=1.0, counted=True):
    violated = violations(z, y, margin)
    return violated - one_hot(z, y) * (violated.sum(1, keepdims=True) if counted else 1.0)


def own_class_counted(z, y, *, margin=1.0):
    """Class y violates its own margin: 1 too many is taken off, and 1 put on."""
    violated = (slack(z, y, margin) > 0).astype(z.dtype)
    return violated * (1 - one_hot(z, y)) - one_hot(z, y) * violated.sum(1, keepdims=True)


def any_rival(z, y, *, margin=1.0):
    """The argmax runs over y as well: where y wins there is no rival, and the slopes cancel."""
    rival = one_hot(z, jnp.argmax(z, axis=1))
    violated = (slack(z, y, margin) * (1 - one_hot(z, y))).max(1, keepdims=True) > 0
    return jnp.where(violated, rival - one_hot(z, y), jnp.zeros_like(z))


def always_violated(z, y, *, margin=1.0):
    others = jnp.where(one_hot(z, y) > 0, jnp.full_like(z, -jnp.inf), z)
    return one_hot(z, jnp.argmax(others, axis=1)) - one_hot(z, y)


def _error(name, defect, rule, **fields) -> Mutant:
    def ruled(g, a, t):
        return rule(g.reshape((-1,) + (1,) * (a.ndim - 1)), a, t)

    return Mutant(f"squared error: {name}", "squared_error", lambda: with_rule(HAND.squared_error, ruled), defect,
                  cases=(PAIR,), **fields)  # fmt: skip


CE, WW, CS = "softmax_cross_entropy", "weston_watkins_hinge", "crammer_singer_hinge"
MUTANTS = (
    _of_scores(CE, "smoothing ignored", "p − onehot", lambda z, y, *, label_smoothing=0.0: jax.nn.softmax(
        z, axis=1) - one_hot(z, y), SMOOTH),
    _of_scores(CE, "no smoothing to ignore", "the same without smoothing", lambda z, y, *, label_smoothing=0.0:
               jax.nn.softmax(z, axis=1) - one_hot(z, y), PLAIN, equivalent=True),
    _of_scores(CE, "no ε/K", "p − (1 − ε) onehot", lambda z, y, *, label_smoothing=0.0: jax.nn.softmax(
        z, axis=1) - (1 - label_smoothing) * one_hot(z, y), SMOOTH),
    _of_scores(CE, "averaged", "the mean over the batch", lambda z, y, *, label_smoothing=0.0: (jax.nn.softmax(
        z, axis=1) - one_hot(z, y)) / len(z), PLAIN),
    _of_scores(CE, "byte labels", "class 256 is class 0", byte_labels, MANY),
    _of_scores(CE, "byte labels, few classes", "the same with 5 classes", byte_labels, PLAIN, equivalent=True),
    _of_scores(CE, "overflow", "the largest logit is not taken out", unshifted, LARGE),
    _of_scores(CE, "no overflow", "the same with small logits", unshifted, PLAIN, equivalent=True),
    _of_scores(CE, "label alone", "−onehot, as if of −z_y", lambda z, y, *, label_smoothing=0.0: -one_hot(z, y), PLAIN),
    Mutant(f"{CE}: second order", CE, lambda: corrupted_second_order(CE), "p is a constant to the second derivative",
           cases=(PLAIN,), shows="second order"),
    Mutant(f"{CE}: vmap", CE, lambda: corrupted_under_vmap(CE, lambda d: d / len(d)),
           "the batching rule averages", cases=(PLAIN,), shows="vmap"),
    _of_scores(WW, "not counted", "−1 at y, however many margins are violated", lambda z, y, *, margin=1.0:
               hinge_slope(z, y, margin=margin, counted=False), HINGE),
    _of_scores(WW, "y counted", "y is one of those that violate", own_class_counted, HINGE),
    _of_scores(WW, "margin ignored", "the margin is 1", lambda z, y, *, margin=1.0: hinge_slope(z, y), WIDE_MARGIN),
    _of_scores(WW, "margin of 1", "the same where it is", lambda z, y, *, margin=1.0: hinge_slope(z, y), HINGE,
               equivalent=True),
    _of_scores(CS, "rival may be y", "the argmax includes y", any_rival, CLOSE),
    _of_scores(CS, "never satisfied", "±1 also where the margin is kept", always_violated, EASY),
    _of_scores(CS, "all violators", "+1 at every violator", lambda z, y, *, margin=1.0: hinge_slope(
        z, y, margin=margin), RIVALS),
    _error("no factor 2", "a − t", lambda g, a, t: (g * (a - t), g * (t - a))),
    _error("sign of t", "∂L/∂t = ∂L/∂a", lambda g, a, t: (2 * g * (a - t), 2 * g * (a - t))),
    _error("averaged", "the mean over the entries", lambda g, a, t: (2 * g * (a - t) / a[0].size,
                                                                     2 * g * (t - a) / a[0].size)),
    _error("t constant", "no gradient in t", lambda g, a, t: (2 * g * (a - t), jnp.zeros_like(t))),
)  # fmt: skip


# --- right after all --------------------------------------------------------------------------------------------------


def entropy_by_log_softmax(z, y, *, label_smoothing=0.0):
    """−Σ q log p, under autodiff of the log-softmax with its hand-derived gradient."""
    q = (1 - label_smoothing) * one_hot(z, y) + label_smoothing / z.shape[1]
    return -jnp.sum(q * HAND.log_softmax(z), axis=1)


def hinge_by_margins(g, z, y, *, margin=1.0):
    return g[:, None] * hinge_slope(z, y, margin=margin), None


def error_by_product(a, t):
    return jnp.einsum("nk,nk->n", a - t, a - t)


CONTROLS = (
    Control("cross-entropy by log-softmax", "softmax_cross_entropy", lambda: entropy_by_log_softmax, "composition"),
    Control("hinge by margins", "weston_watkins_hinge", ruled("weston_watkins_hinge", hinge_by_margins), "counted"),
    Control("squared error by a product", "squared_error", lambda: error_by_product, "autodiff of einsum",
            (PAIR,)),
)  # fmt: skip
