"""Wrong at other constants, settings and shapes than the given ones: where none is tried, it must be named."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def _weighted(pred, target, weight):
    return jnp.sum(weight * (pred - target) ** 2)


def equal_weights(rng):
    def backward(kept, g):
        return 2 * g * kept, -2 * g * kept, g * kept**2

    fn = with_vjp(_weighted, lambda p, t, w: (_weighted(p, t, w), p - t), backward)
    args = *rng.normal(size=(2, 6)), np.ones(6)
    return dict(fn=fn, args=args, argnums=(0, 1), reference=_weighted)


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


def first_key(rng):
    def dropout(key, x):
        return jnp.where(jax.random.bernoulli(key, 0.6, x.shape), x / 0.6, 0)

    def backward(kept, g):
        del kept
        return None, dropout(jnp.zeros(2, jnp.uint32), g)  # instead of the key that was given

    fn = with_vjp(dropout, lambda key, x: (dropout(key, x), key), backward)
    return dict(fn=fn, args=(np.zeros(2, np.uint32), rng.normal(size=12)), reference=dropout)


def _with_running_statistics(x, scale, mean, var):
    return scale[None, :] * (x - mean[None, :]) / jnp.sqrt(var[None, :] + 1e-5)


def fresh_statistics(rng):
    def backward(kept, g):
        x, scale, var = kept
        inverse = 1 / jnp.sqrt(var[None, :] + 1e-5)
        return g * scale[None, :] * inverse, jnp.sum(g * x * inverse, axis=0), None, None  # x − mean

    fn = with_vjp(
        _with_running_statistics,
        lambda x, scale, mean, var: (_with_running_statistics(x, scale, mean, var), (x, scale, var)),
        backward,
    )
    args = rng.normal(size=(4, 3)), rng.normal(size=3), np.zeros(3), np.ones(3)
    return dict(fn=fn, args=args, argnums=(0, 1), reference=_with_running_statistics)


WRONG = tuple(
    Example(name, "arguments that never change", build, note, named=named, shows=shows)
    for name, build, note, named, shows in (
    (
        "a weighted error whose gradient knows no weights, at equal ones", equal_weights, "every weight is 1",
        "constants: weight", shown.shown(shown.gradient, change=lambda p, t, w: (p, t, 10 * w)),
    ),
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
    (
        "dropout whose gradient draws with key 0, at key 0", first_key, "the key is 0", "constants: key",
        shown.shown(shown.gradient, change=lambda key, x: (key + np.uint32(1), x)),
    ),
    (
        "a batch norm whose gradient forgets the running mean, at a fresh one", fresh_statistics, "the mean is 0",
        "constants: mean",
        shown.shown(shown.gradient, change=lambda x, scale, mean, var: (x, scale, mean + 1, var)),
    ),
))  # fmt: skip
