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

from convnet.board import real


def entrywise(f: Callable[..., Any], arguments: int = 1) -> Callable[..., Any]:
    """A function of mpmath numbers, of arrays of them."""
    return np.frompyfunc(f, arguments, 1)


exp, log, log1p, expm1, sqrt = map(entrywise, (mp.exp, mp.log, mp.log1p, mp.expm1, mp.sqrt))
sin, cos, tan, tanh, sinh, cosh, erf = map(entrywise, (mp.sin, mp.cos, mp.tan, mp.tanh, mp.sinh, mp.cosh, mp.erf))
larger = entrywise(lambda a, b: max(a, b), 2)


def array(x: Any) -> np.ndarray:
    """Numbers, floats too, as mpmath numbers."""
    return np.vectorize(lambda value: value if isinstance(value, mpmath.mpc) else mpf(value), otypes=[object])(x)


def matrix(x: np.ndarray) -> mpmath.matrix:
    """[m, n] for `mpmath`'s linear algebra."""
    return mp.matrix(x.tolist())


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.apply_along_axis(lambda row: exp(row - real.logsumexp(row)), axis, x)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.apply_along_axis(lambda row: row - real.logsumexp(row), axis, x)
