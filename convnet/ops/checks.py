"""What every op refuses, said once: a `ValueError` that names the argument, its value and what was expected."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array


def _check_is_array(name: str, x: Array) -> None:
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise ValueError(f"{name} is a {type(x).__name__}: expected an array")


def check_array(name: str, x: Array | float, axes: str | None = None, *, floating: bool = True) -> Array:
    """`x` itself, or Python's number as JAX's, weakly typed, which takes on the dtype of whatever it meets.

    `axes` names the expected axes, "N H W C" say; None takes any rank.
    """
    x = jnp.asarray(x) if isinstance(x, bool | int | float) else x
    _check_is_array(name, x)
    if axes is not None and len(x.shape) != len(axes.split()):
        expected = ", ".join(axes.split())
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected {len(axes.split())} axes [{expected}]")
    if floating and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name} has dtype {x.dtype}: expected a floating-point dtype")
    return x


def check_same_dtype(**arrays: Array | None) -> None:
    """All given arrays (None is skipped) share one dtype: nothing is promoted silently."""
    arrays = {name: x for name, x in arrays.items() if x is not None}
    for name, x in arrays.items():
        _check_is_array(name, x)
    dtypes = {name: str(x.dtype) for name, x in arrays.items()}
    if len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise ValueError(f"the arguments have different dtypes ({listed}): expected one dtype")


def check_bias(b: Array | None, features: int) -> None:
    if b is not None and tuple(b.shape) != (features,):
        raise ValueError(f"b has shape {tuple(b.shape)}: expected ({features},), one bias per output feature")


def check_groups(groups: int, *channels: int) -> None:
    integer = hasattr(groups, "__index__") and not isinstance(groups, bool)
    if not integer or groups < 1 or any(c % groups for c in channels):
        raise ValueError(f"groups is {groups!r}: expected a positive divisor of the channels {channels}")


def real(name: str, value: float, *, above: float | None = None, least: float | None = None) -> float:
    """`value` as Python's float, which promotes nothing; it must be finite, > `above` and ≥ `least`."""
    try:
        good = math.isfinite(value) and (above is None or value > above) and (least is None or value >= least)
    except TypeError:
        good = False
    if not good:
        bound = "" if above is None else f" above {above}"
        bound += "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} is {value!r}: expected a finite number{bound}")
    return float(value)
