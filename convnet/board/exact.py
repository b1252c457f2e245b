"""Mathematics on NumPy arrays of mpmath numbers (dtype object), for oracles: `exact.exp(x)` of a number or an array.

Sums, products, comparisons, indexing, `@`, sorting, and whatever else NumPy does entry by entry work on such arrays as
they are; of `numpy.linalg` nothing does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf


def entrywise(f: Callable[..., Any], arguments: int = 1) -> Callable[..., Any]:
    """A function of mpmath numbers, of arrays of them."""
    return np.frompyfunc(f, arguments, 1)


exp, log, log1p, expm1, sqrt = map(entrywise, (mp.exp, mp.log, mp.log1p, mp.expm1, mp.sqrt))
sin, cos, tan, tanh, sinh, cosh, erf = map(entrywise, (mp.sin, mp.cos, mp.tan, mp.tanh, mp.sinh, mp.cosh, mp.erf))
real, imag, conj = map(entrywise, (mp.re, mp.im, mp.conj))
larger, smaller = entrywise(lambda a, b: max(a, b), 2), entrywise(lambda a, b: min(a, b), 2)


def array(x: Any) -> np.ndarray:
    """Numbers, floats too, as mpmath numbers."""
    return np.vectorize(lambda value: value if isinstance(value, mpmath.mpc) else mpf(value), otypes=[object])(x)


def from_matrix(m: mpmath.matrix) -> np.ndarray:
    return np.array([[m[i, j] for j in range(m.cols)] for i in range(m.rows)], object).reshape(m.rows, m.cols)


def matrix(x: np.ndarray) -> mpmath.matrix:
    """[m, n] for `mpmath`'s linear algebra."""
    return mp.matrix(x.tolist())
