"""Wrong under vmap: the value, mapped integers, a second level, another axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def value_of_the_whole_batch(rng):
    @custom_vmap
    def centred(x):
        return x - x.mean()

    @centred.def_vmap
    def _(size, mapped, x):
        del size, mapped
        return x - x.mean(), True

    def reference(x):
        return x - x.mean()

    fn = with_vjp(reference, lambda x: (centred(x), None), lambda _, g: (g - g.mean(),))
    return dict(fn=fn, args=(rng.normal(1, 1, size=6),), reference=reference)


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


def last_axis_wherever_the_batch_is(rng):
    def sums(g):
        return lax.cumsum(g, axis=g.ndim - 1, reverse=True)

    reverse = Primitive("reverse_sums")
    reverse.def_impl(sums)
    reverse.def_abstract_eval(lambda g: g)
    mlir.register_lowering(reverse, mlir.lower_fun(sums, multiple_results=False))
    batching.primitive_batchers[reverse] = lambda args, dims: (reverse.bind(*args), dims[0])

    def value(x):
        return jnp.cumsum(x)

    fn = with_vjp(value, lambda x: (value(x), None), lambda _, g: (reverse.bind(g),))
    return dict(fn=fn, args=(rng.normal(size=4),), reference=value, oracle=np.cumsum)


def _gradient_of_cotangents_in_columns(call: dict) -> float:
    (x,) = call["args"]
    g = np.random.default_rng(7).normal(size=(x.size, 3))

    def gradient(f):
        return jax.vmap(lambda g: jax.vjp(f, jnp.asarray(x))[1](g)[0], in_axes=1)(jnp.asarray(g))

    with jax.enable_x64(True):
        return shown.relative(*([np.asarray(gradient(call[name]))] for name in ("fn", "reference")))


WRONG = tuple(
    Example(name, "as users run it", build, note, shows=shows)
    for name, build, note, shows in (
        (
            "centring whose forward rule takes the mean of a whole batch", value_of_the_whole_batch,
            "a batching rule that is wrong, under a gradient that is right",
            shown.shown(shown.mapped(shown.value_beside_gradient)),
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
            "a cumulative sum whose gradient takes any batch for the first axis", last_axis_wherever_the_batch_is,
            "right with in_axes=0, wrong with in_axes=1", _gradient_of_cotangents_in_columns,
        ),
    )
)  # fmt: skip
