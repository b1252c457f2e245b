"""What a planted fault is, and the ways to plant one: an op with the right value and a rule of one's own.

`with_rule` and `with_slope` take the whole wrong rule; the `corrupted…` family spoils the hand-derived gradient on its
way out: always, in one dtype, in the second derivative, under vmap, where compiled, or where not compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.gradcheck.evidence.case import Case
from convnet.ops import HAND
from convnet.ops.primitive import primitive, to_front, transpose_linear

Change = Callable[[Array], Array]
"""What happens to the gradient of one argument."""


@dataclass(frozen=True)
class Mutant:
    """An op whose gradient is wrong on purpose."""

    name: str
    op: str
    build: Callable[[], Callable]
    """-> a function with the signature and the value of the op, and another gradient."""
    defect: str
    source: str = "invented"
    """The thread that reported it."""
    cases: tuple[Case, ...] = ()
    """Where it shows; empty: some of EVIDENCE[op].cases."""
    equivalent: bool = False
    """Whether it is right after all, at its cases and at the conventions of the op; elsewhere it need not be."""
    shows: str = "first order"
    """The way of `difference.WAYS` in which it shows."""
    size: float = 1e-3
    """The relative difference that it makes there at least."""


@dataclass(frozen=True)
class Control:
    """An op with a right gradient, obtained in an unusual way: nobody must object."""

    name: str
    op: str
    build: Callable[[], Callable]
    note: str
    cases: tuple[Case, ...] = ()


def _is_array(value) -> bool:
    return isinstance(value, jax.Array | np.ndarray)


def _arrays(args: tuple, settings: dict) -> tuple[list[Array], Callable]:
    """The arrays among all arguments, and how others are put in their places: rebuild(arrays) -> (args, settings)."""
    places = [i for i, value in enumerate(args) if _is_array(value)]
    names = [name for name, value in settings.items() if _is_array(value)]

    def rebuild(arrays):
        new_args, new_settings = list(args), dict(settings)
        for place, array in zip(places, arrays, strict=False):
            new_args[place] = array
        new_settings.update(zip(names, arrays[len(places) :], strict=True))
        return tuple(new_args), new_settings

    return [jnp.asarray(args[i]) for i in places] + [jnp.asarray(settings[name]) for name in names], rebuild


def wide(value):
    """bfloat16 and float16 as float32, all else as it is."""
    value = jnp.asarray(value)
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return value.astype(jnp.promote_types(value.dtype, jnp.float32)) if is_float else value


def with_rule(value: Callable, rule: Callable, *, widen: bool = True) -> Callable:
    """`value`, with the gradient `rule(g, *args, **settings)`: one entry per array given, None for labels and masks.

    widen: narrow dtypes are computed in float32 and rounded once, so that what is wrong is the formula alone.
    """
    widened = wide if widen else jnp.asarray

    @wraps(value)
    def op(*args, **settings):
        arrays, rebuild = _arrays(args, settings)

        @jax.custom_vjp
        def call(*arrays):
            args, settings = rebuild(arrays)
            return value(*args, **settings)

        def forward(*arrays):
            return call(*arrays), arrays

        def backward(arrays, g):
            args, settings = rebuild([widened(a) for a in arrays])
            gradients = rule(jax.tree.map(widened, g), *args, **settings)
            return tuple(d if d is None else d.astype(a.dtype) for d, a in zip(gradients, arrays, strict=True))

        call.defvjp(forward, backward)
        return call(*arrays)

    return op


def ruled(op: str, rule: Callable) -> Callable[[], Callable]:
    """Builds the op with `rule`: the `build` of a mutant or a control."""
    return lambda: with_rule(getattr(HAND, op), rule)


def with_slope(value: Callable, slope: Callable) -> Callable:
    """An elementwise `value` with the derivative `slope(x, **settings)`, wrong forwards and backwards alike."""

    @wraps(value)
    def op(x, **settings):
        @jax.custom_jvp
        def call(x):
            return value(x, **settings)

        @call.defjvp
        def _(primals, tangents):
            (x,), (dx,) = primals, tangents
            return call(x), (slope(wide(x), **settings) * wide(dx)).astype(dx.dtype)

        return call(jnp.asarray(x))

    return op


def right_gradients(op: str, g, *args, **settings) -> list[Array | None]:
    """The hand-derived gradients of `op`, one per array given, None where there is none."""
    arrays, rebuild = _arrays(args, settings)
    floats = [i for i, a in enumerate(arrays) if jnp.issubdtype(a.dtype, jnp.floating)]

    def of_floats(*values):
        filled = list(arrays)
        for i, value in zip(floats, values, strict=True):
            filled[i] = value
        args, settings = rebuild(filled)
        return getattr(HAND, op)(*args, **settings)

    gradients: list[Array | None] = [None] * len(arrays)
    for i, gradient in zip(floats, jax.vjp(of_floats, *(arrays[i] for i in floats))[1](g), strict=True):
        gradients[i] = gradient
    return gradients


def corrupted(op: str, change: Change, argument: int | None = None, *, widen: bool = True) -> Callable:
    """The op with its gradient passed through `change`, in one argument or in all."""

    def rule(g, *args, **settings):
        right = right_gradients(op, g, *args, **settings)
        return [d if d is None or argument not in (None, i) else change(d) for i, d in enumerate(right)]

    return with_rule(getattr(HAND, op), rule, widen=widen)


def corrupted_in(dtype: str, op: str, change: Change, argument: int | None = None) -> Callable:
    """Wrong in this dtype only."""
    return corrupted(op, lambda d: change(d) if d.dtype == dtype else d, argument, widen=False)


def corrupted_second_order(op: str, factor: float = 0.0) -> Callable:
    """The gradient is right, its own derivative `factor` times too large: 0 is a rule that takes what it saved from
    the forward pass for constants."""

    def saved(value):
        if not (_is_array(value) and jnp.issubdtype(value.dtype, jnp.floating)):
            return value
        constant = lax.stop_gradient(value)
        return constant + factor * (value - constant)

    def rule(g, *args, **settings):
        return right_gradients(op, g, *map(saved, args), **settings)

    return with_rule(getattr(HAND, op), rule)


def corrupted_under_vmap(op: str, change: Change, argument: int | None = None) -> Callable:
    """Wrong only where a batching rule is at work."""

    def batch(args, dims):
        return jax.vmap(change)(to_front(args[0], dims[0])), 0

    return corrupted(op, _passed_on("passed_on_if_alone", batch=batch).bind, argument)


def corrupted_when_compiled(op: str, change: Change, argument: int | None = None) -> Callable:
    """Right where it runs by itself, wrong where it is compiled, as in jit, scan and checkpoint: two implementations
    of one rule, of which only one is looked at."""

    def batch(args, dims):
        return lax.map(p.bind, to_front(args[0], dims[0])), 0

    p = _passed_on("passed_on_if_eager", change, batch=batch)
    p.def_impl(lambda d: d)
    return corrupted(op, p.bind, argument)


def corrupted_when_eager(op: str, change: Change, argument: int | None = None) -> Callable:
    """Wrong only where values are known, in a short cut for them."""
    return corrupted(op, lambda d: d if isinstance(d, jax.core.Tracer) else change(d), argument)


def _passed_on(name: str, lowered: Change = lambda d: d, *, batch: Callable):
    """The identity as a linear primitive, but for what `lowered` and `batch` make of it."""
    p = primitive(name, lowered, batch=batch)
    transpose_linear(p, p.bind)
    return p


def scaled(factor: float) -> Change:
    return lambda d: d * factor


def corner_off(size: float, corner: int = -1) -> Change:
    """The last (or first) entry is off by `size` of the largest."""

    def change(d):
        return d.at[(corner,) * d.ndim].add(size * jnp.max(jnp.abs(d)))

    return change


def without(*index) -> Change:
    """Entries that get no gradient, `d[index]`."""
    return lambda d: d.at[index].set(0)
