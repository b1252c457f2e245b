"""Wrong at other arguments than the given ones: other numbers of the same shapes show it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


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


def sorted_numbers(rng):
    def backward(x, g):
        return (jnp.zeros_like(x).at[x.size // 2].set(g),)

    fn = with_vjp(lambda x: jnp.sort(x)[x.size // 2], lambda x: (jnp.sort(x)[x.size // 2], x), backward)
    return dict(fn=fn, args=(np.sort(rng.normal(size=7)),), reference=jnp.median)


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
    (
        "a median whose gradient goes to the middle, of sorted numbers", sorted_numbers, "no number is out of order",
        shown.shown(shown.gradient, change=lambda x: (np.roll(x, 2),)),
    ),
)  # fmt: skip

WRONG = tuple(
    Example(name, "arguments that never change", build, note, shows=shows) for name, build, note, shows in VARIED
)
