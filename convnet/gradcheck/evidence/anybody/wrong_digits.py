"""Wrong by so little, in so high an order, or in so narrow a dtype that generous bounds and float64 let it pass."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_jvp, with_vjp

# --- loose bounds -----------------------------------------------------------------------------------------------------


def compressed_activations(rng):
    def forward(x):
        return jnp.square(x), (x.astype(jnp.float16) if x.dtype == jnp.float32 else x)

    fn = with_vjp(jnp.square, forward, lambda kept, g: (2 * g * kept.astype(g.dtype),))
    return dict(fn=fn, args=(rng.normal(size=400_000).astype(np.float32),), reference=jnp.square)


def _gelu(x):
    return x * (1 + lax.erf(x / math.sqrt(2))) / 2


def _gelu_slope(x, constant):
    return (1 + lax.erf(x / math.sqrt(2))) / 2 + constant * x * jnp.exp(-(x**2) / 2)


def four_digits(rng):
    def backward(x, g):
        return (g * _gelu_slope(x, 0.3989 if x.dtype == jnp.float32 else 1 / math.sqrt(2 * math.pi)),)

    args = (rng.normal(size=100_000).astype(np.float32),)
    return dict(fn=with_vjp(_gelu, lambda x: (_gelu(x), x), backward), args=args, reference=_gelu)


def _normalised(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


def _normalised_back(x, g, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    inverse = lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + eps)
    y = centred * inverse
    return inverse * (g - g.mean(axis=-1, keepdims=True) - y * jnp.mean(g * y, axis=-1, keepdims=True))


def raised_epsilon(rng):
    def backward(x, g):
        eps, dtype = (0.03, jnp.float32) if x.dtype == jnp.bfloat16 else (1e-5, x.dtype)
        return (_normalised_back(x.astype(dtype), g.astype(dtype), eps).astype(x.dtype),)

    fn = with_vjp(_normalised, lambda x: (_normalised(x), x), backward)
    return dict(fn=fn, args=(rng.normal(size=(4, 32)),), reference=_normalised)


def quick_slope(rng):
    def backward(x, g):
        if x.dtype == jnp.bfloat16:
            wide = x.astype(jnp.float32)
            s = jax.nn.sigmoid(1.702 * wide)
            return ((g * (s + 1.702 * wide * s * (1 - s))).astype(x.dtype),)
        return (g * _gelu_slope(x, 1 / math.sqrt(2 * math.pi)),)

    args = (rng.uniform(0, 3, size=(4, 6)),)
    return dict(fn=with_vjp(_gelu, lambda x: (_gelu(x), x), backward), args=args, reference=_gelu)


def _biased(x, b):
    return x + b[None, :]


def narrow_accumulator(rng):
    def backward(_, g):
        total, _ = lax.scan(lambda total, row: (total + row, None), jnp.zeros_like(g[0]), g)
        return g, total

    fn = with_vjp(_biased, lambda x, b: (_biased(x, b), None), backward)
    return dict(fn=fn, args=(rng.normal(size=(300, 2)), rng.normal(size=2)), reference=_biased)


# --- orders -----------------------------------------------------------------------------------------------------------


def third_order_of_a_layer_norm(rng):
    def plain(x, g):
        return _normalised_back(x, g, 1e-5)

    def again(kept, h):
        return jax.vjp(plain, *lax.stop_gradient(kept))[1](h)

    back = with_vjp(plain, lambda x, g: (plain(x, g), (x, g)), again)
    fn = with_vjp(_normalised, lambda x: (_normalised(x), x), lambda x, g: (back(x, g),))
    return dict(fn=fn, args=(rng.normal(size=(2, 5)),), reference=_normalised)


def third_order_of_a_softplus(rng):
    def sigmoid_tangent(primals, tangents):
        y = jax.nn.sigmoid(*primals)
        return y, lax.stop_gradient(y * (1 - y)) * tangents[0]

    sigmoid = with_jvp(jax.nn.sigmoid, sigmoid_tangent)
    fn = with_jvp(jax.nn.softplus, lambda x, dx: (jax.nn.softplus(*x), sigmoid(*x) * dx[0]))
    return dict(fn=fn, args=(rng.normal(size=6),), reference=lambda x: jnp.log(1 + jnp.exp(x)))


HERMITE = (lambda x: 1 + 0 * x, lambda x: x, lambda x: x**2 - 1, lambda x: x**3 - x, lambda x: x**4 - 6 * x**2 + 3)


def third_order_of_a_bell(rng):
    def bell(order, x):
        """The derivative of that order of exp(−x²/2)."""
        return (-1) ** order * HERMITE[order](x) * jnp.exp(-(x**2) / 2)

    rule = jax.custom_jvp(bell, nondiff_argnums=(0,))
    rule.defjvp(lambda order, x, dx: (rule(order, *x), rule(order + 1, *x) * dx[0]))

    def bell_curve(x):
        return rule(0, x)

    def reference(x):
        return jnp.exp(-(x**2) / 2)

    return dict(fn=bell_curve, args=(rng.normal(size=5),), reference=reference, oracle=lambda x: np.exp(-(x**2) / 2))


# --- the arguments' own precision -------------------------------------------------------------------------------------


def softmax_by_the_quotient_rule(rng):
    def reference(x):
        e = jnp.exp(x - x.max())
        return e / e.sum()

    def backward(x, g):
        e = jnp.exp(x)
        s = e.sum()
        return (e * (g * s - jnp.sum(g * e)) / s**2,)

    fn = with_vjp(reference, lambda x: (reference(x), x), backward)
    return dict(fn=fn, args=(rng.normal(size=1200).astype(np.float16),), reference=reference)


def many_classes(rng):
    def reference(x):
        return jax.nn.log_softmax(x)

    def backward(x, g):
        e = jnp.exp(x)
        return (g - e / e.sum() * g.sum(),)

    fn = with_vjp(reference, lambda x: (reference(x), x), backward)
    x = rng.normal(size=65_536)
    x[0] = 9
    return dict(fn=fn, args=(x.astype(np.float16),), reference=reference)


def _length(x):
    largest = jnp.max(jnp.abs(x))
    return largest * jnp.sqrt(jnp.sum((x / largest) ** 2))


def length_of_large_numbers(rng):
    fn = with_vjp(_length, lambda x: (_length(x), x), lambda x, g: (g * x / jnp.sqrt(jnp.sum(x**2)),))
    return dict(fn=fn, args=(rng.uniform(200, 400, size=6).astype(np.float16),), reference=_length)


def infinite_count(rng):
    def value(x):
        return jnp.sum(x) / math.sqrt(x.size)

    def backward(x, g):
        return (jnp.full_like(x, g / jnp.sqrt(jnp.asarray(x.size).astype(x.dtype))),)

    fn = with_vjp(value, lambda x: (value(x), x), backward)
    return dict(fn=fn, args=(rng.normal(size=70_000).astype(np.float16),), reference=value)


def _dense(x, w):
    return x.astype(w.dtype) @ w


def gradient_in_the_narrower_dtype(rng):
    def backward(kept, g):
        x, w = kept
        pairs = x[:, :, None] * g.astype(x.dtype)[:, None, :]
        total, _ = lax.scan(lambda total, pair: (total + pair, None), jnp.zeros(w.shape, x.dtype), pairs)
        return (g @ w.T).astype(x.dtype), total.astype(w.dtype)

    fn = with_vjp(_dense, lambda x, w: (_dense(x, w), (x, w)), backward)
    args = rng.uniform(size=(600, 2)).astype(jnp.bfloat16), rng.normal(size=(2, 3)).astype(np.float32)
    return dict(fn=fn, args=args, reference=_dense)


def _weights_gradient_in_mixed_dtypes(call: dict) -> float:
    """Of the mean of the result."""
    x, w = call["args"]
    g = np.full((len(x), w.shape[1]), 1 / len(x), np.float32)
    actual = jax.vjp(call["fn"], jnp.asarray(x), jnp.asarray(w))[1](jnp.asarray(g))[1]
    return shown.relative([np.asarray(actual)], [x.astype(np.float64).T @ g])


BOUNDS = tuple(
    Example(name, "loose bounds", build, note, named=dtype, shows=shown.shown(program, dtype=dtype))
    for name, build, note, dtype, program in (
        (
            "squares that keep their arguments as float16", compressed_activations,
            "entry by entry, 2e-4 of 400,000 in float32, where nothing is added up", "float32", shown.gradient,
        ),
        (
            "a GELU whose slope has a constant of four digits in float32", four_digits,
            "0.3989 for 1 / √2π, in 100,000 entries that depend on one number each", "float32", shown.gradient,
        ),
        (
            "a normalisation with a larger epsilon in bfloat16", raised_epsilon,
            "too small by a seventieth in all entries", "bfloat16", shown.gradient,
        ),
        (
            "a GELU with the slope of a quick one in bfloat16", quick_slope,
            "another function's gradient, up to 3 % off", "bfloat16", shown.gradient,
        ),
        (
            "a bias whose gradient is added up in bfloat16", narrow_accumulator,
            "ones add up to 256 and no more", "bfloat16", shown.gradient_of_ones,
        ),
    )
)  # fmt: skip

ORDERS = tuple(
    Example(name, "orders", build, note, shows=shown.shown(shown.derivative(3)))
    for name, build, note in (
        (
            "a layer norm whose gradient's gradient keeps numbers", third_order_of_a_layer_norm,
            "two derivatives are right; the third takes what was kept for constants",
        ),
        (
            "a softplus whose second derivative is a constant", third_order_of_a_softplus,
            "the rule of the rule has no derivative",
        ),
        (
            "a bell curve with a wrong Hermite polynomial", third_order_of_a_bell,
            "He₃ is x³ − 3x, not x³ − x",
        ),
    )
)  # fmt: skip

PRECISION = tuple(
    Example(name, "own precision", build, note, shows=shown.shown(shown.gradient, dtype="float16"))
    for name, build, note in (
        (
            "a softmax by the quotient rule in float16", softmax_by_the_quotient_rule,
            "the square of the sum overflows from 256 classes on: every gradient is 0",
        ),
        (
            "a log-softmax of 65,536 classes in float16", many_classes, "the sum overflows",
        ),
        (
            "a length of large numbers in float16", length_of_large_numbers,
            "the squares overflow in the gradient; the value divides by the largest first",
        ),
        (
            "a sum over the root of its count in float16", infinite_count,
            "70,000 is infinite in float16: the gradient is 0",
        ),
    )
)  # fmt: skip

MIXED = Example(
    "a dense layer whose weights' gradient is added up as its inputs are", "own precision",
    gradient_in_the_narrower_dtype, "float32 weights get what bfloat16 inputs can hold",
    shows=_weights_gradient_in_mixed_dtypes,
)  # fmt: skip

WRONG = (*BOUNDS, *ORDERS, *PRECISION, MIXED)
