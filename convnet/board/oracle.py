"""The truth of a case's point: its oracle, made a function of the numbers that it is differentiated in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax.numpy as jnp
import mpmath
import numpy as np
from mpmath import mpf

from convnet.board.case import Case, Point
from convnet.board.contraction import weights
from convnet.board.measure import cast, directions
from convnet.board.truth import Truth, Unknown, truth


def differentiated(case: Case, point: Point, dtype: str) -> np.ndarray:
    """The numbers [n] of a point that the case is differentiated in, as the dtype rounds them."""
    args = cast(case, point, dtype)
    return np.concatenate([np.asarray(args[i], np.float64).ravel() for i in case.wrt])


def truth_of(case: Case, point: Point, dtype: str, known: dict) -> Truth:
    """Of φ at the point as the dtype rounds it; second derivatives where that is float64. known: what was found before.

    Raises Unknown.
    """
    args = cast(case, point, dtype)
    place = tuple((np.shape(a), np.asarray(a, np.float64).tobytes()) for a in args)
    key = (place, True) if (place, True) in known else (place, dtype == "float64")
    if key not in known:
        x = differentiated(case, point, dtype)
        along = directions(case, x.size) if dtype == "float64" else np.zeros((0, x.size))
        try:
            known[key] = truth(phi_of(case, args), x.tolist(), along)
        except Unknown as error:
            known[key] = error
    if isinstance(known[key], Unknown):
        raise known[key]
    return known[key]


def phi_of(case: Case, args: Sequence[np.ndarray]) -> Callable[[list[mpf]], Any]:
    """φ of n mpmath numbers: the oracle's result where the case is elementwise, else all of it contracted."""
    sizes = np.cumsum([0, *(np.size(args[i]) for i in case.wrt)])
    given = [_exact(a) for a in args]

    def phi(values: list[mpf]) -> Any:
        full = [a.copy() if isinstance(a, np.ndarray) else a for a in given]  # an oracle may write to its arguments
        for i, start, stop in zip(case.wrt, sizes[:-1], sizes[1:], strict=True):
            own = values[start:stop]
            full[i] = own[0] if np.ndim(args[i]) == 0 else _filled(own, np.shape(args[i]))
        result = case.oracle(*full)
        return result if case.elementwise else contracted(result)

    return phi


def contracted(result: Any) -> mpf:
    """As `contraction.contracted`, of mpmath numbers."""
    total, start = mpf(0), 0
    for leaf in result if isinstance(result, tuple) else (result,):
        entries = np.asarray(leaf, object).ravel()
        split = any(isinstance(value, mpmath.mpc) for value in entries)
        for part in (map(mpmath.re, entries), map(mpmath.im, entries)) if split else (entries,):
            factors = _weights(start, start + entries.size)
            total += sum((w * value for w, value in zip(factors, part, strict=True)), mpf(0))
            start += entries.size
    return total


@cache
def _weights(start: int, stop: int) -> tuple[mpf, ...]:
    return tuple(mpf(float(w)) for w in weights(start, stop))


def _exact(a: np.ndarray) -> Any:
    """Floats as mpmath numbers; integers and booleans as they are."""
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return a if np.ndim(a) else a.item()
    return _filled([mpf(float(v)) for v in a.ravel()], a.shape) if np.ndim(a) else mpf(float(a))


def _filled(values: Sequence[mpf], shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found.reshape(shape)
