"""A function of somebody else's: the call as a user writes it, where it is looked at, and the mathematics of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

LABELS = {
    "generic": "arguments of moderate size, nothing special about them",
    "tail": "far out: where the function saturates, over- or underflows, or changes slowly",
    "tie": "equal arguments, or equal entries of one",
    "zero": "an argument is 0, of either sign, or all entries are",
    "subnormal": "numbers below the smallest normal one",
    "branch": "where the function, or a formula that computes it, changes from one case to another",
    "end": "an end of the domain",
    "repeated": "repeated singular values or eigenvalues",
    "length one": "an axis of one entry",
    "empty": "an axis without entries",
}
"""What kinds of points there are."""


@dataclass(frozen=True)
class Point:
    """Arguments, by position: numbers where the case is elementwise, else arrays (or numbers)."""

    label: str
    args: tuple[Any, ...]

    def __post_init__(self):
        if self.label not in LABELS:
            raise ValueError(f"label is {self.label!r}: expected one of {', '.join(LABELS)}")


@dataclass(frozen=True, eq=False)  # points hold arrays, which have no hash
class Case:
    """What is known of one function.

    function: its public name, "jax.scipy.special.digamma".
    call: an expression in the names of `args`, as a user writes it: "jax.scipy.special.digamma(x)".
    oracle: the same function in mathematics, of as many arguments. Elementwise: of mpmath numbers, one number.
        Otherwise: of NumPy arrays of mpmath numbers (dtype object) to such an array, a number, or a tuple of them. It
        is evaluated with as many digits as it takes, so it may cancel, but it must not use float arithmetic.
    elementwise: whether an entry of the result depends on the same entry of each argument alone.
    wrt: positions that are differentiated in; the others are passed on (integers, labels, degrees of freedom).
    dtypes: in which the function is called.
    scipy: the same in SciPy or NumPy, of floats, where there is one: a second opinion.
    """

    function: str
    call: str
    args: tuple[str, ...]
    oracle: Callable[..., Any]
    points: tuple[Point, ...]
    elementwise: bool = True
    wrt: tuple[int, ...] = (0,)
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16")
    scipy: Callable[..., Any] | None = None

    @property
    def key(self) -> str:
        """What tells it from other cases: the call, and what it is differentiated in."""
        return f"{self.call}, in {', '.join(self.args[i] for i in self.wrt)}"

    @cached_property
    def fn(self) -> Callable[..., Any]:
        """What `call` says, as a function of all arguments."""
        return eval(f"lambda {', '.join(self.args)}: {self.call}", _packages(self.call))


def case(
    function: str,
    oracle: Callable[..., Any],
    points: Sequence[Point],
    *,
    call: str | None = None,
    args: str = "x",
    **options: Any,
) -> Case:
    """A case of `function`, called with `args` ("a, x") unless `call` says otherwise."""
    names = tuple(name.strip() for name in args.split(","))
    return Case(function, call or f"{function}({', '.join(names)})", names, oracle, tuple(points), **options)


def at(label: str, *args: Any) -> tuple[Point, ...]:
    """Points of one label: each of `args` is a number or array, or a tuple of those, one for each argument."""
    return tuple(Point(label, each if isinstance(each, tuple) else (each,)) for each in args)


def first_of_each(cases: Iterable[Case]) -> dict[str, Case]:
    """Function -> its first case."""
    found: dict[str, Case] = {}
    for one in cases:
        found.setdefault(one.function, one)
    return found


def not_covered(module: str, reasons: Mapping[str, str]) -> dict[str, str]:
    """Functions of `module` without a case -> why. reasons: why -> their names, between blanks."""
    return {f"{module}.{name}": why for why, names in reasons.items() for name in names.split()}


def _packages(call: str) -> dict[str, Any]:
    """The names that calls use."""
    known = {"jax": "jax", "jnp": "jax.numpy", "lax": "jax.lax", "optax": "optax", "nn": "flax.linen", "np": "numpy"}
    found = {name: importlib.import_module(module) for name, module in known.items() if f"{name}." in call}
    for module in ("jax.scipy.special", "jax.scipy.stats", "jax.scipy.linalg", "jax.image"):
        if module in call:
            importlib.import_module(module)
    return found


def numbers(*values: float) -> np.ndarray:
    """A vector for a table of points, shorter to write than `np.array([…])`."""
    return np.array(values, float)
