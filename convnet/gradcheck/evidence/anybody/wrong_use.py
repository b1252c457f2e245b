"""Wrong where JAX is used as its users do: without 64 bits, mapped twice, called plainly, one argument at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
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


# --- mapped -----------------------------------------------------------------------------------------------------------


def value_of_the_whole_batch(rng):
    @custom_vmap
    def centred(x):
        return x - x.mean()

    @centred.def_vmap
    def _(size, mapped, x):
        del size, mapped
        return x - x.mean(), True

    fn = with_vjp(centred, lambda x: (centred(x), None), lambda _, g: (g - g.mean(),))
    return dict(fn=fn, args=(rng.normal(1, 1, size=6),), reference=lambda x: x - x.mean())


ROWS = 6


def ids_of_the_first_example(rng):
    @custom_vmap
    def scattered(ids, g):
        return jnp.zeros((ROWS, g.shape[-1]), g.dtype).at[ids].add(g)

    @scattered.def_vmap
    def _(size, mapped, ids, g):
        shared = ids[0] if mapped[0] else ids
        g = g if mapped[1] else jnp.broadcast_to(g, (size, *g.shape))
        return jax.vmap(lambda one: jnp.zeros((ROWS, one.shape[-1]), one.dtype).at[shared].add(one))(g), True

    def looked_up(table, ids):
        return table[ids]

    fn = with_vjp(looked_up, lambda table, ids: (table[ids], ids), lambda ids, g: (scattered(ids, g), None))
    args = rng.normal(size=(ROWS, 3)), rng.integers(ROWS, size=5).astype(np.int32)
    return dict(fn=fn, args=args, reference=looked_up)


def _gradient_at_mapped_ids(call: dict) -> float:
    table, ids = call["args"]
    several = np.stack([ids, (ids + 1) % ROWS])
    g = np.random.default_rng(7).normal(size=(len(ids), table.shape[1]))

    def gradient(f, ids):
        return jax.vjp(lambda table: f(table, ids), jnp.asarray(table))[1](jnp.asarray(g))[0]

    with jax.enable_x64(True):
        pair = [jax.vmap(lambda ids, f=f: gradient(f, ids))(several) for f in (call["fn"], call["reference"])]
    return shown.relative([np.asarray(pair[0])], [np.asarray(pair[1])])


def one_level_of_mapping(rng):
    def on_the_host(g):
        g = np.asarray(g)
        axis = 1 if g.ndim == 2 else 0  # a batch, or a single sequence
        return np.flip(np.cumsum(np.flip(g, axis).astype(np.float64), axis), axis).astype(g.dtype)

    def backward(_, g):
        result = jax.ShapeDtypeStruct(g.shape, g.dtype)
        return (jax.pure_callback(on_the_host, result, g, vmap_method="broadcast_all"),)

    def value(x):
        return jnp.cumsum(x)

    fn = with_vjp(value, lambda x: (value(x), None), backward)
    return dict(fn=fn, args=(rng.normal(size=4),), reference=value, oracle=np.cumsum)


def _gradient_of_mapped_cotangents(call: dict) -> float:
    """One level is right, two are not."""
    (x,) = call["args"]
    g = np.random.default_rng(7).normal(size=(2, 3, x.size))

    def gradient(f):
        return jax.vmap(jax.vmap(lambda g: jax.vjp(f, jnp.asarray(x))[1](g)[0]))(jnp.asarray(g))

    with jax.enable_x64(True):
        return shown.relative(*([np.asarray(gradient(call[name]))] for name in ("fn", "reference")))


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
            "centring that takes the mean of the whole batch under vmap", value_of_the_whole_batch,
            "a batching rule that is wrong, under a gradient that is right",
            shown.shown(shown.mapped(shown.value)),
        ),
        (
            "a look-up that takes the ids of the first example for all", ids_of_the_first_example,
            "wrong where ids are mapped", _gradient_at_mapped_ids,
        ),
        (
            "a cumulative sum whose gradient knows one level of vmap", one_level_of_mapping,
            "a callback that takes its first axis for the batch", _gradient_of_mapped_cotangents,
        ),
        (
            "a variance of n − 1 outside of jit", other_value_outside_of_jit,
            "a short cut for numbers, another function for tracers", shown.shown(shown.value),
        ),
        (
            "a quotient that is wrong where its numerator is a number", wrong_where_the_numerator_is_a_number,
            "the rule for symbolic zeros forgets a factor", shown.shown(shown.gradient_alone(1)),
        ),
    )
)  # fmt: skip
