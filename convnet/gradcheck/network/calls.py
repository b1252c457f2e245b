"""Every op that a network calls, with the numbers that reach it from both sides: its arguments and its cotangent.

One run of the network and of its reverse pass tells all of them. A compiled program can only hand out what stands
outside of `jit`, `scan`, `cond` and the like; where it does not suffice these are switched off, and nothing is
compiled. Inside `vmap` and `checkpoint` JAX then still shows no numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.compiling import quick
from convnet.ops import OpSet


@dataclass
class Call:
    """One op as the network called it."""

    op: str
    settings: dict
    compiled: bool = False
    """Whether what it is given stands for numbers that are to come."""
    args: tuple | None = None
    """None where no run of the network shows them."""
    upstream: list | None = None
    """dL/dy, one array per result; None where no gradient comes down."""
    dtypes: tuple[str, ...] = ()
    """Of its results."""
    title: str = ""

    def takes(self, args: tuple) -> tuple:
        leaves, tree = jax.tree.flatten(args)
        floats = [leaf for leaf in leaves if _is_float_array(leaf)]

        def note(seen: list) -> None:
            found = iter(seen)
            values = [next(found) if _is_float_array(leaf) else leaf for leaf in leaves]
            if self.compiled or not _traced(values):
                self.args = jax.tree.unflatten(tree, values)

        note(floats)  # all there is to know where nothing is differentiated
        passed = iter(_watched(floats, note))
        return jax.tree.unflatten(tree, [next(passed) if _is_float_array(leaf) else leaf for leaf in leaves])

    def returns(self, result: Any) -> Any:
        def note(cotangents: list) -> None:
            if self.compiled or not _traced(cotangents):
                self.upstream = cotangents

        leaves, tree = jax.tree.flatten(result)
        self.dtypes = tuple(str(leaf.dtype) for leaf in leaves)
        return jax.tree.unflatten(tree, _watched(leaves, lambda seen: None, note))


def _is_float_array(leaf) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def _traced(leaves) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def _watched(leaves: list, forward: Callable[[list], None], backward: Callable[[list], None] = lambda g: None) -> list:
    """The same arrays; `forward` is told their values, and `backward` their cotangents."""

    @jax.custom_vjp
    def same(leaves):
        return leaves

    def up(leaves):
        forward(leaves)
        return leaves, None

    def down(_, cotangents):
        backward(cotangents)
        return (cotangents,)

    same.defvjp(up, down)
    return same(leaves)


def instrumented(ops: OpSet, wrap: Callable[[str, Callable], Callable]) -> OpSet:
    """`ops` with every member wrapped: wrap(name, op)."""
    return OpSet(**{field.name: wrap(field.name, getattr(ops, field.name)) for field in fields(ops)})


def record(objective: Callable, ops: OpSet, variables, images) -> tuple[float, list[Call]]:
    """(loss, every op called on the way to it in order; the loss's own is the last).

    objective: `(ops, variables, images) -> loss`.

    Raises ValueError where `objective` calls no op but its loss, and where one does not compute in float64.
    """
    try:
        value, calls = _compiled(objective, ops, variables, images)
    except jax.errors.UnexpectedTracerError:  # a call inside another transformation
        value, calls = _eager(objective, ops, variables, images)
    if len(calls) < 2:
        raise ValueError("apply calls no op of the OpSet it is given: there is nothing to audit")
    for call in calls:
        narrow = sorted(set(call.dtypes) - {"float64"})
        if narrow:
            text = f"{call.op} returned {', '.join(narrow)} in this network: expected it to compute in float64"
            raise ValueError(text)
    for index, call in enumerate(calls):
        call.title = _title(index, call, variables) if call is not calls[-1] else f"{call.op}, the loss"
    return value, calls


def _compiled(objective: Callable, ops: OpSet, *point) -> tuple[float, list[Call]]:
    calls: list[Call] = []

    def program(*point):
        value = _run(objective, ops, point, calls, compiled=True)
        return value, [_arrays(call.args) for call in calls], [call.upstream for call in calls]

    value, args, upstream = quick(program)(*point)
    for call, arrays, g in zip(calls, args, upstream, strict=True):
        call.args, call.upstream = _with_arrays(call.args, arrays), g
    return float(value), calls


def _arrays(args: tuple) -> list:
    return [leaf for leaf in jax.tree.leaves(args) if hasattr(leaf, "dtype")]


def _with_arrays(args: tuple, arrays: list) -> tuple:
    """Python's own numbers stay as they are."""
    found = iter(arrays)
    return jax.tree.map(lambda leaf: next(found) if hasattr(leaf, "dtype") else leaf, args)


def _eager(objective: Callable, ops: OpSet, *point) -> tuple[float, list[Call]]:
    calls: list[Call] = []
    try:
        with jax.disable_jit():
            value = _run(objective, ops, point, calls)
    except Exception:  # code that runs only when compiled
        calls.clear()
        value = _run(objective, ops, point, calls)
    return float(value), calls


def _run(objective: Callable, ops: OpSet, point: tuple, calls: list[Call], *, compiled: bool = False):
    def wrap(name, op):
        def watched(*args, **settings):
            call = Call(name, settings, compiled)
            calls.append(call)
            return call.returns(op(*call.takes(args), **settings))

        return watched

    value, pull = jax.vjp(lambda *point: objective(instrumented(ops, wrap), *point), *point)
    pull(jnp.ones_like(value))
    return value


def _title(index: int, call: Call, variables) -> str:
    """The op, and the layer whose parameter it was given."""
    arrays = [arg for arg in (call.args or ())[1:] if hasattr(arg, "shape")]
    for arg in sorted(arrays, key=np.size, reverse=True):
        found = [
            path
            for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
            if np.shape(arg) == leaf.shape and np.array_equal(arg, leaf)
        ]
        if len(found) == 1:  # two biases of zeros would name the wrong layer
            *layer, parameter = [str(getattr(key, "key", key)) for key in found[0]]
            return f"{call.op} in {'/'.join(layer).removeprefix('params/') or parameter}"
    return f"{call.op}, call {index + 1}"
