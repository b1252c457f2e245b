"""What arguments may be: arrays to differentiate in, constants, settings; and the numbers that are computed with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

Leaves = list[np.ndarray]


def is_static(leaf) -> bool:
    """Python's own integers, booleans and strings are settings (a window, say), which must stay what they are."""
    return isinstance(leaf, int | str)


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


class BadInput(ValueError):
    """What the audit was given cannot be audited."""


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
