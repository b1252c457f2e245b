"""`jax.scipy.special`: integrals of exp(∓t²) and of the normal density, their inverses, and Fresnel's."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case, numbers
from convnet.board.points import LINE, SUBNORMAL, UNIT_INTERVAL
from convnet.board.real import remembered


def inverse(f: Callable[[mpf], mpf], slope: Callable[[mpf], mpf], y: mpf, start: mpf) -> mpf:
    """x with f(x) = y, by Newton's steps from `start`, which double its digits."""
    x, digits = start, 20
    while True:
        with mp.workdps(min(digits, mp.dps + 10)):
            step = (f(x) - y) / slope(x)
            x -= step
        if abs(step) < abs(x) * mpf(10) ** (-digits // 2):
            if digits > mp.dps:
                return +x
            digits *= 2


@remembered
def erfinv(x: mpf) -> mpf:
    if abs(x) > mpf(7) / 8:
        return mp.sign(x) * erfcinv(1 - abs(x))
    slope = lambda t: 2 / mp.sqrt(mp.pi) * mp.exp(-t * t)  # noqa: E731
    return inverse(mp.erf, slope, x, x) if x else mpf(0)


@remembered
def erfcinv(y: mpf) -> mpf:
    """In the tail log erfc is inverted, which is nearly −x²."""
    if not 0 <= y <= 2:
        return mpmath.nan
    if y in (0, 2):
        return mpf("inf") * (1 - y)
    if y > 1:
        return -erfcinv(2 - y)
    if y > mpf(1) / 8:
        return erfinv(1 - y)
    with mp.workdps(15):
        start = mp.sqrt(-mp.log(y * mp.sqrt(-mp.pi * mp.log(y))))
    slope = lambda t: -2 / mp.sqrt(mp.pi) * mp.exp(-t * t) / mp.erfc(t)  # noqa: E731
    return inverse(lambda t: mp.log(mp.erfc(t)), slope, mp.log(y), start)


def erfcx(x: mpf) -> mpf:
    return mp.exp(x * x) * mp.erfc(x)


def dawsn(x: mpf) -> mpf:
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


@remembered
def ndtr(x: mpf) -> mpf:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def ndtri(p: mpf) -> mpf:
    return -mp.sqrt(2) * erfcinv(2 * p)


def wofz(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(−z²) erfc(−iz)."""
    return exact.entrywise(lambda a, b: mp.exp(-(mp.mpc(a, b) ** 2)) * mp.erfc(mp.mpc(b, -a)), 2)(x, y)


def complex_erfcx(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return wofz(-y, x)


def owens_t(h: mpf, a: mpf) -> mpf:
    """∫₀ᵃ exp(−h²(1 + x²)/2) / (1 + x²) dx / 2π; beyond a = 1 by its relation to T(ah, 1/a)."""
    if a < 0 or h < 0:
        return mp.sign(a) * owens_t(abs(h), abs(a)) if a else mpf(0)
    if a > 1:
        upper, outer = mp.erfc(h / mp.sqrt(2)), mp.erfc(a * h / mp.sqrt(2))
        return (upper + outer - upper * outer) / 4 - owens_t(a * h, 1 / a)
    with mp.workdps(mp.dps + int(h * h) + 10):
        result = (mp.atan(a) - _owens_series(h * h / 2, a)) / (2 * mp.pi)
    return +result


def _owens_series(half: mpf, a: mpf) -> mpf:
    """Σ (−1)^j a^(2j + 1) / (2j + 1) · (1 − e^(−h²/2) Σ_{i ≤ j} (h²/2)^i / i!), which cancels."""
    rest, last = -mp.expm1(-half), mp.exp(-half)
    total, power, j = mpf(0), a, 0
    while abs(power * rest) > a * mp.eps * 2**10:
        total += (-1) ** j * power * rest / (2 * j + 1)
        j += 1
        last *= half / j
        rest -= last
        power *= a * a
    return total


COMPLEX = (
    *at("generic", (numbers(0.7), numbers(1.1)), (numbers(-2.3), numbers(0.4)), (numbers(0.4), numbers(-0.6))),
    *at("tail", (numbers(-4.0), numbers(1.0)), (numbers(300.0), numbers(1e-3)), (numbers(0.1), numbers(30.0))),
    *at("zero", (numbers(1.5), numbers(0.0)), (numbers(0.0), numbers(0.5)), (numbers(0.0), numbers(0.0))),
)
"""Real and imaginary part."""

FRESNEL = (*LINE, *SUBNORMAL, *at("branch", 1.600781059358212, 1.6007810593582123), *at("tail", 36974.0, 36975.5, -1e5))

CASES: tuple[Case, ...] = (
    case("jax.scipy.special.erf", mp.erf, (*LINE, *SUBNORMAL, *at("branch", 0.5, 1.0), *at("tail", 5.9, -5.9)),
         scipy=scipy.special.erf),
    case("jax.scipy.special.erfc", mp.erfc, (*LINE, *at("branch", 0.5, 1.0), *at("tail", 5.9, 10.0, 26.0)),
         scipy=scipy.special.erfc),
    case("jax.scipy.special.erfcx", erfcx,
         (*LINE, *at("branch", 2.25, 9.4, 26.6, 26.65), *at("tail", -5.0, 6.0, 12.0, 26.5, 1e10, 1e150)),
         scipy=scipy.special.erfcx),
    case("jax.scipy.special.erfcx", complex_erfcx, COMPLEX, call="jax.scipy.special.erfcx(x + 1j * y)", args="x, y",
         wrt=(0, 1), elementwise=False, dtypes=("float64", "float32"),
         scipy=lambda x, y: scipy.special.erfcx(x + 1j * y)),
    case("jax.scipy.special.erfinv", erfinv,
         (*at("generic", -0.7, -0.2, 0.4, 0.9), *at("tail", 0.9999, 1 - 1e-10, -1 + 1e-10, 1e-10),
          *at("zero", 0.0, -0.0), *at("end", 1.0, -1.0, 1 - 2.0**-53), *at("subnormal", 1e-310)),
         scipy=scipy.special.erfinv),
    case("jax.scipy.special.erfcinv", erfcinv,
         (*at("generic", 0.1, 0.4, 1.3, 1.9), *at("tail", 1e-10, 1e-150, 1e-300, 2 - 1e-10), *at("tie", 1.0),
          *at("end", 0.0, 2.0), *at("subnormal", 1e-310)),
         scipy=scipy.special.erfcinv),
    case("jax.scipy.special.dawsn", dawsn,
         (*LINE, *SUBNORMAL, *at("branch", 3.25, 6.25, 0.9241388730045916), *at("tail", 1e10, -1e5)),
         scipy=scipy.special.dawsn),
    case("jax.scipy.special.wofz", wofz, COMPLEX, call="jax.scipy.special.wofz(x + 1j * y)", args="x, y", wrt=(0, 1),
         elementwise=False, dtypes=("float64", "float32"), scipy=lambda x, y: scipy.special.wofz(x + 1j * y)),
    case("jax.scipy.special.ndtr", ndtr, (*LINE, *at("tail", -10.0, -37.0, 8.0), *at("branch", -1.0, 1.0)),
         dtypes=("float64", "float32"), scipy=scipy.special.ndtr),
    case("jax.scipy.special.log_ndtr", lambda x: mp.log(ndtr(x)),
         (*LINE, *at("branch", -20.0, -19.9, -10.0, 8.0, 5.0), *at("tail", -37.0, -1e5, -1e10, 10.0, 37.0)),
         dtypes=("float64", "float32"), scipy=scipy.special.log_ndtr),
    case("jax.scipy.special.ndtri", ndtri,
         (*UNIT_INTERVAL, *at("branch", 0.1353352832366127, 0.8646647167633873, 1.26641655490942e-14)), args="p",
         dtypes=("float64", "float32"), scipy=scipy.special.ndtri),
    case("jax.scipy.special.owens_t", owens_t,
         (*at("generic", (0.5, 0.7), (-1.3, 0.4), (0.8, -2.3), (1.2, 1.6)),
          *at("tail", (6.0, 0.5), (0.1, 30.0), (1e-10, 2.0), (5.0, 1e-10), (8.0, 0.9)),
          *at("tie", (0.7, 1.0), (0.7, -1.0), (1.0, 1.0)), *at("zero", (0.0, 0.7), (0.7, 0.0), (0.0, 0.0)),
          *at("branch", (0.335, 2.0), (0.34, 2.0))),
         args="h, a", wrt=(0, 1), scipy=scipy.special.owens_t),
    case("jax.scipy.special.fresnel", mp.fresnels, FRESNEL, call="jax.scipy.special.fresnel(x)[0]",
         scipy=lambda x: scipy.special.fresnel(x)[0]),
    case("jax.scipy.special.fresnel", mp.fresnelc, FRESNEL, call="jax.scipy.special.fresnel(x)[1]",
         scipy=lambda x: scipy.special.fresnel(x)[1]),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
