"""Right where the gradient is 0 because nothing depends on the argument, and where the plain forward is worse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody.example import Example, with_jvp, with_vjp

# --- zero by invariance -----------------------------------------------------------------------------------------------


def _batch_norm(x):
    axes = tuple(range(x.ndim - 1))
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + 1e-5)


def _batch_norm_back(x, g):
    axes = tuple(range(x.ndim - 1))
    centred = x - x.mean(axis=axes, keepdims=True)
    inverse = lax.rsqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + 1e-5)
    y = centred * inverse
    return inverse * (g - g.mean(axis=axes, keepdims=True) - y * jnp.mean(g * y, axis=axes, keepdims=True))


def bias_before_batch_norm(rng):
    norm = with_vjp(_batch_norm, lambda x: (_batch_norm(x), x), lambda x, g: (_batch_norm_back(x, g),))

    def layer(norm):
        return lambda x, w, b: norm(x @ w + b[None, :])

    args = rng.normal(size=(6, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    return dict(fn=layer(norm), args=args, reference=layer(_batch_norm))


def convolution_bias_before_batch_norm(rng):
    def fn(x, w, b):
        y = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(_batch_norm(y + b[None, None, None, :]))

    args = rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
    return dict(fn=fn, args=args, reference=fn)


def key_bias(rng):
    def attention(q, k, v, bias):
        scores = q @ (k + bias[None, :]).T / np.sqrt(q.shape[-1])
        return jax.nn.softmax(scores, axis=-1) @ v

    args = *rng.normal(size=(3, 5, 4)), rng.normal(size=4)
    return dict(fn=attention, args=args, reference=attention)


def sum_of_softmax(rng):
    def reference(x):
        e = jnp.exp(x)
        return jnp.sum(e / e.sum(axis=-1, keepdims=True), axis=-1)

    def fn(x):
        return jax.nn.softmax(x, axis=-1).sum(axis=-1)

    return dict(fn=fn, args=(2 * rng.normal(size=(3, 6)),), reference=reference)


def similarities(rng):
    def fn(x):
        unit = x / jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
        return unit @ unit.T

    def oracle(x):
        unit = x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True))
        return unit @ unit.T

    return dict(fn=fn, args=(rng.normal(size=(4, 5)),), reference=fn, oracle=oracle)


# --- faults of the reference ------------------------------------------------------------------------------------------


def large_logits(rng):
    def value(x):
        m = x.max(axis=-1, keepdims=True)
        return (m + jnp.log(jnp.sum(jnp.exp(x - m), axis=-1, keepdims=True)))[:, 0]

    fn = with_vjp(value, lambda x: (value(x), x), lambda x, g: (g[:, None] * jax.nn.softmax(x),))
    args = (800 + 3 * rng.normal(size=(3, 5)),)
    return dict(fn=fn, args=args, reference=lambda x: jnp.log(jnp.sum(jnp.exp(x), axis=-1)))


def tiny_arguments(rng):
    fn = with_jvp(jnp.log1p, lambda x, dx: (jnp.log1p(*x), dx[0] / (1 + x[0])))
    args = (1e-11 * rng.normal(size=6),)
    return dict(fn=fn, args=args, reference=lambda x: jnp.log(1 + x), oracle=np.log1p)


def _rotation(sine, cosine, w):
    """I + sine·W + cosine·W², with W the cross product by w."""
    x, y, z = w
    o = jnp.zeros_like(x)
    cross = jnp.stack([jnp.stack([o, -z, y]), jnp.stack([z, o, -x]), jnp.stack([-y, x, o])])
    return jnp.eye(3, dtype=w.dtype) + sine * cross + cosine * cross @ cross


def small_rotation(rng):
    def by_series(w):
        """Of small angles: sin θ / θ and (1 − cos θ) / θ² to the order θ⁶."""
        t = jnp.sum(w**2)
        return _rotation(1 - t / 6 * (1 - t / 20 * (1 - t / 42)), 0.5 - t / 24 * (1 - t / 30 * (1 - t / 56)), w)

    def rodrigues(w):
        t = jnp.sqrt(jnp.sum(w**2))
        return _rotation(jnp.sin(t) / t, (1 - jnp.cos(t)) / t**2, w)

    return dict(fn=by_series, args=(1e-6 * rng.normal(size=3),), reference=rodrigues)


def length_of_huge_numbers(rng):
    def value(x):
        largest = jnp.max(jnp.abs(x))
        return largest * jnp.sqrt(jnp.sum((x / largest) ** 2))

    fn = with_vjp(value, lambda x: (value(x), (x, value(x))), lambda kept, g: (g * (kept[0] / kept[1]),))
    args = (1e200 * rng.normal(size=5),)
    return dict(fn=fn, args=args, reference=lambda x: jnp.sqrt(jnp.sum(x**2)))


def cardinal_sine(rng):
    def value(x):
        return jnp.where(x == 0, 1, jnp.sin(x) / jnp.where(x == 0, 1, x))

    def tangent(primals, tangents):
        (x,), (dx,) = primals, tangents
        near = jnp.abs(x) < 0.03  # its slope is a series there, whose own derivative at 0 is −1/3
        safe = jnp.where(near, 1, x)
        series = -x / 3 + x**3 / 30 - x**5 / 840
        return value(x), jnp.where(near, series, (jnp.cos(x) - jnp.sin(x) / safe) / safe) * dx

    x = rng.uniform(0.5, 3, size=6)
    x[2] = 0
    return dict(fn=with_jvp(value, tangent), args=(x,), reference=lambda x: jnp.where(x == 0, 1, jnp.sin(x) / x))


_ZERO, _REFERENCE = "zero by invariance", "faults of the reference"

RIGHT = (
    Example("a dense bias before batch norm", _ZERO, bias_before_batch_norm, "the mean takes the bias away"),
    Example(
        "a convolution's bias before batch norm", _ZERO, convolution_bias_before_batch_norm,
        "the mean takes the bias away",
    ),
    Example("a key bias of attention", _ZERO, key_bias, "softmax takes away what all scores of a query share"),
    Example("the sum of a softmax", _ZERO, sum_of_softmax, "it is 1"),
    Example("cosine similarities", _ZERO, similarities, "the diagonal is 1: one-hot cotangents there give 0"),
    Example("log Σ exp of large logits", _REFERENCE, large_logits, "the reference overflows at 800"),
    Example("log1p of tiny numbers", _REFERENCE, tiny_arguments, "log(1 + x) has lost most digits of x"),
    Example("a small rotation", _REFERENCE, small_rotation, "Rodrigues' 1 − cos θ has no digits left at 1e-6"),
    Example("a length of huge numbers", _REFERENCE, length_of_huge_numbers, "the reference overflows at 1e200"),
    Example("sin x / x with a 0", _REFERENCE, cardinal_sine, "autodiff of the reference is NaN there"),
)  # fmt: skip
