"""One number of a library's beside the truth, and the worst of many.

The yardstick is what rounding does. An argument is a float, and moving it by a unit roundoff u moves the truth by
u |x f″|; an error within a thousand times that, and u |f′|, is no more than a long computation's. Beyond it digits are
lost; a derivative that has not three of them left, and is off by something beside the function itself, is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from mpmath import mpf

from convnet.board.case import Case
from convnet.board.truth import Slope, Truth

LONG = 1000
"""Unit roundoffs that a long computation may lose."""
NEAR = LONG * float(jnp.finfo("float64").eps) / 2
"""How far, relatively, a point may lie from another that a long computation in float64 does not tell from it."""
WRONG = {"float64": 1e-3, "float32": 1e-2}
"""Relative errors of what has no right digits left. Of the two or three that bfloat16 has any may be lost: there, only
numbers that are not finite count."""
SMALL = 0.75
"""Below this power of the smallest normal number (1e-231 in float64) intermediate results underflow, and digits are
lost."""
STILL = 1e-12
"""A sum is 0 beside its terms below this part of them."""
STATUS = ("right", "none", "digits", "wrong", "not finite")
"""Rising. none: there is no derivative."""
NO_SLOPE = Slope(mpf("nan"), mpf("nan"))


@dataclass(frozen=True)
class Verdict:
    """On one number: the `entry` of a gradient, in second order along a `direction`. ulps: its error in units of what
    one rounding does to it."""

    status: str
    entry: int
    got: float
    slope: Slope
    ulps: float = 0.0
    direction: int | None = None

    @property
    def bad(self) -> bool:
        return self.status in ("wrong", "not finite")

    def __lt__(self, other: Verdict) -> bool:
        return (STATUS.index(self.status), self.ulps) < (STATUS.index(other.status), other.ulps)


@dataclass(frozen=True)
class Yardstick:
    """At one point in one dtype. flat: what a long computation may make of a derivative that is 0; nothing: an error
    that is nothing beside the function; overflows: whether the function's value does, and its derivative may with it.
    """

    dtype: str
    flat: float
    nothing: float
    overflows: bool

    @classmethod
    def of(cls, true: Truth, dtype: str, natural: float, *, length: float = np.inf, order: int = 1) -> Yardstick:
        """natural: a slope that is one of the function as a whole. length: over which arguments change it as a whole.
        order: 1 for slopes, 2 for second derivatives.

        An error is nothing if it is half of all digits below that; or where 1 is beside the function, as in 1 − y², if
        it is no more than what a long computation rounds of 1. A derivative that is 0, as that of a difference of two
        equal terms of order 1, may come out as what is rounded of their slopes, whatever is left of the function.
        """
        info, value = jnp.finfo(dtype), abs(float(true.value))
        u = float(info.eps) / 2
        noise = LONG * u * (1.0 if value > np.sqrt(u) else value)
        with np.errstate(all="ignore"):  # the length may be infinite, or its square 0
            slope = max(1.0, value) / np.float64(length) ** order
        flat = max(noise, LONG * u * float(slope))
        return cls(dtype, flat, max(np.sqrt(u) * natural, noise), bool(abs(true.value) > float(info.max)))

    def verdict(self, entry: int, slope: Slope, got: float, size: float, conditioning: float) -> Verdict:
        """size: of the truth; conditioning: how much it moves with its arguments, relatively."""
        if not slope.exists:
            return Verdict("right" if slope.infinite and np.isinf(got) else "none", entry, got, slope)
        info = jnp.finfo(self.dtype)
        u, tiny, most = float(info.eps) / 2, float(info.tiny), float(info.max)
        if not np.isfinite(got):
            due = abs(slope.value) > most / 2 or self.overflows
            return Verdict("right" if due else "not finite", entry, got, slope, np.inf)
        error = float(abs(mpf(got) - slope.value))
        ulps = error / (u * (size + conditioning) + LONG * tiny)
        if ulps <= LONG or (size < tiny and abs(got) < 4 * tiny) or (size == 0 and error <= self.flat):
            return Verdict("right", entry, got, slope, ulps)
        underflows = 0 < size <= tiny**SMALL
        wrong = error > WRONG.get(self.dtype, np.inf) * size and error > self.nothing and not underflows
        return Verdict("wrong" if wrong else "digits", entry, got, slope, ulps)


def first_order(case: Case, true: Truth, like: Truth, x: np.ndarray, dtype: str, got: np.ndarray) -> Verdict:
    """The worst number of a gradient `got` [n] at the numbers `x` [n]. like: the truth close by, with second
    derivatives, which say how far rounding the arguments moves it."""
    moved = np.array([[_size(slope) for slope in row] for row in like.second])
    sizes = np.abs(np.nan_to_num(x))
    with np.errstate(over="ignore"):  # then everything is within rounding
        conditioning = sizes @ moved if case.elementwise else np.full(x.size, _most(moved) * _most(sizes))
    natural = abs(float(true.value)) / max(1.0, _most(sizes))
    # An array may matter by its direction alone, as in an angle; a number near 0 is moved by 1, not by its size.
    length = max(1.0, _most(sizes)) if case.elementwise else _most(sizes) or 1.0
    slopes = true.first if true.differentiable else [NO_SLOPE] * x.size
    yardstick = Yardstick.of(true, dtype, natural, length=length)
    return _worst(case, slopes, got, conditioning, yardstick)


def second_order(case: Case, true: Truth, x: np.ndarray, got: np.ndarray, near: Sequence[Truth] = ()) -> Verdict:
    """The worst number of second derivatives `got` [m, n], in float64.

    near: the truth at points `NEAR` away, which say how far rounding the arguments moves it; none: that is not known,
    and counts for nothing.
    """
    largest, value = _most(np.abs(np.nan_to_num(x))), abs(float(true.value))
    size = max(1.0, largest)
    natural = max(value / size / size, max(map(_size, true.first), default=0.0) / size)
    length = (largest or 1.0) if not case.elementwise and _scales_away(true, x) else np.inf
    yardstick = Yardstick.of(true, "float64", natural, length=length, order=2)
    moved = np.zeros((len(true.second), x.size))
    for other in near:
        apart = [
            [_apart(*pair) for pair in zip(*rows, strict=True)] for rows in zip(true.second, other.second, strict=True)
        ]
        moved = np.maximum(moved, np.array(apart) / NEAR)
    if not case.elementwise:
        moved[:] = _most(moved)
    numbers = zip(true.second, got, moved, strict=True)
    rows = [_worst(case, row, own, conditioning, yardstick) for row, own, conditioning in numbers]
    return max(replace(verdict, direction=m) for m, verdict in enumerate(rows))


def _scales_away(true: Truth, x: np.ndarray) -> bool:
    """Whether a function is the same where all entries grow together, as an angle is: Σ xᵢ ∂ᵢφ = 0 (Euler). Its
    derivatives are of the size of 1 / |x|, those of second order of 1 / |x|²."""
    terms = [mpf(float(value)) * slope.value for value, slope in zip(x, true.first, strict=True)]
    return abs(sum(terms, mpf(0))) <= STILL * sum(map(abs, terms), mpf(0))


def _worst(case: Case, slopes: Sequence[Slope], got: np.ndarray, conditioning, yardstick: Yardstick) -> Verdict:
    """Entries of an elementwise case are numbers for themselves; those of a gradient of arrays are one vector."""
    sizes = np.array(list(map(_size, slopes)))
    if not case.elementwise:
        sizes = np.full(sizes.size, _most(sizes))
    numbers = zip(slopes, got.tolist(), sizes, conditioning, strict=True)
    verdicts = [yardstick.verdict(entry, *number) for entry, number in enumerate(numbers)]
    return max(verdicts, default=Verdict("right", 0, 0.0, Slope(mpf(0), mpf(0))))


def _apart(one: Slope, other: Slope) -> float:
    return abs(float(one.value - other.value)) if one.exists and other.exists else 0.0


def _size(slope: Slope) -> float:
    return abs(float(slope.value)) if slope.exists else 0.0


def _most(values: np.ndarray) -> float:
    return float(np.max(values, initial=0.0))
