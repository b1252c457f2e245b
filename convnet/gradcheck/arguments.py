"""What arguments may be: arrays to differentiate in, constants, settings; and the numbers that are computed with."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

Leaves = list[np.ndarray]


class StaticFloat(float):
    """A number that is a setting: Python's other floats are arrays of no dimension, and differentiated."""


def is_static(leaf) -> bool:
    """Python's own integers, booleans and strings are settings (a window, say), which must stay what they are; so are
    the functions, dtypes and choices that modules hold among their arrays (an activation of Equinox)."""
    return isinstance(leaf, int | str | StaticFloat | enum.Enum | np.dtype) or callable(leaf)


def with_settings(args: Sequence) -> tuple:
    """The arguments, where Python's floats that are attributes of a module are settings (a rate of dropout), as they
    are to Equinox. Elsewhere, and in named tuples, they are differentiated, as they are by `jax.grad`."""

    def settle(path, leaf):
        held = type(leaf) is float and isinstance(path[-1], jax.tree_util.GetAttrKey)
        return StaticFloat(leaf) if held and not isinstance(_at(args, path[:-1]), tuple) else leaf

    return jax.tree_util.tree_map_with_path(settle, tuple(args))


def _at(tree, path: tuple):
    """What stands there; None where a class has no names for its parts."""
    for key in path:
        if isinstance(key, jax.tree_util.FlattenedIndexKey):
            return None
        tree = getattr(tree, key.name) if hasattr(key, "name") else tree[key.idx if hasattr(key, "idx") else key.key]
    return tree


def is_key(leaf) -> bool:
    """Keys of `jax.random` are passed on as they are: NumPy has no such dtype."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_float(leaf) -> bool:
    """Whether there is something to differentiate in."""
    return not is_static(leaf) and not is_key(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def cast(leaf, dtype):
    if is_static(leaf) or is_key(leaf):
        return leaf
    return np.asarray(leaf, dtype) if is_float(leaf) else np.asarray(leaf)


def is_part_of(name: str, argument: str) -> bool:
    """Whether `params['w']` belongs to `params`, or is it."""
    return name == argument or name.startswith((f"{argument}[", f"{argument}."))


class BadInput(ValueError):
    """What the audit was given cannot be audited."""


def names_of(fn: Callable, paths: Sequence[tuple]) -> list[str]:
    """x, w, params['conv1']: of every array among a function's arguments, by its path; the parameter's name where the
    signature tells it."""
    try:
        known = list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        known = []
    names = []
    for path, _ in paths:
        index = path[0].idx
        name = known[index] if index < len(known) else f"args[{index}]"
        names.append(name + jax.tree_util.keystr(path[1:]))
    return names


def check_call(args, argnums, settings) -> None:
    """What JAX would only stumble over."""
    if not isinstance(args, tuple | list):
        raise ValueError(f"args is a {type(args).__name__}: expected a tuple of the function's positional arguments")
    if settings is not None and not isinstance(settings, Mapping):
        raise ValueError(f"settings is {settings!r}: expected a mapping of keyword arguments")
    if not (argnums is None or isinstance(argnums, int | tuple | list | range)):
        raise ValueError(f"argnums is {argnums!r}: expected an int or a tuple of ints")
    for leaf in jax.tree.leaves(args):
        if is_static(leaf) or is_key(leaf):
            continue
        if np.asarray(leaf).dtype.kind in "OSU":
            raise ValueError(f"args hold a {type(leaf).__name__}: expected arrays")
        if np.asarray(leaf).dtype.kind == "c":
            raise ValueError("args hold complex numbers: expected real ones")


def as_float64(arrays: Sequence) -> Leaves:
    """NumPy copies to compute with."""
    return [np.asarray(a).astype(np.float64) for a in arrays]


def unit_roundoff(dtype) -> float:
    """u: half the distance from 1 to the next number."""
    return float(jnp.finfo(dtype).eps) / 2


class Arguments:
    """What a function is called with, as lists of arrays: those to differentiate in, and constants.

    Integer, boolean and unselected arrays are constants: given, but never differentiated. Constants with a
    floating-point dtype are cast to that of the differentiable leaves. What `is_static` stays as it is.
    `symmetric` names arguments that are symmetric matrices.

    Raises ValueError where there is nothing to differentiate, and for symmetric arguments that are not square.
    """

    def __init__(self, fn: Callable, args: Sequence, argnums: int | Sequence[int] | None, symmetric: Sequence[str]):
        argnums = range(len(args)) if argnums is None else (argnums,) if isinstance(argnums, int) else argnums
        if any(not 0 <= i < len(args) for i in argnums):
            raise ValueError(f"argnums is {tuple(argnums)}: expected positions of the {len(args)} arguments")
        paths, self.tree = jax.tree_util.tree_flatten_with_path(tuple(args))
        self.selected = [path[0].idx in argnums and is_float(leaf) for path, leaf in paths]
        self.static = [leaf for _, leaf in paths]
        self.all_names = names_of(fn, paths)
        self.symmetric = [any(is_part_of(name, known) for known in symmetric) for name in self.all_names]
        for name, symmetric, leaf in zip(self.all_names, self.symmetric, self.static, strict=True):
            if symmetric and (np.ndim(leaf) < 2 or np.shape(leaf)[-1] != np.shape(leaf)[-2]):
                raise ValueError(f"{name} has shape {np.shape(leaf)}: expected symmetric matrices")
        self.names = [name for name, chosen in zip(self.all_names, self.selected, strict=True) if chosen]
        kept = zip(self.all_names, self.selected, self.static, strict=True)
        self.constant_names = [name for name, chosen, leaf in kept if not chosen and not is_static(leaf)]
        if not self.names:
            raise ValueError("args hold no floating-point array to differentiate in: nothing can be audited")

    def split(self, args: Sequence, dtype=np.float64) -> tuple[Leaves, Leaves]:
        """(differentiable leaves, constants) of arguments, floating-point ones as `dtype`."""
        leaves = [cast(leaf, dtype) for leaf in jax.tree.leaves(args)]
        chosen = [leaf for leaf, selected in zip(leaves, self.selected, strict=True) if selected]
        others = [leaf for leaf, selected in zip(leaves, self.selected, strict=True) if not selected]
        return chosen, [leaf for leaf in others if not is_static(leaf)]

    def merge(self, leaves: Sequence, constants: Sequence) -> tuple:
        """The arguments again: the inverse of `split`."""
        leaves, constants = iter(leaves), iter(constants)
        merged = [
            next(leaves) if selected else (static if is_static(static) else next(constants))
            for selected, static in zip(self.selected, self.static, strict=True)
        ]
        return jax.tree.unflatten(self.tree, self._symmetric(merged))

    def _symmetric(self, arrays: Sequence) -> list:
        """Matrices that are said to be symmetric as such: what is moved at one entry is moved at the other."""
        return [
            (x + x.swapaxes(-1, -2)) / 2 if symmetric and x is not None and is_float(x) else x
            for x, symmetric in zip(arrays, self.symmetric, strict=True)
        ]

    def select(self, gradients: Sequence) -> list:
        """The gradients of the differentiable leaves, from one entry per argument (None where there is none)."""
        if len(gradients) != self.tree.num_leaves and len(gradients) != len(self.tree.children()):
            raise BadInput(f"the oracle returned {len(gradients)} gradients: expected one per argument")
        flat = []
        for gradient, child in zip(gradients, self.tree.children(), strict=True):
            found = jax.tree.leaves(gradient, is_leaf=lambda leaf: leaf is None)
            flat += found if len(found) == child.num_leaves else found * child.num_leaves
        flat = self._symmetric(flat)
        return [gradient for gradient, selected in zip(flat, self.selected, strict=True) if selected]
