"""A derivative as it is defined: the limit of difference quotients, from both sides, with as many digits as it takes.

Nobody types a formula for it, so none can be wrong. What is differenced is the function in mathematics, in mpmath; the
quotients are taken with steps of 1e-20 of an argument at 160 digits, and once more with more digits: where the two
disagree there are more and more until they do not. That a slope is exactly 0, or does not exist, is believed only with
480 digits: 1 − tanh(300)² is 1e-260. Left and right quotients tell a kink from a slope: where they differ there is no
derivative, and what a library returns is its convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

DIGITS = (160, 240, 480, 640, 960, 1920)
"""Beside those that the smallest number of the point asks for."""
ENOUGH = 480
"""Digits with which whatever a float can hold is more than 0, beside 1."""
AGREE = mpf(10) ** -20
"""Two computations agree if their relative difference is below this."""
BELOW = mpf(10) ** -330
"""Numbers that no float holds."""
SMOOTH = mpf(10) ** -12
"""The sides of a derivative agree below this, relatively: their quotients err by about the step."""
GROWTH = 1.05
"""Quotients that grow by more, over steps 10⁴ times as small, grow without bound: logarithms do so by 1.2."""
NOTHING = mpf(10) ** -28
"""A slope is 0 beside that of the other side below this part of it."""


@dataclass(frozen=True)
class Slope:
    """Of a function at a point, along one direction: the limits of its quotients from the left and from the right.

    nan: there is none, because the function has no real value on that side, or the quotients do not converge.
    quotients: over the narrowest steps. What is noise of rounding in them is another with other digits.
    """

    left: mpf
    right: mpf
    quotients: tuple[mpf, mpf] = (mpf("nan"), mpf("nan"))

    @property
    def exists(self) -> bool:
        """Whether there is a derivative, a finite one."""
        finite = mpmath.isfinite(self.left) and mpmath.isfinite(self.right)
        return bool(finite and _close(self.left, self.right, SMOOTH))

    @property
    def value(self) -> mpf:
        """The derivative; nan where there is none."""
        return (self.left + self.right) / 2 if self.exists else mpf("nan")

    @property
    def infinite(self) -> bool:
        """Whether the quotients grow without bound from both sides, or from the only one, with one sign."""
        sides = [side for side in (self.left, self.right) if not mpmath.isnan(side)]
        return bool(sides) and all(mpmath.isinf(side) for side in sides) and len({side > 0 for side in sides}) == 1


@dataclass(frozen=True)
class Truth:
    """Of φ at a point with n entries: its value, its n slopes, and for each direction u the n slopes of its gradient
    along u.

    crossing: slopes along lines that move all entries at once. Where each entry has a slope and these are not their
    sums, φ has no gradient, as a median of equal numbers has none.
    """

    value: mpf
    first: tuple[Slope, ...]
    second: tuple[tuple[Slope, ...], ...]
    crossing: tuple[Slope, ...]

    @property
    def differentiable(self) -> bool:
        """Whether there is a gradient: a linear map, beside which the rest is small."""
        # Lines leave entries that have no slope where they are.
        slopes = [slope.value if slope.exists else mpf(0) for slope in self.first]
        largest = max(map(abs, slopes), default=mpf(0))

        def fits(crossing: Slope, line: Sequence[mpf]) -> bool:
            expected = sum((u * slope for u, slope in zip(line, slopes, strict=True)), mpf(0))
            return crossing.exists and abs(crossing.value - expected) <= SMOOTH * max(largest, abs(expected))

        return all(map(fits, self.crossing, _lines(self.first)))


class Unknown(ArithmeticError):
    """No number of digits that was tried settled the value."""


def truth(phi: Callable[[list[mpf]], Any], point: Sequence[float], directions: np.ndarray) -> Truth:
    """Value and derivatives of φ, a function of n mpmath numbers to one, at the floats `point`.

    directions: [m, n], for second derivatives. Raises Unknown where more digits change the result again and again.
    """
    before, small = None, [abs(x) for x in point if x and abs(x) < 1]
    beside = 2 * math.ceil(-math.log10(min(small))) if small else 0  # 1 + 1e-310 is told from 1, and so is its slope
    for digits in (beside + digits for digits in DIGITS):
        if before is not None and digits < beside + ENOUGH and _special(before):
            continue  # so many digits would not be believed
        with mp.workdps(digits):
            at = partial(_at, phi, [mpf(x) for x in point], [[mpf(float(u)) for u in row] for row in directions])
            with suppress(mpmath.libmp.NoConvergence):
                if before is not None and _same(before, at(before)):
                    return before
                before = at()
    raise Unknown(f"its value is not settled by {DIGITS[-1]} digits")


def _at(phi, point: list[mpf], directions: list[list[mpf]], before: Truth | None = None) -> Truth:
    """before: what fewer digits said. Then only the quotients are taken that are compared with it."""
    slope = _slope if before is None else _narrowest
    first = tuple(slope(lambda t, i=i: phi(_moved(point, i, t)), _step(point[i])) for i in range(len(point)))
    told = before.first if before else first
    second = tuple(
        tuple(
            slope(*_along(phi, point, i, row)) if own.exists else Slope(mpf("nan"), mpf("nan"))
            for i, own in enumerate(told)
        )
        for row in directions
    )
    crossing = tuple(slope(lambda t, u=u: phi(_shifted(point, u, t)), _least(point, u)) for u in _lines(told))
    return Truth(_value(lambda t: phi(_moved(point, 0, t)), mpf(0)), first, second, crossing)


def _lines(slopes: Sequence[Slope]) -> tuple[tuple[mpf, ...], ...]:
    """Two directions, in which no two entries that have slopes move alike, and the others do not; none for one."""
    free = [slope.exists for slope in slopes]
    if sum(free) < 2:
        return ()

    def step(i: int, sign: int) -> mpf:
        return mpf(i + 2 if sign > 0 or i % 2 else -i - 1) / 2 if free[i] else mpf(0)

    return tuple(tuple(step(i, sign) for i in range(len(free))) for sign in (1, -1))


def _along(phi, point: list[mpf], i: int, direction: list[mpf]) -> tuple[Callable[[mpf], mpf], mpf]:
    """∂φ/∂xᵢ along the direction, and a step: entries move by steps of their own size."""
    outer = _least(point, direction)
    inner = min(outer, _step(point[i])) * mpf(10) ** -40  # much smaller, or it would see across a kink of the gradient

    def gradient(t: mpf) -> mpf:
        moved = _shifted(point, direction, t)
        below, above = _real(phi, _moved(moved, i, -inner)), _real(phi, _moved(moved, i, inner))
        return (above - below) / (2 * inner)

    return gradient, outer


def _slope(f: Callable[[mpf], mpf], h: mpf) -> Slope:
    """Of f at 0, by quotients over h and h / 10⁴."""
    at = _value(f, mpf(0))
    left, right = (tuple(_quotient(f, at, step) for step in (h, h / 10**4)) for h in (-h, h))
    return Slope(_limit(*left, *right), _limit(*right, *left), (left[1], right[1]))


def _narrowest(f: Callable[[mpf], mpf], h: mpf) -> Slope:
    """The quotients of `_slope` over the narrower steps, and nothing made of them."""
    at, step = _value(f, mpf(0)), h / 10**4
    return Slope(mpf("nan"), mpf("nan"), (_quotient(f, at, -step), _quotient(f, at, step)))


def _quotient(f: Callable[[mpf], mpf], at: mpf, h: mpf) -> mpf:
    """Of second order, from one side; nan where f has no real value."""
    return (4 * _value(f, h) - _value(f, 2 * h) - 3 * at) / (2 * h)


def _limit(wide: mpf, narrow: mpf, *others: mpf) -> mpf:
    """Of quotients over a wide and a narrow step: they converge, vanish (also beside the `others`, those of the other
    side), grow, or do none of these (nan)."""
    if mpmath.isnan(wide) or mpmath.isnan(narrow) or mpmath.isinf(narrow):
        return mpf("nan")
    beside = max((abs(other) for other in others if mpmath.isfinite(other)), default=mpf(0))
    if abs(narrow) < max(BELOW, NOTHING * beside):
        return mpf(0)
    if _close(wide, narrow, SMOOTH):
        return narrow
    if abs(narrow) < abs(wide) / 2:
        return mpf(0)
    grows = abs(narrow) > GROWTH * abs(wide)
    return mpmath.sign(narrow) * mpf("inf") if grows else mpf("nan")


def _value(f: Callable[[mpf], mpf], t: mpf) -> mpf:
    """nan where f has no real value."""
    try:
        return _real(lambda values: f(values[0]), [t])
    except mpmath.libmp.NoConvergence:
        raise
    except (ValueError, ArithmeticError, RecursionError):
        return mpf("nan")


def _real(phi, point: list[mpf]) -> mpf:
    value = phi(point)
    if isinstance(value, mpmath.mpc):
        return value.real if value.imag == 0 else mpf("nan")
    return mpf(value)


def _moved(point: list[mpf], i: int, t: mpf) -> list[mpf]:
    return [x + t if j == i else x for j, x in enumerate(point)]


def _shifted(point: list[mpf], direction: Sequence[mpf], t: mpf) -> list[mpf]:
    return [x + t * u if u else x for x, u in zip(point, direction, strict=True)]


def _least(point: list[mpf], direction: Sequence[mpf]) -> mpf:
    """A step of the size of the smallest entry that moves."""
    return min((_step(x) for x, u in zip(point, direction, strict=True) if u and x), default=_step(mpf(0)))


def _step(x: mpf) -> mpf:
    """Of its own size, so that no other point of interest is passed on the way."""
    return (abs(x) if x and mpmath.isfinite(x) else mpf(1)) * mpf(10) ** -20


def _close(a: mpf, b: mpf, tolerance: mpf) -> bool:
    if a == b or (mpmath.isnan(a) and mpmath.isnan(b)):
        return True
    return bool(abs(a - b) <= tolerance * max(abs(a), abs(b)))


def _special(found: Truth) -> bool:
    """Whether a slope is 0, or none: too few digits look the same."""
    slopes = [*found.first, *(slope for row in found.second for slope in row)]
    return any(side == 0 or not mpmath.isfinite(side) for slope in slopes for side in (slope.left, slope.right))


def _same(a: Truth, b: Truth) -> bool:
    pairs = [(a.value, b.value)]
    slopes = [*zip(a.first, b.first, strict=True), *zip(a.crossing, b.crossing, strict=False)]
    slopes += [pair for rows in zip(a.second, b.second, strict=True) for pair in zip(*rows, strict=True)]
    pairs += [pair for s, t in slopes for pair in zip(s.quotients, t.quotients, strict=True)]
    return all(_close(x, y, AGREE) or max(abs(x), abs(y)) < BELOW for x, y in pairs)


def digits(x: mpf, shown: int = 15) -> str:
    """As text, with so many digits."""
    return mpmath.nstr(x, shown)
