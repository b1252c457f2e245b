"""`jax.scipy.stats`: distributions on whole numbers, which are differentiated in their parameters."""

from __future__ import annotations

from functools import lru_cache

import mpmath
import numpy as np
import scipy.stats
from mpmath import mp, mpf

from convnet.board.case import Case, at, case, numbers
from convnet.board.cases.special_gamma import betaln, gammaincc
from convnet.board.distributions import distribution
from convnet.board.real import log, loggamma, xlogy

NOWHERE = mpf("-inf")


def of_probability(f):
    """f, whose last argument is a probability: nan for other numbers."""
    return lambda *args: f(*args) if 0 <= args[-1] <= 1 else mpmath.nan


def log_choose(n: int, k: int) -> mpf:
    return mp.log(mp.binomial(n, k))


def bernoulli_logpmf(k: int, p: mpf) -> mpf:
    return xlogy(mpf(k), p) + xlogy(mpf(1 - k), 1 - p) if k in (0, 1) else NOWHERE


def bernoulli_cdf(k: int, p: mpf) -> mpf:
    return mpf(0) if k < 0 else mpf(1) if k >= 1 else 1 - p


def binom_logpmf(k: int, n: int, p: mpf) -> mpf:
    if not 0 <= k <= n:
        return NOWHERE
    return log_choose(n, k) + xlogy(mpf(k), p) + xlogy(mpf(n - k), 1 - p)


def betabinom_logpmf(k: int, n: int, a: mpf, b: mpf) -> mpf:
    return log_choose(n, k) + betaln(k + a, n - k + b) - betaln(a, b) if 0 <= k <= n else NOWHERE


def nbinom_logpmf(k: int, n: mpf, p: mpf) -> mpf:
    if k < 0:
        return NOWHERE
    return mp.log(mp.rf(n, k)) - loggamma(k + 1) + xlogy(n, p) + xlogy(mpf(k), 1 - p)


def geom_logpmf(k: int, p: mpf) -> mpf:
    return xlogy(mpf(k - 1), 1 - p) + log(p) if k > 0 else NOWHERE


def poisson_logpmf(k: int, mu: mpf) -> mpf:
    if mu < 0:
        return mpmath.nan
    return xlogy(mpf(k), mu) - loggamma(k + 1) - mu if k >= 0 else NOWHERE


def poisson_cdf(k: int, mu: mpf) -> mpf:
    return gammaincc(mpf(k + 1), mu) if k >= 0 else mpf(0)


@lru_cache(maxsize=4)
def log_factorials(count: int, precision: int) -> list[mpf]:
    """log k! for k below `count`, with so many bits."""
    found = [mpf(0)]
    for k in range(1, count):
        found.append(found[-1] + mp.log(k))
    return found


def poisson_entropy(mu: mpf) -> mpf:
    """μ (1 − log μ) + e^−μ Σ μ^k log k! / k!."""
    if mu <= 0:
        return mpf(0) if mu == 0 else mpmath.nan
    count = int(4 * mu) + 2 * mp.dps + 40
    total, term = mpf(0), mpf(1)
    for k, logarithm in enumerate(log_factorials(count, mp.prec)):
        total += term * logarithm
        term *= mu / (k + 1)
    return mu * (1 - mp.log(mu)) + mp.exp(-mu) * total


def multinomial_logpmf(x: np.ndarray, n: int, p: np.ndarray) -> mpf:
    if any(q < 0 for q in p):
        return mpmath.nan
    if sum(x.tolist()) != n:
        return NOWHERE
    terms = (xlogy(mpf(int(k)), q) - loggamma(int(k) + 1) for k, q in zip(x, p, strict=True))
    return loggamma(n + 1) + sum(terms, mpf(0))


BERNOULLI = (
    *at("generic", (1, 0.3), (0, 0.3), (1, 0.8)), *at("tail", (1, 1e-10), (0, 1 - 1e-10), (2, 0.3), (0, 1e-10)),
    *at("end", (1, 0.0), (0, 0.0), (1, 1.0), (0, 1.0)),
)  # fmt: skip
BINOM = (
    *at("generic", (2, 5, 0.3), (4, 7, 0.8)), *at("tail", (2, 1000, 1e-3), (500, 1000, 0.5), (6, 5, 0.3)),
    *at("tie", (5, 5, 0.4)), *at("zero", (0, 5, 0.3), (0, 0, 0.3)),
    *at("end", (0, 5, 0.0), (2, 5, 0.0), (5, 5, 1.0), (2, 5, 1.0)),
)  # fmt: skip
BETABINOM = (
    *at("generic", (2, 5, 0.7, 1.6), (4, 7, 2.3, 3.1)), *at("tail", (2, 1000, 0.7, 30.0), (2, 5, 1e5, 1e5),
        (6, 5, 0.7, 1.6)),
    *at("tie", (2, 5, 2.3, 2.3), (2, 4, 1.6, 1.6)), *at("zero", (0, 5, 0.7, 1.6), (0, 0, 0.7, 1.6)),
)  # fmt: skip
NBINOM = (
    *at("generic", (2, 5.3, 0.3), (4, 0.7, 0.8)), *at("tail", (200, 1e5, 0.9), (2, 1e6, 1 - 1e-6), (3, 1e-10, 0.4),
        (-1, 2.0, 0.4)),
    *at("zero", (0, 2.3, 0.4)), *at("end", (0, 2.3, 1.0), (2, 2.3, 1.0)),
)  # fmt: skip
GEOM = (
    *at("generic", (1, 0.3), (4, 0.8)), *at("tail", (300, 1e-3), (3, 1e-10), (0, 0.3)), *at("end", (1, 1.0), (2, 1.0)),
)  # fmt: skip
POISSON = (
    *at("generic", (2, 0.7), (4, 6.3)), *at("tail", (300, 290.0), (3, 1e-10), (0, 50.0), (-1, 2.0), (900, 1e3)),
    *at("tie", (2, 2.0)), *at("zero", (0, 0.0), (2, 0.0)),
)  # fmt: skip
MULTINOMIAL = (
    *at("generic", (np.array([1, 2, 0]), 3, numbers(0.2, 0.5, 0.3))),
    *at("tail", (np.array([30, 1]), 31, numbers(1 - 1e-10, 1e-10))),
    *at("tie", (np.array([2, 2]), 4, numbers(0.5, 0.5))),
    *at("zero", (np.array([2, 0]), 2, numbers(1.0, 0.0)), (np.array([0, 0]), 0, numbers(0.4, 0.6))),
    *at("end", (np.array([1, 1]), 2, numbers(1.0, 0.0))),
)  # fmt: skip

CASES: tuple[Case, ...] = (
    *distribution("bernoulli", "k, p", BERNOULLI, "logpmf pmf cdf",
                  {"logpmf": of_probability(bernoulli_logpmf), "cdf": of_probability(bernoulli_cdf)}, wrt=(1,)),
    *distribution("binom", "k, n, p", BINOM, "logpmf pmf", {"logpmf": of_probability(binom_logpmf)}, wrt=(2,)),
    *distribution("betabinom", "k, n, a, b", BETABINOM, "logpmf pmf", {"logpmf": betabinom_logpmf}, wrt=(2, 3)),
    *distribution("nbinom", "k, n, p", NBINOM, "logpmf pmf", {"logpmf": of_probability(nbinom_logpmf)}, wrt=(1, 2)),
    *distribution("geom", "k, p", GEOM, "logpmf pmf", {"logpmf": of_probability(geom_logpmf)}, wrt=(1,)),
    *distribution("poisson", "k, mu", POISSON, "logpmf pmf cdf", {"logpmf": poisson_logpmf, "cdf": poisson_cdf},
                  wrt=(1,)),
    case("jax.scipy.stats.poisson.entropy", poisson_entropy,
         (*at("generic", 0.4, 3.1, 12.0), *at("tail", 1e-10, 50.0, 150.0, 800.0), *at("branch", 10.0, 100.0),
          *at("zero", 0.0)),
         args="mu", scipy=scipy.stats.poisson.entropy),
    *distribution("multinomial", "x, n, p", MULTINOMIAL, "logpmf pmf", {"logpmf": multinomial_logpmf}, wrt=(2,),
                  elementwise=False),
)  # fmt: skip

NOT_COVERED = {
    "jax.scipy.stats.bernoulli.ppf": "a step",
}
