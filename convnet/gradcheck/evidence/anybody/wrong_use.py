"""Wrong where JAX is used as its users do: without 64 bits, mapped twice, called plainly, one argument at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp

# --- without 64 bits --------------------------------------------------------------------------------------------------

SEED, MULTIPLIER, MODULUS = 1_234_567, 48_271, 2_147_483_647


def _thinned(x):
    """Keeps about seven entries of ten, by a congruential generator."""
    drawn = (SEED + np.arange(x.size)) * MULTIPLIER % MODULUS
    return jnp.where(drawn % 10 < 7, x, 0)


def overflowing_integers(rng):
    def backward(_, g):
        drawn = (SEED + jnp.arange(g.size)) * MULTIPLIER % MODULUS
        return (jnp.where(drawn % 10 < 7, g, 0),)

    fn = with_vjp(_thinned, lambda x: (_thinned(x), None), backward)
    return dict(fn=fn, args=(rng.normal(size=40),), reference=_thinned)


START = 1_000_000


def _turned(x, cos, sin):
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _rotary(x):
    """A rotary embedding, far into a stream."""
    count, half = x.shape[0], x.shape[1] // 2
    angles = (START + np.arange(count))[:, None] * 10_000.0 ** (-np.arange(half) / half)[None, :]
    return _turned(x, jnp.asarray(np.cos(angles), x.dtype), jnp.asarray(np.sin(angles), x.dtype))


def angles_in_the_default_precision(rng):
    def backward(_, g):
        count, half = g.shape[0], g.shape[1] // 2
        places, powers = START + jnp.arange(count, dtype=float), -jnp.arange(half, dtype=float) / half
        angles = places[:, None] * (10_000.0**powers)[None, :]
        return (_turned(g, jnp.cos(angles).astype(g.dtype), -jnp.sin(angles).astype(g.dtype)),)

    fn = with_vjp(_rotary, lambda x: (_rotary(x), None), backward)
    return dict(fn=fn, args=(rng.normal(size=(5, 6)),), reference=_rotary)


def overflowing_value(rng):
    def value(x):
        return jnp.log(jnp.sum(jnp.exp(x), axis=-1))

    fn = with_vjp(value, lambda x: (value(x), x), lambda x, g: (g[:, None] * jax.nn.softmax(x),))
    return dict(fn=fn, args=(rng.uniform(80, 120, size=(3, 5)),), reference=lambda x: jax.nn.logsumexp(x, axis=-1))


# --- called plainly, and one argument at a time -----------------------------------------------------------------------


def other_value_outside_of_jit(rng):
    def spread(x):
        try:
            numbers = np.asarray(x)
        except jax.errors.TracerArrayConversionError:
            return jnp.var(x, axis=-1)
        return jnp.asarray(np.var(numbers, axis=-1, ddof=1))

    return dict(fn=spread, args=(rng.normal(size=(3, 5)),), reference=lambda x: jnp.var(x, axis=-1))


def wrong_where_the_numerator_is_a_number(rng):
    fn = jax.custom_jvp(jnp.divide)

    def tangent(primals, tangents):
        (x, y), (dx, dy) = primals, tangents
        value = x / y
        if isinstance(dx, SymbolicZero):
            return value, -value * dy  # / y, forgotten
        if isinstance(dy, SymbolicZero):
            return value, dx / y
        return value, (dx - value * dy) / y

    fn.defjvp(tangent, symbolic_zeros=True)
    args = rng.normal(size=5), rng.uniform(0.5, 2, size=5)
    return dict(fn=fn, args=args, reference=jnp.divide, oracle=np.divide)


def wrong_where_one_output_is_used(rng):
    """Mean and variance of a row."""

    def moments(x):
        return x.mean(axis=-1), x.var(axis=-1)

    def backward(x, cotangents):
        for_mean, for_variance = cotangents
        centred = 2 * (x - x.mean(axis=-1, keepdims=True)) / x.shape[-1]
        if isinstance(for_variance, SymbolicZero):
            return (jnp.broadcast_to(for_mean[:, None], x.shape),)  # / n, forgotten
        if isinstance(for_mean, SymbolicZero):
            return (for_variance[:, None] * centred,)
        return (for_mean[:, None] / x.shape[-1] + for_variance[:, None] * centred,)

    fn = jax.custom_vjp(moments)
    fn.defvjp(lambda x: (moments(x.value), x.value), backward, symbolic_zeros=True)
    return dict(fn=fn, args=(rng.normal(size=(3, 5)),), reference=moments)


def _gradient_of_the_first_output(f, floats, g):
    return jax.vjp(lambda *x: f(*x)[0], *floats)[1](g[0])


class Wave:
    """A layer as other libraries have them, which keeps its argument for the way back."""

    def forward(self, x):
        self.x = x
        return jnp.sin(x), None

    def backward(self, _, g):
        return (g * jnp.cos(self.x),)


def argument_in_an_attribute(rng):
    layer = Wave()
    fn = with_vjp(lambda x: jnp.sin(x), layer.forward, layer.backward)
    return dict(fn=fn, args=(rng.normal(size=5),), reference=jnp.sin, oracle=np.sin)


def _gradient_of_two_uses(f, floats, g):
    (x,) = floats
    return jax.vjp(lambda x: f(x)[0] * f(2 * x)[0], x)[1](g[0])


WRONG = tuple(
    Example(name, "as users run it", build, note, shows=shows)
    for name, build, note, shows in (
        (
            "thinning whose generator overflows 32 bits", overflowing_integers,
            "int32 without x64, and the gradient draws others than the value did",
            shown.shown(shown.gradient, dtype="float32", x64=False),
        ),
        (
            "a rotary embedding with angles in JAX's default float", angles_in_the_default_precision,
            "a million radians in float32 are known to a sixteenth",
            shown.shown(shown.gradient, dtype="float32", x64=False),
        ),
        (
            "log Σ exp that overflows in float32, with a gradient that does not", overflowing_value,
            "the gradient is right in every precision, the value infinite in float32",
            shown.shown(shown.value, dtype="float32"),
        ),
        (
            "a variance of n − 1 outside of jit", other_value_outside_of_jit,
            "a short cut for numbers, another function for tracers", shown.shown(shown.value),
        ),
        (
            "a quotient that is wrong where its numerator is a number", wrong_where_the_numerator_is_a_number,
            "the rule for symbolic zeros forgets a factor", shown.shown(shown.gradient_alone(1)),
        ),
        (
            "a layer that keeps its argument in an attribute", argument_in_an_attribute,
            "a second use overwrites the first one's", shown.shown(_gradient_of_two_uses),
        ),
        (
            "a mean and a variance, wrong where the mean alone is used", wrong_where_one_output_is_used,
            "a cotangent that is no array of zeros, but none", shown.shown(_gradient_of_the_first_output),
        ),
    )
)  # fmt: skip
