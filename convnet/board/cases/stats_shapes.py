"""`jax.scipy.stats`: distributions of vectors and on the circle, and what is made of samples."""

from __future__ import annotations

import mpmath
import numpy as np
import scipy.stats
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case, numbers
from convnet.board.cases.special_error import ndtr
from convnet.board.distributions import distribution
from convnet.board.real import log, loggamma

NOWHERE = mpf("-inf")


def vonmises_logpdf(x: mpf, kappa: mpf) -> mpf:
    """Uniform at κ = 0."""
    if kappa < 0:
        return mpmath.nan
    return kappa * mp.cos(x) - mp.log(2 * mp.pi * mp.besseli(0, kappa))


def wrapcauchy_logpdf(x: mpf, c: mpf) -> mpf:
    if not 0 < c < 1:
        return mpmath.nan
    if not 0 <= x <= 2 * mp.pi:
        return NOWHERE
    return mp.log((1 - c * c) / (2 * mp.pi * (1 + c * c - 2 * c * mp.cos(x))))


def dirichlet_logpdf(x: np.ndarray, alpha: np.ndarray) -> mpf:
    """x: all entries but the last, which is what is missing to 1."""
    full = [*x, 1 - sum(x)] if len(x) < len(alpha) else list(x)
    if any(value <= 0 for value in full):
        return NOWHERE
    return loggamma(sum(alpha)) + sum(
        ((a - 1) * mp.log(value) - loggamma(a) for value, a in zip(full, alpha, strict=True)), mpf(0)
    )


def multivariate_normal_logpdf(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> mpf:
    """cov: [n, n], of which the symmetric part counts, or a number, the variance of each."""
    y, n = exact.matrix((x - mean).reshape(-1, 1)), len(x)
    c = mp.diag([cov] * n) if np.ndim(cov) == 0 else exact.matrix((cov + cov.T) / 2)
    return -(y.T * mp.lu_solve(c, y))[0] / 2 - mp.log(mp.det(c)) / 2 - mpf(n) / 2 * mp.log(2 * mp.pi)


def kernel_variance(data: np.ndarray) -> mpf:
    """Of samples of one dimension, by Scott's factor n^(−1/5)."""
    n = len(data)
    mean = sum(data) / n
    return sum((data - mean) ** 2) / (n - 1) * mpf(n) ** (-mpf(2) / 5)


def kde(data: np.ndarray, points: np.ndarray) -> np.ndarray:
    variance = kernel_variance(data)
    norm = len(data) * mp.sqrt(2 * mp.pi * variance)
    return exact.entrywise(lambda x: sum(mp.exp(-((x - d) ** 2) / (2 * variance)) for d in data) / norm)(points)


def kde_logpdf(data: np.ndarray, points: np.ndarray) -> np.ndarray:
    return exact.entrywise(log)(kde(data, points))


def kde_box(data: np.ndarray, low: mpf, high: mpf) -> mpf:
    deviation = mp.sqrt(kernel_variance(data))
    return sum((ndtr((high - d) / deviation) - ndtr((low - d) / deviation) for d in data), mpf(0)) / len(data)


def kde_gaussian(data: np.ndarray, mean: mpf, variance: mpf) -> mpf:
    total = kernel_variance(data) + variance
    return sum((mp.npdf(d, mean, mp.sqrt(total)) for d in data), mpf(0)) / len(data)


def kde_kde(data: np.ndarray, others: np.ndarray) -> mpf:
    deviation = mp.sqrt(kernel_variance(data) + kernel_variance(others))
    return sum((mp.npdf(a, b, deviation) for a in data for b in others), mpf(0)) / (len(data) * len(others))


def sem(x: np.ndarray, axis: int = 0) -> np.ndarray:
    n = x.shape[axis]
    mean = np.sum(x, axis=axis, keepdims=True) / n
    return exact.sqrt(np.sum((x - mean) ** 2, axis=axis) / (n * (n - 1)))


VONMISES = (
    *at("generic", (0.7, 1.4), (-1.3, 2.6), (2.2, 0.3)),
    *at("tail", (0.7, 300.0), (0.7, 1e-10), (1e-5, 1e10), (3.1, 20.0), (0.7, 800.0)), *at("tie", (1.4, 1.4)),
    *at("zero", (0.0, 1.4), (0.7, 0.0)), *at("end", (np.pi, 1.4)), *at("branch", (0.7, 8.0)),
)  # fmt: skip
WRAPCAUCHY = (
    *at("generic", (0.7, 0.4), (2.6, 0.7), (5.1, 0.2)),
    *at("tail", (0.7, 1 - 1e-10), (0.7, 1e-10), (1e-5, 1 - 1e-6)), *at("tie", (0.4, 0.4)),
    *at("end", (0.0, 0.4), (2 * np.pi, 0.4)), *at("branch", (-0.3, 0.4)),
)  # fmt: skip
DIRICHLET = (
    *at("generic", (numbers(0.2, 0.5), numbers(0.7, 1.6, 2.3)), (numbers(0.4), numbers(3.1, 0.8))),
    *at("tail", (numbers(1e-10, 0.5), numbers(0.7, 1.6, 2.3)), (numbers(0.3), numbers(300.0, 700.0))),
    *at("tie", (numbers(0.25, 0.25), numbers(1.6, 1.6, 1.6)), (numbers(0.5), numbers(1.0, 1.0))),
    *at("end", (numbers(0.0, 0.5), numbers(1.0, 1.6, 2.3)), (numbers(-0.1), numbers(2.0, 3.0))),
)  # fmt: skip
SIMPLEX = (
    *at("generic", (numbers(0.25, 0.5, 0.25), numbers(0.7, 1.6, 2.3))),
    *at("tie", (numbers(0.5, 0.5), numbers(2.0, 2.0))),
)
ZERO2, EYE = numbers(0.0, 0.0), np.eye(2)
NORMAL = (
    *at("generic", (numbers(0.3, -1.2), numbers(0.1, 0.4), np.array([[1.3, 0.4], [0.4, 0.9]]))),
    *at("tail", (numbers(30.0, -20.0), ZERO2, np.array([[1.3, 0.4], [0.4, 0.9]])),
        (numbers(0.3, 0.2), ZERO2, np.array([[1.0, 0.999999], [0.999999, 1.0]])),
        (numbers(1e-3, 2.0), ZERO2, 1e-8 * EYE)),
    *at("tie", (numbers(0.7, 0.7), numbers(0.7, 0.7), np.array([[2.0, 0.5], [0.5, 2.0]]))),
    *at("repeated", (numbers(0.3, -1.2), numbers(0.1, 0.4), EYE)),
    *at("zero", (ZERO2, ZERO2, EYE)), *at("length one", (numbers(0.3), numbers(0.1), np.array([[1.7]]))),
)  # fmt: skip
ISOTROPIC = (
    *at("generic", (numbers(0.3, -1.2), numbers(0.1, 0.4), 1.7)), *at("tail", (numbers(30.0, -20.0), ZERO2, 1e-4)),
    *at("tie", (numbers(0.7, 0.7), numbers(0.7, 0.7), 1.0)), *at("length one", (numbers(0.3), numbers(0.1), 1.7)),
)  # fmt: skip
DATA = numbers(0.3, -1.2, 2.1)
KDE = (
    *at("generic", (DATA, numbers(0.5)), (DATA, numbers(-0.7, 1.9))),
    *at("tail", (DATA, numbers(12.0)), (DATA, numbers(-60.0))),
    *at("tie", (DATA, numbers(0.3)), (numbers(0.5, 0.5, 1.7), numbers(0.9))),
)  # fmt: skip
SAMPLES = (
    *at("generic", numbers(0.3, -1.2, 2.1), numbers(0.7, 1.9)),
    *at("tail", numbers(1e8, 1e8 + 1, 1e8 - 2), numbers(1e-160, 2e-160)),
    *at("tie", numbers(0.5, 0.5, 1.7), numbers(0.5, 0.5, 0.5)), *at("zero", numbers(0.0, 0.0)),
)  # fmt: skip
ROWS = (
    *at("generic", np.array([[0.3, -1.2], [2.1, 0.4]])), *at("tie", np.array([[0.5, 0.5], [2.1, 0.4]])),
)  # fmt: skip
ARRAYS = {"elementwise": False, "dtypes": ("float64", "float32")}
ESTIMATE = "jax.scipy.stats.gaussian_kde"
NORMAL_NAME = "jax.scipy.stats.multivariate_normal"
MATRIX_NORMAL = {"args": "x, mean, cov", "wrt": (0, 1, 2), **ARRAYS}

CASES: tuple[Case, ...] = (
    *distribution("vonmises", "x, kappa", VONMISES, "logpdf pdf", {"logpdf": vonmises_logpdf}, wrt=(0, 1)),
    *distribution("wrapcauchy", "x, c", WRAPCAUCHY, "logpdf pdf", {"logpdf": wrapcauchy_logpdf}, wrt=(0, 1)),
    *distribution("dirichlet", "x, alpha", DIRICHLET, "logpdf pdf", {"logpdf": dirichlet_logpdf}, wrt=(0, 1),
                  elementwise=False),
    case("jax.scipy.stats.dirichlet.logpdf", dirichlet_logpdf, SIMPLEX, wrt=(1,), elementwise=False,
         args="x, alpha", call="jax.scipy.stats.dirichlet.logpdf(x, alpha=alpha)", scipy=scipy.stats.dirichlet.logpdf),
    *distribution("multivariate_normal", points=NORMAL, functions="logpdf pdf",
                  oracles={"logpdf": multivariate_normal_logpdf}, **MATRIX_NORMAL),
    case(f"{NORMAL_NAME}.logpdf", multivariate_normal_logpdf, ISOTROPIC,
         call=f"{NORMAL_NAME}.logpdf(x, mean, cov=cov)", scipy=scipy.stats.multivariate_normal.logpdf, **MATRIX_NORMAL),
    case(ESTIMATE, kde, KDE, call=f"{ESTIMATE}(data).evaluate(points)", args="data, points", wrt=(0, 1), **ARRAYS,
         scipy=lambda data, points: scipy.stats.gaussian_kde(data).evaluate(points)),
    case(ESTIMATE, kde_logpdf, KDE, call=f"{ESTIMATE}(data).logpdf(points)", args="data, points", wrt=(0, 1),
         **ARRAYS, scipy=lambda data, points: scipy.stats.gaussian_kde(data).logpdf(points)),
    case(ESTIMATE, kde_box,
         (*at("generic", (DATA, -0.4, 1.3)), *at("tail", (DATA, 7.0, 9.0)), *at("tie", (DATA, 0.3, 0.3))),
         call=f"{ESTIMATE}(data).integrate_box_1d(low, high)", args="data, low, high", wrt=(0, 1, 2), **ARRAYS,
         scipy=lambda data, low, high: scipy.stats.gaussian_kde(data).integrate_box_1d(low, high)),
    case(ESTIMATE, kde_gaussian, (*at("generic", (DATA, 0.4, 1.3)), *at("tail", (DATA, 20.0, 0.1))),
         call=f"{ESTIMATE}(data).integrate_gaussian(mean, variance)", args="data, mean, variance", wrt=(0, 1, 2),
         **ARRAYS, scipy=lambda data, mean, v: scipy.stats.gaussian_kde(data).integrate_gaussian(mean, v)),
    case(ESTIMATE, kde_kde,
         (*at("generic", (DATA, numbers(0.4, -0.9))), *at("tie", (DATA, DATA)),
          *at("tail", (DATA, numbers(20.0, 20.5)))),
         call=f"{ESTIMATE}(data).integrate_kde({ESTIMATE}(others))", args="data, others", wrt=(0, 1), **ARRAYS,
         scipy=lambda data, others: scipy.stats.gaussian_kde(data).integrate_kde(scipy.stats.gaussian_kde(others))),
    case("jax.scipy.stats.sem", sem, SAMPLES, args="a", elementwise=False, scipy=scipy.stats.sem),
    case("jax.scipy.stats.sem", lambda a: sem(a, 1), ROWS, call="jax.scipy.stats.sem(a, axis=1)", args="a",
         elementwise=False, scipy=lambda a: scipy.stats.sem(a, axis=1)),
)  # fmt: skip

NOT_COVERED = {
    "jax.scipy.stats.mode": "picks an entry by counting",
    "jax.scipy.stats.rankdata": "ranks are whole numbers",
}
