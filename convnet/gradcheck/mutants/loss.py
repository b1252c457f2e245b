"""Wrong gradients of losses, of log Σ exp, and of what is asked of whole images."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.cases.case import Case, Mask, gaussian
from convnet.gradcheck.mutants.planting import (
    Mutant,
    corrupted,
    corrupted_in,
    corrupted_second_order,
    corrupted_under_vmap,
    scaled,
    with_rule,
)
from convnet.ops import HAND

# --- cases ------------------------------------------------------------------------------------------------------------


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
LAST_AXIS = matrix("logsumexp", "axis −1")


def image(op: str, name: str, shape: tuple = (2, 4, 5, 2), **settings) -> Case:
    return Case(op, name, lambda rng: (gaussian(rng, shape),), settings, terms=2 * shape[1] * shape[2])


VARIATION = image("total_variation", "β = 1", beta=1.0, eps=1e-2)
SQUARED_VARIATION = image("total_variation", "β = 2")
FEATURES = image("gram_matrix", "features", (2, 3, 4, 3))
FEATURE = image("gram_matrix", "one channel", (2, 3, 4, 1))

# --- of scores --------------------------------------------------------------------------------------------------------


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


# --- log Σ exp --------------------------------------------------------------------------------------------------------


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


# --- of images --------------------------------------------------------------------------------------------------------


def differences(x):
    """(x[h+1] − x[h], x[w+1] − x[w]), 0 past the border."""
    a = jnp.concatenate([x[:, 1:] - x[:, :-1], jnp.zeros_like(x[:, :1])], axis=1)
    b = jnp.concatenate([x[:, :, 1:] - x[:, :, :-1], jnp.zeros_like(x[:, :, :1])], axis=2)
    return a, b


def gathered(u, v):
    """u[h−1] − u[h] + v[w−1] − v[w], nothing from past the border: the adjoint of `differences`."""
    down = jnp.concatenate([jnp.zeros_like(u[:, :1]), u[:, :-1]], axis=1)
    right = jnp.concatenate([jnp.zeros_like(v[:, :, :1]), v[:, :, :-1]], axis=2)
    return down - u + right - v


def wrapped(u, v):
    """The adjoint of periodic differences, taken inwards: the last row and column keep their own."""
    return jnp.roll(u, 1, 1) - u + jnp.roll(v, 1, 2) - v


def no_border(u, v):
    """The first row and column, which have no neighbour before them, are left out."""
    return gathered(u, v).at[:, 0].set(0).at[:, :, 0].set(0)


def _variation(name, defect, *cases, eps_kept=True, exponent=-2.0, factor=True, adjoint=gathered, **fields) -> Mutant:
    def rule(g, x, *, beta=2.0, eps=1e-8):
        a, b = differences(x)
        m = jnp.sqrt(a * a + b * b + (eps if eps_kept else 0.0))
        slope = (beta if factor else 1.0) * jnp.where(m > 0, m, jnp.ones_like(m)) ** (beta + exponent)
        return (g[:, None, None, None] * adjoint(slope * a, slope * b),)

    return Mutant(f"total variation: {name}", "total_variation", lambda: with_rule(HAND.total_variation, rule), defect,
                  cases=cases or (VARIATION,), **fields)  # fmt: skip


def _gram(name, defect, rule, *cases, **fields) -> Mutant:
    def ruled(g, f):
        n, h, w, c = f.shape
        return (rule(g, f.reshape(n, h * w, c)).reshape(f.shape) / (h * w),)

    return Mutant(f"gram: {name}", "gram_matrix", lambda: with_rule(HAND.gram_matrix, ruled), defect,
                  cases=cases or (FEATURES,), **fields)  # fmt: skip


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
    _variation("no border", "the first row and column get none", adjoint=no_border),
    _variation("wrapped", "a periodic border, which changes nothing: the last differences are 0", adjoint=wrapped,
               equivalent=True),
    _variation("ε forgotten", "m without ε", eps_kept=False),
    _variation("exponent", "m^(β − 1) for m^(β − 2)", exponent=-1.0),
    _variation("β forgotten", "the factor β is missing", SQUARED_VARIATION, factor=False),
    _variation("β = 1 forgotten", "the same at β = 1", factor=False, equivalent=True),
    _gram("one side", "F g for F (g + gᵀ)", lambda g, f: f @ g),
    _gram("symmetric", "2 F g, right for a symmetric g alone", lambda g, f: 2 * f @ g),
    _gram("symmetric, one channel", "the same where every g is symmetric", lambda g, f: 2 * f @ g, FEATURE,
          equivalent=True),
    _gram("not divided", "1 / HW is missing", lambda g, f: f.shape[1] * (f @ (g + jnp.swapaxes(g, 1, 2)))),
    Mutant("gram: sign", "gram_matrix", lambda: corrupted("gram_matrix", scaled(-1.0)), "the sign is flipped",
           cases=(FEATURES,)),
)  # fmt: skip
