"""The function under test as a map between lists of arrays, with its derivatives, each compiled once per shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

QUICK = {"xla_backend_optimization_level": 0}
"""A program is run a few times, so what it costs is its compilation."""

Leaves = list[np.ndarray]


def _jit(f: Callable) -> Callable:
    return jax.jit(f, compiler_options=QUICK)


def is_static(leaf) -> bool:
    """Python's own integers, booleans and strings are settings (a window, say), which must stay what they are."""
    return isinstance(leaf, int | str)


def _is_float(leaf) -> bool:
    return not is_static(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _cast(leaf, dtype):
    if is_static(leaf):
        return leaf
    return np.asarray(leaf, dtype) if _is_float(leaf) else np.asarray(leaf)


class BadCall(ValueError):
    """The function refuses these arguments."""


def check_call(args, argnums, settings) -> None:
    """What JAX would only stumble over."""
    if not isinstance(args, tuple | list):
        raise ValueError(f"args is a {type(args).__name__}: expected a tuple of the function's positional arguments")
    if settings is not None and not isinstance(settings, Mapping):
        raise ValueError(f"settings is {settings!r}: expected a mapping of keyword arguments")
    if not (argnums is None or isinstance(argnums, int | tuple | list | range)):
        raise ValueError(f"argnums is {argnums!r}: expected an int or a tuple of ints")
    for leaf in jax.tree.leaves(args):
        if not is_static(leaf) and np.asarray(leaf).dtype.kind in "OSU":
            raise ValueError(f"args hold a {type(leaf).__name__}: expected arrays")
        if not is_static(leaf) and np.asarray(leaf).dtype.kind == "c":
            raise ValueError("args hold complex numbers: expected real ones")


class CompiledFunction:
    """F: the differentiable leaves of a function's arguments -> the floating-point leaves of its result.

    Integer, boolean and unselected arrays are constants: given, but never differentiated. Constants with a
    floating-point dtype are cast to that of the differentiable leaves. Python's integers and strings stay as they are.

    `role` is what errors call the function: fn, or reference.

    Raises ValueError where there is nothing to differentiate, or where the function or its gradient fails at these
    arguments.
    """

    def __init__(
        self,
        fn: Callable,
        args: Sequence,
        argnums: int | Sequence[int] | None = None,
        settings: Mapping | None = None,
        role: str = "fn",
    ):
        check_call(args, argnums, settings)
        self.fn, self.settings, self.role = fn, dict(settings or {}), role
        argnums = range(len(args)) if argnums is None else (argnums,) if isinstance(argnums, int) else argnums
        if any(not 0 <= i < len(args) for i in argnums):
            raise ValueError(f"argnums is {tuple(argnums)}: expected positions of the {len(args)} arguments")
        paths, self.tree = jax.tree_util.tree_flatten_with_path(tuple(args))
        self.selected = [path[0].idx in argnums and _is_float(leaf) for path, leaf in paths]
        self.static = [leaf for _, leaf in paths]
        self.names = [name for name, chosen in zip(self._names(paths), self.selected, strict=True) if chosen]
        if not self.names:
            raise ValueError("args hold no floating-point array to differentiate in: nothing can be audited")
        self._trace(args)

    def _trace(self, args) -> None:
        """Run the function once without values: what it raises, and what it returns, is told here."""
        point = self.split(args)
        who = f"{self.role} ({getattr(self.fn, '__name__', repr(self.fn))})"
        try:
            out = jax.eval_shape(
                lambda leaves, constants: self.fn(*self.merge(leaves, constants), **self.settings), *point
            )
        except Exception as error:
            raise BadCall(f"{who} fails at these arguments: {type(error).__name__}: {error}") from error
        outputs, self.out_tree = jax.tree.flatten(out)
        dtypes = ", ".join(str(value.dtype) for value in outputs) or "nothing"
        self.floats = [jnp.issubdtype(value.dtype, jnp.floating) for value in outputs]
        if not any(self.floats) or any(jnp.issubdtype(value.dtype, jnp.complexfloating) for value in outputs):
            raise ValueError(f"{who} returns {dtypes}: expected a floating-point result, real, to have a gradient")
        self.out = [value for value, is_float in zip(outputs, self.floats, strict=True) if is_float]
        try:
            jax.eval_shape(self.plain_vjp, *point, self.out)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ValueError(f"the gradient of {who} fails: {type(error).__name__}: {first}") from error

    def _names(self, paths) -> list[str]:
        """x, w, params['conv1']: the parameter's name where the signature tells it."""
        try:
            known = list(inspect.signature(self.fn).parameters)
        except (TypeError, ValueError):
            known = []
        names = []
        for path, _ in paths:
            index = path[0].idx
            name = known[index] if index < len(known) else f"args[{index}]"
            names.append(name + jax.tree_util.keystr(path[1:]))
        return names

    def split(self, args: Sequence, dtype=np.float64) -> tuple[Leaves, Leaves]:
        """(differentiable leaves, constants) of arguments, floating-point ones as `dtype`."""
        leaves = [_cast(leaf, dtype) for leaf in jax.tree.leaves(args)]
        chosen = [leaf for leaf, selected in zip(leaves, self.selected, strict=True) if selected]
        others = [leaf for leaf, selected in zip(leaves, self.selected, strict=True) if not selected]
        return chosen, [leaf for leaf in others if not is_static(leaf)]

    def merge(self, leaves: Sequence, constants: Sequence) -> tuple:
        """The arguments again: the inverse of `split`."""
        leaves, constants = iter(leaves), iter(constants)
        return jax.tree.unflatten(
            self.tree,
            [
                next(leaves) if selected else (static if is_static(static) else next(constants))
                for selected, static in zip(self.selected, self.static, strict=True)
            ],
        )

    def as_result(self, outputs: Sequence):
        """Floating-point leaves in the structure that the function returns; None where it returns integers."""
        outputs = iter(outputs)
        return jax.tree.unflatten(self.out_tree, [next(outputs) if is_float else None for is_float in self.floats])

    def select(self, gradients: Sequence) -> list:
        """The gradients of the differentiable leaves, from one entry per argument (None where there is none)."""
        if len(gradients) != self.tree.num_leaves and len(gradients) != len(self.tree.children()):
            raise ValueError(f"the oracle returned {len(gradients)} gradients: expected one per argument")
        flat = []
        for gradient, child in zip(gradients, self.tree.children(), strict=True):
            found = jax.tree.leaves(gradient, is_leaf=lambda leaf: leaf is None)
            flat += found if len(found) == child.num_leaves else found * child.num_leaves
        return [gradient for gradient, selected in zip(flat, self.selected, strict=True) if selected]

    def plain(self, leaves, constants) -> list:
        """F, not compiled."""
        out = jax.tree.leaves(self.fn(*self.merge(leaves, constants), **self.settings))
        return [jnp.asarray(value) for value, is_float in zip(out, self.floats, strict=True) if is_float]

    def plain_value_and_vjp(self, leaves, constants, g) -> tuple[list, list]:
        """F, as the rule for its gradient gives it, and Jᵀg."""
        out, pull = jax.vjp(lambda leaves: self.plain(leaves, constants), leaves)
        return out, pull([cotangent.astype(value.dtype) for cotangent, value in zip(g, out, strict=True)])[0]

    def plain_vjp(self, leaves, constants, g) -> list:
        return self.plain_value_and_vjp(leaves, constants, g)[1]

    def plain_value_and_jvp(self, leaves, constants, v) -> tuple[list, list]:
        """F, as the rule for its tangent gives it, and J v."""
        return jax.jvp(lambda leaves: self.plain(leaves, constants), (leaves,), (v,))

    @cached_property
    def value(self) -> Callable:
        """F(leaves, constants)."""
        return _jit(self.plain)

    @cached_property
    def vjp(self) -> Callable:
        """Jᵀg, as (leaves, constants, g)."""
        return _jit(self.plain_vjp)

    @cached_property
    def value_and_jvp(self) -> Callable:
        """F, as the rule for its tangent gives it, and J v, as (leaves, constants, v)."""
        return _jit(self.plain_value_and_jvp)

    def jvp(self, leaves, constants, v) -> list:
        """J v."""
        return self.value_and_jvp(leaves, constants, v)[1]

    @cached_property
    def second(self) -> Callable:
        """H v with H the Hessian of ⟨g, F⟩, reverse over reverse, as (leaves, constants, g, v)."""

        def along(leaves, constants, g, v):
            gradients = self.plain_vjp(leaves, constants, g)
            return sum(jnp.sum(a * b) for a, b in zip(gradients, v, strict=True))

        return _jit(jax.grad(along))

    @cached_property
    def second_forward(self) -> Callable:
        """H v, forward over reverse."""

        def along(leaves, constants, g, v):
            return jax.jvp(lambda leaves: self.plain_vjp(leaves, constants, g), (leaves,), (v,))[1]

        return _jit(along)

    @cached_property
    def vmapped(self) -> Callable:
        """Jᵀg at several points at once, as (stacked leaves, constants, g)."""
        return _jit(jax.vmap(self.plain_vjp, in_axes=(0, None, None)))

    @cached_property
    def vmapped_cotangents(self) -> Callable:
        """Jᵀg of several cotangents at once, as `jax.jacrev` takes them: (leaves, constants, stacked g)."""
        return _jit(jax.vmap(self.plain_vjp, in_axes=(None, None, 0)))

    @cached_property
    def vmapped_both(self) -> Callable:
        """As (stacked leaves, constants, stacked g)."""
        return _jit(jax.vmap(self.plain_vjp, in_axes=(0, None, 0)))

    @cached_property
    def scanned(self) -> Callable:
        """Jᵀg at one point after the other, inside a loop."""

        def run(stacked, constants, g):
            return jax.lax.map(lambda leaves: self.plain_vjp(leaves, constants, g), stacked)

        return _jit(run)

    @cached_property
    def rematerialised(self) -> Callable:
        """The same under `jax.checkpoint`."""

        def run(stacked, constants, g):
            saving = jax.checkpoint(lambda leaves: self.plain(leaves, constants))
            return jax.lax.map(lambda leaves: jax.vjp(saving, leaves)[1](g)[0], stacked)

        return _jit(run)

    @cached_property
    def vmapped_over(self) -> list[Callable]:
        """Per leaf, Jᵀg where it alone is stacked: an op's batching rule differs by which operand is mapped."""
        count = len(self.names)
        axes = [[0 if i == leaf else None for i in range(count)] for leaf in range(count)]
        return [_jit(jax.vmap(self.plain_vjp, in_axes=(one, None, None))) for one in axes]


def as_float64(arrays: Sequence) -> Leaves:
    """NumPy copies to compute with."""
    return [np.asarray(a).astype(np.float64) for a in arrays]


def unit_roundoff(dtype) -> float:
    """u: half the distance from 1 to the next number."""
    return float(jnp.finfo(dtype).eps) / 2
