"""`jax.numpy`: polynomials, interpolation, quotients of differences, integrals and histograms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from mpmath import mp, mpf

from convnet.board import linear
from convnet.board.case import Case, Point, at
from convnet.board.cases.numpy_reductions import array_case
from convnet.board.vectors import vector

NODES, HEIGHTS = vector(0.0, 1.0, 3.0), vector(0.5, 2.0, -1.0)
LINE = vector(1.0, 2.0, 4.0)
"""On a line over NODES: at a node there is a derivative."""
INTERPOLATED = (
    *at("generic", (vector(0.25, 1.75), NODES, HEIGHTS)),
    *at("branch", (vector(1.0, 0.5), NODES, HEIGHTS), (vector(1.0, 0.5), NODES, LINE)),
    *at("end", (vector(0.0, 3.0), NODES, HEIGHTS), (vector(-1.0, 5.0), NODES, HEIGHTS)),
    *at("tie", (vector(0.5, 2.0), vector(0.0, 1.0, 1.0), HEIGHTS)),
    *at("tail", (vector(1.25e-36, 2.5e-36), vector(1e-36, 2e-36, 3e-36), 1e-36 * HEIGHTS),
        (vector(0.25e10, 1.75e10), 1e10 * NODES, HEIGHTS)),
)  # fmt: skip
CURVES = (
    *at("generic", (vector(0.5, -1.25, 2.0), vector(0.0, 1.0, 3.0))),
    *at("tie", (vector(0.5, -1.25, 2.0), vector(0.0, 1.0, 2.0))),
    *at("tail", (vector(1e150, -1e150, 1.0), vector(0.0, 1.0, 3.0)), (vector(0.5, -1.25, 2.0), vector(0.0, 1e-8, 2.0))),
)
"""Heights, over nodes."""
POLYNOMIALS = (
    *at("generic", (vector(1.0, -3.5, 2.0), vector(0.5, 1.5))),
    *at("zero", (vector(0.0, -3.5, 2.0), vector(0.5, -1.0)), (vector(1.0, -3.5, 2.0), vector(0.0, 0.0))),
    *at("tail", (vector(1e-150, -3.5, 1e150), vector(0.5, 1e75))),
)
"""Coefficients, highest first."""
FITTED = (
    *at("generic", (vector(0.5, 1.0, 3.0, 4.0), vector(0.5, -1.25, 2.0, 1.0))),
    *at("branch", (vector(1.0, 2.0, 3.0, 4.0), vector(3.0, 5.0, 7.0, 9.0))),
    *at("zero", (vector(-1.0, 0.0, 1.0, 2.0), vector(0.0, 0.0, 0.0, 0.0))),
    *at("tail", (vector(1000.0, 1001.0, 1003.0, 1004.0), vector(0.5, -1.25, 2.0, 1.0))),
)
SQUARES = tuple(Point(point.label, (point.args[0][:3], point.args[1][:3])) for point in FITTED[:1])


def interpolated(x: np.ndarray, xp: np.ndarray, fp: np.ndarray, *, beyond: bool = False) -> np.ndarray:
    """Piecewise linear; past the ends the values there, or with `beyond` the first and the last piece."""

    def one(value):
        if not beyond and value <= xp[0]:
            return fp[0]
        if not beyond and value >= xp[-1]:
            return fp[-1]
        i = next((k for k in range(1, len(xp) - 1) if value < xp[k]), len(xp) - 1)
        return fp[i - 1] + (value - xp[i - 1]) / (xp[i] - xp[i - 1]) * (fp[i] - fp[i - 1])

    return np.array([one(value) for value in x], object)


def periodic(x: np.ndarray, xp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Of period 4, for nodes in [0, 4)."""
    nodes, heights = np.array([xp[-1] - 4, *xp, xp[0] + 4], object), np.array([fp[-1], *fp, fp[0]], object)
    return interpolated(np.array([value - 4 * mp.floor(value / 4) for value in x], object), nodes, heights, beyond=True)


def gradient(f: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of second order inside, of first at the ends."""
    h, k = x[1] - x[0], x[2] - x[1]
    inner = (h**2 * f[2] + (k**2 - h**2) * f[1] - k**2 * f[0]) / (h * k * (h + k))
    return np.array([(f[1] - f[0]) / h, inner, (f[2] - f[1]) / k], object)


def horner(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    return sum((c * x ** (len(p) - 1 - k) if k < len(p) - 1 else c + 0 * x for k, c in enumerate(p)), start=mpf(0))


def fit(x: np.ndarray, y: np.ndarray, degree: int) -> np.ndarray:
    design = np.stack([x**k if k else x * 0 + 1 for k in range(degree, -1, -1)], axis=1)
    return linear.solve(design.T @ design, design.T @ y)


def product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.array([sum((p[j] * q[i - j] for j in range(len(p)) if 0 <= i - j < len(q)), start=mpf(0))
                     for i in range(len(p) + len(q) - 1)], object)  # fmt: skip


def from_roots(x: np.ndarray) -> np.ndarray:
    p = np.array([mpf(1)], object)
    for root in x:
        p = product(p, np.array([mpf(1), -root], object))
    return p


def quotient(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rest, result = p.copy(), []
    for i in range(len(p) - len(q) + 1):
        result.append(rest[i] / q[0])
        rest[i : i + len(q)] = rest[i : i + len(q)] - result[-1] * q
    return np.array(result, object), rest


def roots_of_quadratic(p: np.ndarray) -> np.ndarray:
    """Both real, ascending."""
    half, square = -p[1] / (2 * p[0]), (p[1] / (2 * p[0])) ** 2 - p[2] / p[0]
    if square < 0:
        raise ValueError("no real roots")
    return np.array([half - mp.sqrt(square), half + mp.sqrt(square)], object)


def summed_into(places: list[int], size: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda w: np.array([sum((w[i] for i, p in enumerate(places) if p == k), start=mpf(0)) for k in range(size)])


def density(w: np.ndarray) -> np.ndarray:
    """Over bins of widths 1 and 2, of two weights in the first and one in the second."""
    return np.array([w[0] + w[2], w[1] / 2], object) / w.sum()


BOTH = {"wrt": (0, 1)}
ALL = {"args": "x, xp, fp", "wrt": (0, 1, 2)}
WEIGHTS = (*at("generic", vector(0.5, -1.25, 2.0)), *at("zero", vector(0.0, 0.0, 1.0)))
HISTOGRAM = "jnp.histogram(np.array([0.5, 2.0, 0.25]), bins=np.array([0.0, 1.0, 3.0]), weights=w"
PAIRS = at("generic", (vector(0.5, -1.25, 2.0), vector(1.5, 0.75)))

CASES: tuple[Case, ...] = (
    array_case("jax.numpy.interp", interpolated, INTERPOLATED, **ALL, scipy=np.interp),
    array_case("jax.numpy.interp", partial(interpolated, beyond=True), INTERPOLATED, **ALL,
               call="jnp.interp(x, xp, fp, left='extrapolate', right='extrapolate')"),
    array_case("jax.numpy.interp", periodic, at("generic", (vector(0.25, 9.5), NODES, HEIGHTS)), **ALL,
               call="jnp.interp(x, xp, fp, period=4.0)"),
    array_case("jax.numpy.gradient", gradient, CURVES, args="f, x", **BOTH, scipy=np.gradient),
    array_case("jax.numpy.trapezoid", lambda y, x: ((y[1:] + y[:-1]) / 2 * (x[1:] - x[:-1])).sum(), CURVES,
               args="y, x", **BOTH, scipy=np.trapezoid),
    array_case("jax.numpy.polyval", horner, POLYNOMIALS, args="p, x", **BOTH, scipy=np.polyval),
    array_case("jax.numpy.polyval", horner, POLYNOMIALS, call="jnp.polyval(p, x, unroll=1)", args="p, x", **BOTH),
    array_case("jax.numpy.polyfit", partial(fit, degree=1), FITTED, call="jnp.polyfit(x, y, 1)", args="x, y", **BOTH,
               scipy=partial(np.polyfit, deg=1), dtypes=("float64", "float32")),
    array_case("jax.numpy.polyfit", partial(fit, degree=2), SQUARES, call="jnp.polyfit(x, y, 2)", args="x, y", **BOTH,
               scipy=partial(np.polyfit, deg=2), dtypes=("float64", "float32")),
    array_case("jax.numpy.poly", from_roots,
               (*at("generic", vector(0.5, -1.25, 2.0)), *at("zero", vector(0.0, 0.0, 2.0), vector(0.0, 0.0, 0.0)),
                *at("tie", vector(1.5, 1.5, 1.5))), scipy=np.poly),
    array_case("jax.numpy.roots", roots_of_quadratic, at("generic", vector(1.0, -3.5, 2.0), vector(-0.5, 2.0, 1.5)),
               call="jnp.sort(jnp.roots(p, strip_zeros=False).real)", args="p", dtypes=("float64", "float32")),
    array_case("jax.numpy.roots", lambda p: -p[1] / p[0],
               (*at("generic", vector(1.0, -3.5, 2.0)), *at("repeated", vector(1.0, -2.0, 1.0)),
                *at("zero", vector(1.0, 0.0, 0.0))),
               call="jnp.roots(p, strip_zeros=False).sum().real", args="p", dtypes=("float64", "float32")),
    array_case("jax.numpy.polyadd", lambda p, q: np.array([p[0], p[1] + q[0], p[2] + q[1]]), PAIRS, args="p, q",
               **BOTH),
    array_case("jax.numpy.polysub", lambda p, q: np.array([p[0], p[1] - q[0], p[2] - q[1]]), PAIRS, args="p, q",
               **BOTH),
    array_case("jax.numpy.polymul", product, PAIRS, args="p, q", **BOTH),
    array_case("jax.numpy.polydiv", quotient, PAIRS, args="p, q", **BOTH),
    array_case("jax.numpy.polyder", lambda p: np.array([2 * p[0], p[1]]), WEIGHTS),
    array_case("jax.numpy.polyint", lambda p: np.array([p[0] / 3, p[1] / 2, p[2], mpf(0)]), WEIGHTS),
    array_case("jax.numpy.histogram", summed_into([0, 1, 0], 2), WEIGHTS, call=f"{HISTOGRAM})[0]", args="w"),
    array_case("jax.numpy.histogram", density, WEIGHTS, call=f"{HISTOGRAM}, density=True)[0]", args="w"),
    array_case("jax.numpy.bincount", summed_into([2, 0, 2], 3), WEIGHTS,
               call="jnp.bincount(np.array([2, 0, 2]), weights=w, length=3)", args="w"),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
"""Functions without a gradient that anybody could want, and why."""
