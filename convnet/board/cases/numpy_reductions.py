"""`jax.numpy`: sums, products, moments, extremes and quantiles, plain and of what is not NaN, and cumulative ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpmath import mp, mpf

from convnet.board.case import Case, Point, at, case, not_covered
from convnet.board.vectors import EMPTY, ROWS, VECTORS, matrix, rowwise, vector

NAN = float("nan")
GAPS = (
    *at("generic", vector(0.5, NAN, -1.25, 2.0)),
    *at("tie", vector(NAN, 1.5, 1.5, NAN)),
    *at("zero", vector(0.0, NAN, 0.0, NAN)),
    *at("length one", vector(NAN, NAN, NAN, 0.75)),
    *at("empty", vector(NAN, NAN, NAN, NAN)),
)
"""Vectors with NaN in them, which a function of theirs passes over: its slope along such an entry is 0."""


def array_case(function: str, oracle: Callable[..., Any], points: tuple[Point, ...], **options: Any) -> Case:
    return case(function, oracle, points, elementwise=False, **options)


def prod(x: np.ndarray):
    return np.prod(x, initial=mpf(1))


def mean(x: np.ndarray):
    return x.sum() / mpf(x.size)


def variance(x: np.ndarray, ddof: int = 0):
    return ((x - mean(x)) ** 2).sum() / mpf(x.size - ddof)


def deviation(x: np.ndarray, ddof: int = 0):
    return mp.sqrt(variance(x, ddof))


def between(x: np.ndarray, q, lower: Callable = mp.floor, upper: Callable = mp.ceil):
    """The sorted values at q (n − 1), interpolated between the two around it. Raises ValueError where there is none."""
    if not (len(x) and 0 <= q <= 1):
        raise ValueError("no such place")
    ordered, place = np.sort(x), q * (x.size - 1)
    low, high = int(lower(place)), int(upper(place))
    weight = place - mp.floor(place) if low != high else mpf(0)
    return ordered[low] * (1 - weight) + ordered[high] * weight


def median(x: np.ndarray):
    return between(x, mpf(1) / 2)


def midpoint(x: np.ndarray, q):
    return (between(x, q, upper=mp.floor) + between(x, q, lower=mp.ceil)) / 2


def known(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """f of the entries that are not NaN."""
    return lambda x, *more: f(x[np.array([not mp.isnan(value) for value in x], bool)], *more)


def known_as(neutral: int, f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    return lambda x: f(np.array([mpf(neutral) if mp.isnan(value) else value for value in x], object))


def average(x: np.ndarray, weights: np.ndarray):
    return (x * weights).sum() / weights.sum()


def cov(x: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Of rows."""
    centred = x - x.sum(axis=1, keepdims=True) / mpf(x.shape[1])
    return centred @ centred.T / mpf(x.shape[1] - ddof)


def corrcoef(x: np.ndarray) -> np.ndarray:
    c = cov(x, 0)
    return np.array([[c[i, j] / mp.sqrt(c[i, i] * c[j, j]) for j in range(len(c))] for i in range(len(c))], object)


def weighted_cov(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """With `aweights`: NumPy's normalisation for ddof 1."""
    total = weights.sum()
    centred = x - ((x * weights).sum(axis=1) / total)[:, None]
    return (centred * weights) @ centred.T / (total - (weights**2).sum() / total)


QUANTILES = (
    *at("generic", (vector(0.5, -1.25, 2.0), 0.375), (vector(0.5, -1.25, 2.0), 0.7)),
    *at("tie", (vector(1.0, 1.0, 1.0), 0.375), (vector(2.0, -1.0, 2.0), 0.75)),
    *at("branch", (vector(0.5, -1.25, 2.0), 0.5), (vector(3.0, 1.0, 2.0), 0.5)),
    *at("end", (vector(0.5, -1.25, 2.0), 0.0), (vector(0.5, -1.25, 2.0), 1.0)),
    *at("length one", (vector(0.75), 0.25)),
)
PERCENTILES = tuple(Point(point.label, (point.args[0], 100 * point.args[1])) for point in QUANTILES)
WEIGHTED = (
    *at("generic", (vector(0.5, -1.25, 2.0), vector(1.5, 0.75, 0.25))),
    *at("zero", (vector(0.5, -1.25, 2.0), vector(1.0, 0.0, 0.0)), (vector(0.0, 0.0, 0.0), vector(1.0, 2.0, 3.0)),
        (vector(1.0, 2.0), vector(1.0, -1.0))),
    *at("tail", (vector(0.5, 1.5), vector(1e-90, 2e-90)), (vector(1e150, 1.0), vector(1.0, 1e100))),
    *at("length one", (vector(0.75), vector(2.0))),
)  # fmt: skip
SCATTER = (
    *at("generic", matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25])),
    *at("branch", matrix([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]), matrix([1.0, 2.0, 4.0], [-2.0, -4.0, -8.0])),
    *at("branch", matrix([1.0, 2.0], [3.0, 5.0])),
    *at("zero", matrix([1.0, 1.0, 1.0], [0.5, -1.0, 2.0])),
    *at("tail", matrix([1e-150, 2e-150, 5e-150], [1.0, -1.0, 2.0]), matrix([1e8, 1e8 + 1, 1e8 + 3], [0.5, 2.0, 1.0])),
)
POWERS = (
    *at("generic", vector(0.5, -1.25, 2.0)),
    *at("tie", vector(1.0, 1.0, 1.0)),
    *at(
        "zero",
        vector(0.0, 1.5, -2.0),
        vector(0.0, 1.5, 0.0),
        vector(0.0, 0.0, 0.0),
        vector(-0.0, 2.0, 1.0),
        vector(0.0),
    ),
    *at("tail", vector(300.0, -300.0, 1.0), vector(1e150, 1e-150, 2.0), vector(1e-200, 2e-200, 1e300)),
    *at("length one", vector(0.75)),
)
"""For products, of which zeros are the interesting part."""
MASK = "np.array([True, False, True])"
TRIPLES = tuple(point for point in VECTORS if len(point.args[0]) == 3)


def masked(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    return lambda x: f(x[[0, 2]])


CASES: tuple[Case, ...] = (
    array_case("jax.numpy.sum", np.sum, VECTORS + EMPTY, scipy=np.sum),
    array_case("jax.numpy.sum", masked(np.sum), TRIPLES, call=f"jnp.sum(x, where={MASK})"),
    array_case("jax.numpy.prod", prod, POWERS + EMPTY, scipy=np.prod),
    array_case("jax.numpy.prod", rowwise(prod), ROWS, call="jnp.prod(x, axis=1)", scipy=partial(np.prod, axis=1)),
    array_case("jax.numpy.mean", mean, VECTORS, scipy=np.mean),
    array_case("jax.numpy.mean", masked(mean), TRIPLES, call=f"jnp.mean(x, where={MASK})"),
    array_case("jax.numpy.var", variance, VECTORS, scipy=np.var),
    array_case("jax.numpy.var", rowwise(partial(variance, ddof=1)), ROWS, call="jnp.var(x, axis=1, ddof=1)",
               scipy=partial(np.var, axis=1, ddof=1)),
    array_case("jax.numpy.var", masked(variance), TRIPLES, call=f"jnp.var(x, where={MASK})"),
    array_case("jax.numpy.std", deviation, VECTORS, scipy=np.std),
    array_case("jax.numpy.std", rowwise(partial(deviation, ddof=1)), ROWS, call="jnp.std(x, axis=1, ddof=1)",
               scipy=partial(np.std, axis=1, ddof=1)),
    array_case("jax.numpy.max", max, VECTORS, scipy=np.max),
    array_case("jax.numpy.max", rowwise(max), ROWS, call="jnp.max(x, axis=1)", scipy=partial(np.max, axis=1)),
    array_case("jax.numpy.max", lambda x: max(*x, mpf(0)), VECTORS, call="jnp.max(x, initial=0.0)"),
    array_case("jax.numpy.min", min, VECTORS, scipy=np.min),
    array_case("jax.numpy.amax", max, VECTORS, scipy=np.max),
    array_case("jax.numpy.amin", min, VECTORS, scipy=np.min),
    array_case("jax.numpy.ptp", lambda x: max(x) - min(x), VECTORS, scipy=np.ptp),
    array_case("jax.numpy.median", median, VECTORS, scipy=np.median),
    array_case("jax.numpy.median", rowwise(median), ROWS, call="jnp.median(x, axis=1)"),
    array_case("jax.numpy.quantile", between, QUANTILES, args="x, q", wrt=(0, 1), scipy=np.quantile),
    array_case("jax.numpy.quantile", partial(between, upper=mp.floor), QUANTILES, args="x, q", wrt=(0, 1),
               call="jnp.quantile(x, q, method='lower')"),
    array_case("jax.numpy.quantile", partial(between, lower=mp.ceil), QUANTILES, args="x, q", wrt=(0, 1),
               call="jnp.quantile(x, q, method='higher')"),
    array_case("jax.numpy.quantile", midpoint, QUANTILES, args="x, q", wrt=(0, 1),
               call="jnp.quantile(x, q, method='midpoint')"),
    array_case("jax.numpy.percentile", lambda x, q: between(x, q / 100), PERCENTILES, args="x, q", wrt=(0, 1),
               scipy=np.percentile),
    array_case("jax.numpy.average", average, WEIGHTED, call="jnp.average(x, weights=w)", args="x, w", wrt=(0, 1)),
    array_case("jax.numpy.nansum", known(np.sum), GAPS, scipy=np.nansum),
    array_case("jax.numpy.nanprod", known(prod), GAPS, scipy=np.nanprod),
    array_case("jax.numpy.nanmean", known(mean), GAPS, scipy=np.nanmean),
    array_case("jax.numpy.nanvar", known(variance), GAPS, scipy=np.nanvar),
    array_case("jax.numpy.nanstd", known(deviation), tuple(p for p in GAPS if p.label not in ("tie", "zero")),
               scipy=np.nanstd),
    array_case("jax.numpy.nanmax", known(max), GAPS, scipy=np.nanmax),
    array_case("jax.numpy.nanmin", known(min), GAPS, scipy=np.nanmin),
    array_case("jax.numpy.nanmedian", known(median), GAPS, scipy=np.nanmedian),
    array_case("jax.numpy.nanquantile", known(lambda x: between(x, mpf(3) / 8)), GAPS,
               call="jnp.nanquantile(x, 0.375)"),
    array_case("jax.numpy.nanpercentile", known(lambda x: between(x, mpf(3) / 8)), GAPS,
               call="jnp.nanpercentile(x, 37.5)"),
    array_case("jax.numpy.nancumsum", known_as(0, np.cumsum), GAPS, scipy=np.nancumsum),
    array_case("jax.numpy.nancumprod", known_as(1, np.cumprod), GAPS, scipy=np.nancumprod),
    array_case("jax.numpy.cumsum", np.cumsum, VECTORS + EMPTY, scipy=np.cumsum),
    array_case("jax.numpy.cumsum", partial(np.cumsum, axis=1), ROWS, call="jnp.cumsum(x, axis=1)"),
    array_case("jax.numpy.cumprod", np.cumprod, POWERS + EMPTY, scipy=np.cumprod),
    array_case("jax.numpy.cumprod", partial(np.cumprod, axis=1), ROWS, call="jnp.cumprod(x, axis=1)"),
    array_case("jax.numpy.cumulative_sum", lambda x: np.cumsum([mpf(0), *x]), VECTORS,
               call="jnp.cumulative_sum(x, include_initial=True)"),
    array_case("jax.numpy.cumulative_prod", lambda x: np.cumprod([mpf(1), *x]), POWERS,
               call="jnp.cumulative_prod(x, include_initial=True)"),
    array_case("jax.numpy.cov", cov, SCATTER, scipy=np.cov),
    array_case("jax.numpy.cov", weighted_cov, at("generic", (matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25]),
               vector(1.0, 0.5, 2.0))), call="jnp.cov(x, aweights=w)", args="x, w", wrt=(0, 1)),
    array_case("jax.numpy.corrcoef", corrcoef, SCATTER, scipy=np.corrcoef),
)  # fmt: skip

NOT_COVERED = not_covered("jax.numpy", {
    "logical": "all any",
    "an index": "argmax argmin nanargmax nanargmin",
    "counts": "count_nonzero",
    "min and max, of newer JAX only": "minmax",
})  # fmt: skip
"""Functions without a gradient that anybody could want, and why."""
