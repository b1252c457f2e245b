"""Real functions of real mpmath numbers, for oracles: what mpmath lacks, or continues into the complex plane."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps

from mpmath import mp, mpf

KEPT = 4096
"""Values of a function."""


def remembered(f: Callable[..., mpf]) -> Callable[..., mpf]:
    """f, which computes nothing twice with the same digits: quotients along one argument ask again for what depends on
    the others alone."""
    values = lru_cache(KEPT, typed=True)(lambda precision, *args: f(*args))
    return wraps(f)(lambda *args: values(mp.prec, *args))


def cbrt(x: mpf) -> mpf:
    """The real cube root, of negative numbers too."""
    return mp.sign(x) * mp.cbrt(abs(x))


def log(x: mpf) -> mpf:
    """−∞ at 0, nan below."""
    return mp.log(x) if x > 0 else (mp.nan if x < 0 else -mp.inf)


def xlogy(x: mpf | int, y: mpf) -> mpf:
    """x log y, 0 at x = 0."""
    return x * log(y) if x else mpf(0)


def power(x: mpf, y: mpf) -> mpf:
    """xʸ where that is real: x > 0, or x = 0 ≤ y (0⁰ = 1), or a whole y."""
    whole = y == mp.floor(y)
    if (x < 0 and not whole) or (x == 0 and y < 0):
        return mp.nan
    return mp.power(x, int(y)) if whole else mp.power(x, y)


def logistic(x: mpf) -> mpf:
    if abs(x) > 10**6:  # more digits than anybody asks for
        return mpf(x > 0)
    return 1 / (1 + mp.exp(-x)) if x >= 0 else mp.exp(x) / (1 + mp.exp(x))


def softplus(x: mpf) -> mpf:
    """log(1 + eˣ), as exact far out as near 0."""
    return max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def logaddexp(x: mpf, y: mpf) -> mpf:
    return max(x, y) + mp.log1p(mp.exp(-abs(x - y)))


def clip(x: mpf, low: mpf | int, high: mpf | int) -> mpf:
    """As NumPy does where low > high: high wins."""
    return min(max(x, mpf(low)), mpf(high))


def truncate(x: mpf) -> mpf:
    return mp.floor(x) if x >= 0 else mp.ceil(x)


def fmod(x: mpf, y: mpf) -> mpf:
    """The remainder of C: with the sign of x. Exact: x is taken as it is."""
    return x - y * truncate(x / y) if y else mp.nan


def remainder(x: mpf, y: mpf) -> mpf:
    """The remainder of Python: with the sign of y."""
    return x - y * mp.floor(x / y) if y else mp.nan


def erfinv(x: mpf) -> mpf:
    return mp.erfinv(x) if abs(x) < 1 else (mp.sign(x) * mp.inf if abs(x) == 1 else mp.nan)


def logsumexp(values) -> mpf:
    """log Σ exp of an iterable; −∞ of none. Terms may be −∞."""
    values = list(values)
    largest = max(values, default=-mp.inf)
    return largest + mp.log(mp.fsum(mp.exp(v - largest) for v in values)) if mp.isfinite(largest) else largest


loggamma = remembered(mp.loggamma)
