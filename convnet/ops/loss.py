"""Losses per example, with hand-derived gradients. The mean over a batch is taken by whoever trains.

Labels are integers in [0, K). One outside that range cannot be refused under jit, so its loss is NaN, which stops the
training loop, rather than a number that looks right.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from convnet.ops.checks import check_array, check_same_dtype
from convnet.ops.precision import in_float32
from convnet.ops.primitive import divided_as
from convnet.ops.softmax import log_softmax_forward, softmax


def _check(logits: Array, labels: Array, *, classes: int) -> None:
    check_array("logits", logits, "N K")
    check_array("labels", labels, "N", floating=False)
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}: expected integers ({logits.shape[0]},), one per example"
        )
    if logits.shape[1] < classes:
        raise ValueError(f"logits have shape {tuple(logits.shape)}: expected at least {classes} classes")


def _one_hot(logits: Array, labels: Array) -> Array:
    """bool [N, K]: the label's class."""
    labels = jnp.asarray(labels)
    wide = labels.dtype if labels.dtype.itemsize >= 4 else jnp.int32  # as a uint8, class 300 would be 44
    hot = labels.astype(wide)[:, None] == jnp.arange(logits.shape[1], dtype=wide)[None]
    return divided_as(hot, logits)


def _or_nan(loss: Array, logits: Array, labels: Array) -> Array:
    known = _one_hot(logits, labels).any(axis=1)
    unknown = jnp.sqrt(jnp.where(known, 0, -1).astype(loss.dtype))  # NaN only where it is used: see `jax.debug_nans`
    return jnp.where(known, loss, unknown)


def _of_label(logits: Array, labels: Array) -> Array:
    """z_y: [N, 1]."""
    return jnp.sum(jnp.where(_one_hot(logits, labels), logits, jnp.zeros_like(logits)), axis=1, keepdims=True)


# --- softmax cross-entropy --------------------------------------------------------------------------------------------


def _targets(logits: Array, labels: Array, smoothing: float) -> Array:
    hot = _one_hot(logits, labels).astype(logits.dtype)
    smoothing = float(smoothing)  # a NumPy scalar would promote
    return (1 - smoothing) * hot + smoothing / logits.shape[1]


def softmax_cross_entropy_forward(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """`softmax_cross_entropy` without our gradient."""
    _check(logits, labels, classes=1)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}: expected a number in [0, 1]")
    log_p = log_softmax_forward(logits)
    q = _targets(logits, labels, label_smoothing)
    log_p = jnp.where(q == 0, jnp.zeros_like(q), log_p)  # log p of finite logits can overflow to −∞
    return _or_nan(-jnp.sum(q * log_p, axis=1), logits, labels)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _softmax_cross_entropy(logits, labels, smoothing):
    return softmax_cross_entropy_forward(logits, labels, label_smoothing=smoothing)


@_softmax_cross_entropy.defjvp
def _softmax_cross_entropy_jvp(smoothing, primals, tangents):
    (z, y), (dz, _) = primals, tangents
    p = in_float32(lambda z: softmax(z, None, 1), z)
    slope = p - _targets(z, y, smoothing)
    return _softmax_cross_entropy(z, y, smoothing), jnp.sum(slope * dz, axis=1)


def softmax_cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """L = −Σ_k q_k log p_k with p = softmax(z) and q = (1 − ε)·onehot(y) + ε/K.

    logits: [N, K], labels: [N] integers -> [N]; ε = label_smoothing (Szegedy et al., CVPR 2016). Stable for any finite
    logits: the largest is subtracted before exp.

    Gradient: ∂ log p_k / ∂z_j = 1[j = k] − p_j, so ∂L/∂z_j = p_j Σ_k q_k − q_j = p_j − q_j; each row sums to 0.
    Every transform, any order.

    Raises ValueError for wrong ranks, labels that are not integers, a smoothing outside [0, 1].
    """
    return _softmax_cross_entropy(logits, labels, label_smoothing)


softmax_cross_entropy.forward = softmax_cross_entropy_forward


# --- multi-class support vector machines ------------------------------------------------------------------------------


def _violations(logits: Array, labels: Array, margin: float) -> Array:
    """Δ + z_k − z_y for k ≠ y, and 0 at y itself, which violates nothing: [N, K]."""
    slack = float(margin) + (logits - _of_label(logits, labels))
    return jnp.where(_one_hot(logits, labels), jnp.zeros_like(slack), slack)


def weston_watkins_hinge_forward(logits: Array, labels: Array, *, margin: float = 1.0) -> Array:
    """`weston_watkins_hinge` without our gradient."""
    _check(logits, labels, classes=2)
    slack = _violations(logits, labels, margin)
    return _or_nan(jnp.sum(jnp.where(slack <= 0, jnp.zeros_like(slack), slack), axis=1), logits, labels)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _weston_watkins_hinge(logits, labels, margin):
    return weston_watkins_hinge_forward(logits, labels, margin=margin)


@_weston_watkins_hinge.defjvp
def _weston_watkins_hinge_jvp(margin, primals, tangents):
    (z, y), (dz, _) = primals, tangents
    violated = (_violations(z, y, margin) > 0).astype(z.dtype)
    count = jnp.sum(violated, axis=1, keepdims=True)
    slope = jnp.where(_one_hot(z, y), -count, violated)
    return _weston_watkins_hinge(z, y, margin), jnp.sum(slope * dz, axis=1)


def weston_watkins_hinge(logits: Array, labels: Array, *, margin: float = 1.0) -> Array:
    """L = Σ_{k ≠ y} max(0, Δ + z_k − z_y), Δ = margin (Weston & Watkins, ESANN 1999).

    logits: [N, K], labels: [N] integers -> [N].

    Gradient: ∂L/∂z_k = 1[Δ + z_k − z_y > 0] for k ≠ y, and ∂L/∂z_y = −(number of violated margins).
    Convention: slope 0 where a margin is met exactly. Every transform; second derivatives are 0.

    Raises ValueError for wrong ranks, labels that are not integers, fewer than two classes.
    """
    return _weston_watkins_hinge(logits, labels, margin)


weston_watkins_hinge.forward = weston_watkins_hinge_forward


def crammer_singer_hinge_forward(logits: Array, labels: Array, *, margin: float = 1.0) -> Array:
    """`crammer_singer_hinge` without our gradient."""
    _check(logits, labels, classes=2)
    slack = _violations(logits, labels, margin)
    worst = jnp.take_along_axis(slack, jnp.argmax(slack, axis=1)[:, None], axis=1)[:, 0]
    return _or_nan(jnp.where(worst <= 0, jnp.zeros_like(worst), worst), logits, labels)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _crammer_singer_hinge(logits, labels, margin):
    return crammer_singer_hinge_forward(logits, labels, margin=margin)


@_crammer_singer_hinge.defjvp
def _crammer_singer_hinge_jvp(margin, primals, tangents):
    (z, y), (dz, _) = primals, tangents
    slack = _violations(z, y, margin)
    rival = jnp.argmax(slack, axis=1)
    slope = _one_hot(z, rival).astype(z.dtype) - _one_hot(z, y).astype(z.dtype)
    slope = jnp.where(slack.max(axis=1, keepdims=True) > 0, slope, jnp.zeros_like(slope))
    return _crammer_singer_hinge(z, y, margin), jnp.sum(slope * dz, axis=1)


def crammer_singer_hinge(logits: Array, labels: Array, *, margin: float = 1.0) -> Array:
    """L = max(0, Δ + max_{k ≠ y} z_k − z_y), Δ = margin (Crammer & Singer, JMLR 2001).

    logits: [N, K], labels: [N] integers -> [N].

    Gradient, where the margin is violated: +1 at the strongest rival argmax_{k ≠ y} z_k, −1 at y; else 0.
    Conventions: the first of equal rivals; slope 0 where the margin is met exactly. Every transform; second derivatives
    are 0.

    Raises ValueError for wrong ranks, labels that are not integers, fewer than two classes.
    """
    return _crammer_singer_hinge(logits, labels, margin)


crammer_singer_hinge.forward = crammer_singer_hinge_forward


# --- regression -------------------------------------------------------------------------------------------------------


def squared_error_forward(pred: Array, target: Array) -> Array:
    """`squared_error` without our gradient."""
    pred, target = check_array("pred", pred), check_array("target", target)
    check_same_dtype(pred=pred, target=target)
    if pred.shape != target.shape or pred.ndim < 1:
        raise ValueError(f"pred has shape {tuple(pred.shape)}, target {tuple(target.shape)}: expected the same, [N, …]")
    return jnp.sum((pred - target) ** 2, axis=tuple(range(1, pred.ndim)))


@jax.custom_jvp
def squared_error(pred: Array, target: Array) -> Array:
    """L = Σ (pred − target)² over all axes but the first, without a factor ½.

    pred, target: [N, …] -> [N].

    Gradient: ∂L/∂pred = 2 (pred − target) = −∂L/∂target. Every transform, any order.

    Raises ValueError for different shapes or dtypes.
    """
    return squared_error_forward(pred, target)


@squared_error.defjvp
def _squared_error_jvp(primals, tangents):
    (a, t), (da, dt) = primals, tangents
    return squared_error(a, t), jnp.sum(2 * (a - t) * (da - dt), axis=tuple(range(1, a.ndim)))


squared_error.forward = squared_error_forward
