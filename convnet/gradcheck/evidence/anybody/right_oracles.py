"""Right, with an oracle that is a right value and no analytic function: a complex step gets wrong slopes, or none."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def huber_by_abs(rng):
    def fn(r):
        return jnp.where(jnp.abs(r) <= 1, 0.5 * r**2, jnp.abs(r) - 0.5)

    def oracle(r):
        return np.where(np.abs(r) <= 1, 0.5 * np.abs(r) ** 2, np.abs(r) - 0.5)

    return dict(fn=fn, args=(2 * rng.normal(size=8),), reference=fn, oracle=oracle)


def norm_by_numpy(rng):
    def value(x):
        return jnp.sqrt(jnp.sum(x**2, axis=-1))

    fn = with_vjp(value, lambda x: (value(x), x), lambda x, g: (g[:, None] * x / value(x)[:, None],))
    return dict(fn=fn, args=(rng.normal(size=(3, 4)),), oracle=lambda x: np.linalg.norm(x, axis=-1))


def variance_by_numpy(rng):
    def backward(x, g):
        return (2 * g[:, None] * (x - x.mean(axis=-1, keepdims=True)) / x.shape[-1],)

    fn = with_vjp(lambda x: jnp.var(x, axis=-1), lambda x: (jnp.var(x, axis=-1), x), backward)
    return dict(fn=fn, args=(rng.normal(size=(3, 5)),), oracle=lambda x: np.var(x, axis=-1))


def moving_average_into_a_buffer(rng):
    def fn(x):
        return (x[:-2] + x[1:-1] + x[2:]) / 3

    def oracle(x):
        y = np.zeros(len(x) - 2)
        for i in range(len(y)):
            y[i] = x[i : i + 3].mean()
        return y

    return dict(fn=fn, args=(rng.normal(size=9),), oracle=oracle)


def largest_and_its_place(rng):
    def fn(x):
        return jnp.max(x, axis=-1), jnp.argmax(x, axis=-1)

    return dict(fn=fn, args=(rng.normal(size=(3, 6)),), oracle=lambda x: (np.max(x, axis=-1), np.argmax(x, axis=-1)))


def gelu_by_math(rng):
    def fn(x):
        return x * (1 + lax.erf(x / math.sqrt(2))) / 2

    def oracle(x):
        return np.array([float(v) * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])

    return dict(fn=fn, args=(rng.normal(size=7),), reference=fn, oracle=oracle)


def leaky_by_comparison(rng):
    def fn(x):
        return jax.nn.leaky_relu(x, 0.1)

    return dict(fn=fn, args=(rng.choice([-1, 1], 8) * rng.uniform(0.2, 2, 8),), oracle=lambda x: np.maximum(x, 0.1 * x))


def convolution_by_scipy(rng):
    from scipy import ndimage

    def fn(x, w):
        return jnp.convolve(x, w, mode="same")

    args = rng.normal(size=9), rng.normal(size=3)
    return dict(fn=fn, args=args, oracle=lambda x, w: ndimage.convolve1d(x.real, w.real, mode="constant"))


RIGHT = tuple(
    Example(name, "oracles that break the complex step", build, note)
    for name, build, note in (
        ("a Huber loss, its oracle by np.abs", huber_by_abs, "np.abs drops the imaginary part"),
        ("row norms, their oracle by np.linalg.norm", norm_by_numpy, "a norm of complex numbers is real"),
        ("variances, their oracle by np.var", variance_by_numpy, "a variance of complex numbers is real"),
        ("a moving average, its oracle a loop into a buffer", moving_average_into_a_buffer, "the buffer holds floats"),
        ("a maximum and its place, with an oracle for both", largest_and_its_place, "one output is an integer"),
        ("a GELU, its oracle by math.erf", gelu_by_math, "math knows no complex numbers"),
        ("a leaky ReLU, its oracle by np.maximum", leaky_by_comparison, "complex numbers are compared otherwise"),
        ("a convolution, its oracle of real parts", convolution_by_scipy, "the imaginary part is dropped silently"),
    )
)
