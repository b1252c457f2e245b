"""An exercise: what is to be written, what it is judged by, and the mistakes that are often made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import jax
import numpy as np

QUICK = {"xla_backend_optimization_level": 0}
"""For programs that run once, so that what they cost is their compilation."""
Results = Sequence[np.ndarray | None]
"""One array for each result of a function; None where nothing is known of it."""


@dataclass(frozen=True, eq=False)
class Case:
    """One call of the function. Arrays among `args` are float32 and cannot be written to.

    name: what is special about it. run: how the function is used, where it is more than called once. smooth: whether
    finite differences are the gradient there. counts: what a wrong factor may come from: its name -> its value.
    """

    name: str
    args: tuple[Any, ...]
    run: Callable[..., Any] = lambda function, *args: function(*args)
    smooth: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Mistake:
    """A usual mistake. hint: what follows "This is what one gets ". made: (the right function, *its arguments) -> what
    the mistake makes of them; None among several results where it does not touch one."""

    hint: str
    made: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function that is left to be written.

    function: its name; the file is called `NUMBER_function.py`. results: the names of what it returns; several are
    returned as a tuple. draw: () -> the cases. reference: the library's function, by which `solution` computes the
    same, and `plain` in NumPy, where nothing has to be compiled (mistakes are made of that one). home: the file where
    the library's stands. slopes: (*args) -> the gradient by finite differences, for a gradient. whole: whether results
    are counts, which have to be equal.
    """

    number: int
    title: str
    function: str
    results: tuple[str, ...]
    draw: Callable[[], Sequence[Case]]
    solution: Callable[..., Any]
    plain: Callable[..., Any]
    reference: str
    home: str
    mistakes: tuple[Mistake, ...]
    slopes: Callable[..., Any] | None = None
    whole: bool = False

    @property
    def file(self) -> str:
        return f"{self.number}_{self.function}.py"

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        return tuple(self.draw())


# --- what is right, and what a mistake makes of it; each computed once ------------------------------------------------


@cache
def expected(exercise: Exercise, case: Case) -> list[np.ndarray]:
    """What the library gives, computed in float64."""
    return _results(case, exercise.solution)


@cache
def differences(exercise: Exercise, case: Case) -> list[np.ndarray] | None:
    """The gradient by finite differences; None where there are none."""
    return _results(case, exercise.slopes) if exercise.slopes and case.smooth else None


@cache
def by_mistake(exercise: Exercise, case: Case, mistake: Mistake) -> Results:
    """What one gets who makes the mistake; nothing where it cannot be made."""
    try:
        return _results(case, lambda *args: mistake.made(exercise.plain, *args))
    except (ValueError, IndexError):  # a kernel that is not square does not fit when it is transposed
        return [None] * len(exercise.results)


def _results(case: Case, function: Callable[..., Any]) -> list[np.ndarray | None]:
    with jax.enable_x64(True), np.errstate(all="ignore"):
        found = case.run(function, *map(_widened, case.args))
        found = found if isinstance(found, tuple) else (found,)
        return [None if one is None else np.asarray(one, np.float64) for one in found]


def _widened(arg: Any) -> Any:
    """In float64, if it is an array of floats."""
    return arg.astype(np.float64) if isinstance(arg, np.ndarray) and arg.dtype.kind == "f" else arg


# --- arguments --------------------------------------------------------------------------------------------------------


def fixed(array: Any, dtype: Any = np.float32) -> np.ndarray:
    """An argument: a copy that cannot be written to."""
    made = np.array(array, dtype)
    made.flags.writeable = False
    return made


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """An argument of normal numbers."""
    return fixed(rng.normal(size=shape))


def central_differences(loss: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """dL/dx of every entry: (L(x + h) − L(x − h)) / 2h."""
    found = np.zeros(at.shape)
    for entry in np.ndindex(at.shape):
        ends = []
        for sign in (1, -1):
            moved = np.array(at, np.float64)
            moved[entry] += sign * step
            ends.append(loss(moved))
        found[entry] = (ends[0] - ends[1]) / (2 * step)
    return found
