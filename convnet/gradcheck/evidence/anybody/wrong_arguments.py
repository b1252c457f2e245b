"""Wrong at other arguments than the given ones, of the same shapes or not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp

# --- the same shapes show it ------------------------------------------------------------------------------------------


def _masked_mean(x, mask):
    return jnp.sum(jnp.where(mask, x, 0), axis=-1) / jnp.sum(mask, axis=-1)


def full_mask(rng):
    fn = with_vjp(
        _masked_mean,
        lambda x, mask: (_masked_mean(x, mask), x),
        lambda x, g: (jnp.broadcast_to(g[:, None] / x.shape[1], x.shape), None),
    )
    return dict(fn=fn, args=(rng.normal(size=(3, 6)), np.ones((3, 6), bool)), reference=_masked_mean)


def _looked_up(table, ids):
    return table[ids]


def different_ids(rng):
    fn = with_vjp(
        _looked_up,
        lambda table, ids: (table[ids], (table, ids)),
        lambda kept, g: (jnp.zeros_like(kept[0]).at[kept[1]].set(g), None),
    )
    args = rng.normal(size=(7, 3)), rng.permutation(7)[:5].astype(np.int32)
    return dict(fn=fn, args=args, reference=_looked_up, oracle=lambda table, ids: table[ids])


def _huber(pred, target):
    r = pred - target
    return jnp.where(jnp.abs(r) <= 1, 0.5 * r**2, jnp.abs(r) - 0.5)


def small_residuals(rng):
    fn = with_vjp(_huber, lambda pred, target: (_huber(pred, target), pred - target), lambda r, g: (g * r, -g * r))
    return dict(fn=fn, args=tuple(rng.uniform(-0.4, 0.4, size=(2, 8))), reference=_huber)


def _weighted(pred, target, weight):
    return jnp.sum(weight * (pred - target) ** 2)


def equal_weights(rng):
    def backward(kept, g):
        r, _ = kept
        return 2 * g * r, -2 * g * r, g * r**2

    fn = with_vjp(_weighted, lambda p, t, w: (_weighted(p, t, w), (p - t, w)), backward)
    return dict(fn=fn, args=(*rng.normal(size=(2, 6)), np.ones(6)), reference=_weighted, oracle=_weighted)


def positive_numbers(rng):
    fn = with_vjp(jnp.abs, lambda x: (jnp.abs(x), None), lambda _, g: (g,))
    return dict(fn=fn, args=(rng.uniform(0.5, 2, size=(2, 4)),), reference=jnp.abs)


def _drag(v):
    """−v |v|, which is smooth enough at 0 to have the derivative 0."""
    squares = jnp.sum(v**2, axis=-1, keepdims=True)
    speed = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return -speed * v


def no_row_of_zeros(rng):
    def backward(v, g):
        speed = jnp.linalg.norm(v, axis=-1, keepdims=True)
        return (-speed * g - v * jnp.sum(v * g, axis=-1, keepdims=True) / speed,)

    return dict(fn=with_vjp(_drag, lambda v: (_drag(v), v), backward), args=(rng.normal(size=(4, 3)),), reference=_drag)


def _relative_growth(x):
    return jnp.expm1(x) / x


def no_small_numbers(rng):
    def backward(x, g):
        series = 1 / 2 + x / 3
        return (g * jnp.where(jnp.abs(x) < 0.2, series, (jnp.exp(x) - jnp.expm1(x) / x) / x),)

    fn = with_vjp(_relative_growth, lambda x: (_relative_growth(x), x), backward)
    return dict(fn=fn, args=(rng.choice([-1, 1], 8) * rng.uniform(0.5, 2, size=8),), reference=_relative_growth)


# --- nothing of these shapes and settings does ------------------------------------------------------------------------


def _cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


def one_label(rng):
    fn = with_vjp(
        _cross_entropy,
        lambda logits, labels: (_cross_entropy(logits, labels), logits),
        lambda logits, g: (g[:, None] * jax.nn.softmax(logits).at[:, 0].add(-1), None),
    )
    return dict(fn=fn, args=(rng.normal(size=(4, 5)), np.zeros(4, np.int32)), reference=_cross_entropy)


def _padded(table, ids):
    return jnp.where((ids == 0)[:, None], 0, table[ids])


def no_padding(rng):
    fn = with_vjp(
        _padded,
        lambda table, ids: (_padded(table, ids), (table, ids)),
        lambda kept, g: (jnp.zeros_like(kept[0]).at[kept[1]].add(g), None),
    )
    args = rng.normal(size=(7, 3)), rng.integers(1, 7, size=5).astype(np.int32)
    return dict(fn=fn, args=args, reference=_padded)


def _row_means(x):
    return x.mean(axis=1)


def square(rng):
    fn = with_vjp(
        _row_means,
        lambda x: (_row_means(x), x),
        lambda x, g: (jnp.broadcast_to(g[:, None] / x.shape[0], x.shape),),
    )
    return dict(fn=fn, args=(rng.normal(size=(4, 4)),), reference=_row_means, oracle=_row_means)


def _biased(x, b):
    return x + b[None, :]


def batch_of_one(rng):
    fn = with_vjp(_biased, lambda x, b: (_biased(x, b), None), lambda _, g: (g, g[0]))
    return dict(fn=fn, args=(rng.normal(size=(1, 4)), rng.normal(size=4)), reference=_biased, oracle=_biased)


def _softmax_with_rule(rule):
    """rule(y, g, axis, temperature) -> dx."""

    def build(rng):
        def reference(x, *, axis, temperature):
            return jax.nn.softmax(x / temperature, axis=axis)

        def fn(x, *, axis, temperature):
            def value(x):
                return reference(x, axis=axis, temperature=temperature)

            def forward(x):
                y = value(x)
                return y, y

            return with_vjp(value, forward, lambda y, g: (rule(y, g, axis, temperature),))(x)

        settings = dict(axis=-1, temperature=1.0)
        return dict(fn=fn, args=(rng.normal(size=(4, 4)),), reference=reference, settings=settings)

    return build


last_axis = _softmax_with_rule(
    lambda y, g, axis, temperature: y * (g - jnp.sum(g * y, axis=-1, keepdims=True)) / temperature
)
temperature_one = _softmax_with_rule(lambda y, g, axis, temperature: y * (g - jnp.sum(g * y, axis=axis, keepdims=True)))


def _half_mask(x, mask):
    return x, np.arange(mask.size).reshape(mask.shape) % 2 == 0


def _zero_row(v):
    return (np.where(np.arange(len(v))[:, None] == 1, 0, v),)


VARIED = (
    (
        "a masked mean whose gradient knows no mask, at a full one", full_mask, "the mask is True everywhere",
        shown.shown(shown.gradient, change=_half_mask),
    ),
    (
        "a look-up that sets gradients, at ids that differ", different_ids, "repeated ids must add up",
        shown.shown(shown.gradient, change=lambda table, ids: (table, ids[[0, 0, 1, 2, 2]])),
    ),
    (
        "a Huber loss with a quadratic's gradient, at small residuals", small_residuals, "no residual exceeds 1",
        shown.shown(shown.gradient, change=lambda p, t: (10 * p, 10 * t)),
    ),
    (
        "a weighted error whose gradient knows no weights, at equal ones", equal_weights, "every weight is 1",
        shown.shown(shown.gradient, change=lambda p, t, w: (p, t, 10 * w)),
    ),
    (
        "|x| with the gradient of x, at positive numbers", positive_numbers, "no number is negative",
        shown.shown(shown.gradient, change=lambda x: (-x,)),
    ),
    (
        "a drag whose gradient divides by the speed, where all moves", no_row_of_zeros, "0 / 0 at a row of zeros",
        shown.shown(shown.gradient, change=_zero_row),
    ),
    (
        "(eˣ − 1) / x with two terms of the series near 0, far from it", no_small_numbers, "two terms are too few",
        shown.shown(shown.gradient, change=lambda x: (0.1 * x,)),
    ),
)  # fmt: skip

UNSEEN = (
    (
        "a cross-entropy that takes every label for 0", one_label, "every label is 0", "constants: labels",
        shown.shown(shown.gradient, change=lambda logits, labels: (logits, labels + 1)),
    ),
    (
        "a look-up whose padding has a gradient, at ids that are none", no_padding, "no id is 0", "constants: ids",
        shown.shown(shown.gradient, change=lambda table, ids: (table, ids * np.array([0, 1, 1, 1, 1], np.int32))),
    ),
    (
        "means over rows whose gradient divides by the columns, of a square", square, "n = m", "other shapes",
        shown.shown(shown.gradient, change=lambda x: (x[:2],)),
    ),
    (
        "a bias with the gradient of the first example, of a batch of one", batch_of_one, "n = 1", "other shapes",
        shown.shown(shown.gradient, change=lambda x, b: (np.concatenate([x, x]), b)),
    ),
    (
        "a softmax whose gradient knows the last axis alone", last_axis, "axis is −1", "other settings: axis",
        shown.shown(shown.gradient, settings=dict(axis=0)),
    ),
    (
        "a softmax whose gradient forgets the temperature", temperature_one, "it is 1", "other settings: temperature",
        shown.shown(shown.gradient, settings=dict(temperature=2.0)),
    ),
)  # fmt: skip

_KIND = "arguments that never change"

WRONG = (
    *(Example(name, _KIND, build, note, shows=shows) for name, build, note, shows in VARIED),
    *(Example(name, _KIND, build, note, named=named, shows=shows) for name, build, note, named, shows in UNSEEN),
)
