"""`jax.scipy.stats`: distributions on half a line, or on an interval."""

from __future__ import annotations

import mpmath
from mpmath import mp, mpf

from convnet.board.case import Case, at, case
from convnet.board.cases.special_error import ndtr
from convnet.board.cases.special_gamma import betainc, betaln, gammainc, gammaincc
from convnet.board.distributions import density, distribution, standard
from convnet.board.points import QUANTILE, with_shape
from convnet.board.real import log, loggamma, xlogy

ALL = "logpdf pdf cdf logcdf sf logsf"
NOWHERE = mpf("-inf")


def from_zero(f):
    """A logarithm of a density that is 0 for negative arguments."""
    return lambda z, *shape: f(z, *shape) if z >= 0 else NOWHERE


def clipped(f, low: int, high: float = float("inf")):
    """A distribution function, of which nothing is outside; 0 and 1 at the ends."""
    return lambda z, *shape: mpf(0) if z <= low else mpf(1) if z >= high else f(z, *shape)


def gamma_logpdf(z: mpf, a: mpf) -> mpf:
    return xlogy(a - 1, z) - z - loggamma(a)


def chi2_logpdf(z: mpf, df: mpf) -> mpf:
    return gamma_logpdf(z / 2, df / 2) - mp.log(2)


def beta_logpdf(z: mpf, a: mpf, b: mpf) -> mpf:
    return xlogy(a - 1, z) + xlogy(b - 1, 1 - z) - betaln(a, b) if 0 <= z <= 1 else NOWHERE


def pareto_logpdf(z: mpf, b: mpf) -> mpf:
    return mp.log(b) - (b + 1) * mp.log(z) if z >= 1 else NOWHERE


def pareto_ppf(q: mpf, b: mpf, location: mpf, scale: mpf) -> mpf:
    if not 0 <= q <= 1:
        return mpmath.nan
    return location + scale * ((1 - q) ** (-1 / b) if q < 1 else mpf("inf"))


def expon_ppf(q: mpf, location: mpf, scale: mpf) -> mpf:
    return location - scale * log(1 - q) if 0 <= q <= 1 else mpmath.nan


def uniform_ppf(q: mpf, location: mpf, scale: mpf) -> mpf:
    return location + scale * q if 0 <= q <= 1 else mpmath.nan


def between(a: mpf, b: mpf) -> mpf:
    """What a standard normal variable has between a and b, in the tail where it is least."""
    return ndtr(-a) - ndtr(-b) if a > 0 else ndtr(b) - ndtr(a)


def truncnorm_logpdf(z: mpf, a: mpf, b: mpf) -> mpf:
    return -(z * z) / 2 - mp.log(2 * mp.pi) / 2 - mp.log(between(a, b)) if a <= z <= b else NOWHERE


def truncnorm_cdf(z: mpf, a: mpf, b: mpf) -> mpf:
    return mpf(0) if z <= a else mpf(1) if z >= b else between(a, z) / between(a, b)


def truncnorm_sf(z: mpf, a: mpf, b: mpf) -> mpf:
    return mpf(1) if z <= a else mpf(0) if z >= b else between(z, b) / between(a, b)


EXPON = (
    *at("generic", (1.2, 0.2, 1.5), (0.7, -0.4, 0.8)),
    *at("tail", (1e-10, 0.0, 1.0), (30.0, 0.0, 1.0), (300.0, 0.0, 1.0), (-1.3, 0.0, 1.0), (800.0, 0.0, 1.0)),
    *at("end", (0.0, 0.0, 1.0), (1.25, 1.25, 0.5)),
)  # fmt: skip
GAMMA_PDF = (
    *at("generic", (1.2, 0.7, 0.2, 1.5), (0.7, 2.3, -0.4, 0.8)),
    *at("tail", (1e-10, 2.0, 0.0, 1.0), (300.0, 2.0, 0.0, 1.0), (-1.3, 2.0, 0.0, 1.0), (90.0, 100.0, 0.0, 1.0)),
    *at("tie", (1.0, 1.0, 0.0, 1.0)),
    *at("end", (0.0, 1.0, 0.0, 1.0), (0.0, 2.0, 0.0, 1.0), (0.0, 0.5, 0.0, 1.0), (0.0, 3.0, 0.0, 1.0)),
)  # fmt: skip
GAMMA = (
    *at("generic", (1.2, 0.7), (0.7, 2.3)), *at("tail", (1e-10, 2.0), (100.0, 2.0), (2.0, 30.0), (-1.3, 2.0)),
    *at("end", (0.0, 1.0), (0.0, 3.0)),
)  # fmt: skip
BETA_PDF = (
    *at("generic", (0.4, 0.7, 1.6, 0.0, 1.0), (0.9, 2.3, 3.1, 0.2, 1.5)),
    *at("tail", (1e-10, 2.0, 3.0, 0.0, 1.0), (0.3, 30.0, 40.0, 0.0, 1.0), (-0.3, 2.0, 2.0, 0.0, 1.0)),
    *at("tie", (0.5, 2.3, 2.3, 0.0, 1.0), (0.5, 1.0, 1.0, 0.0, 1.0)),
    *at("end", (0.0, 1.0, 2.0, 0.0, 1.0), (1.0, 3.0, 1.0, 0.0, 1.0), (0.0, 2.0, 2.0, 0.0, 1.0)),
)  # fmt: skip
BETA = (
    *at("generic", (0.4, 0.7, 1.6), (0.8, 2.3, 3.1)),
    *at("tail", (1e-10, 2.0, 3.0), (0.9, 30.0, 40.0), (-0.3, 2.0, 2.0)),
    *at("end", (0.0, 1.0, 2.0), (1.0, 2.0, 1.0), (0.0, 2.0, 2.0)),
)  # fmt: skip
PARETO = (
    *at("generic", (2.3, 0.7, 0.2, 1.5), (1.7, 2.3, 0.4, 0.8)),
    *at("tail", (1 + 1e-10, 2.0, 0.0, 1.0), (1e10, 2.0, 0.0, 1.0), (300.0, 80.0, 0.0, 1.0), (0.3, 2.0, 0.0, 1.0),
        (-0.3, 2.0, 0.0, 1.0)),
    *at("end", (1.0, 2.0, 0.0, 1.0)),
)  # fmt: skip
TRUNCNORM = (
    *at("generic", (0.3, -1.0, 2.0), (1.2, 0.4, 2.0)),
    *at("tail", (6.0, 5.0, 8.0), (31.0, 30.0, 40.0), (-31.0, -40.0, -30.0), (0.3, -300.0, 300.0), (3.0, -1.0, 2.0)),
    *at("zero", (0.0, -1.0, 1.0), (0.5, 0.0, 1.0)), *at("end", (-1.0, -1.0, 2.0), (2.0, -1.0, 2.0)),
)  # fmt: skip
HALF_INFINITE = (*at("generic", (0.3, -1.0)), *at("tail", (31.0, 30.0), (-30.0, -40.0)), *at("end", (0.5, 0.5)))
UNIFORM = (
    *at("generic", (1.2, 0.2, 1.5), (0.3, -0.4, 0.8)), *at("tail", (-1.3, 0.0, 1.0), (2.3, 0.0, 1.0)),
    *at("end", (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)),
)  # fmt: skip

X_LOCATION_SCALE = {"args": "x, loc, scale", "wrt": (0, 1, 2)}
Q_LOCATION_SCALE = {"args": "q, loc, scale", "wrt": (0, 1, 2)}
EXPON_ORACLES = {
    "logpdf": density(from_zero(lambda z: -z)), "cdf": standard(clipped(lambda z: -mp.expm1(-z), 0)),
    "logsf": standard(lambda z: -z if z > 0 else mpf(0)),
}  # fmt: skip
GAMMA_ORACLES = {
    "cdf": clipped(lambda z, a: gammainc(a, z), 0), "sf": lambda z, a: gammaincc(a, z) if z > 0 else mpf(1),
}  # fmt: skip
CHI2_ORACLES = {
    "cdf": clipped(lambda z, df: gammainc(df / 2, z / 2), 0),
    "sf": lambda z, df: gammaincc(df / 2, z / 2) if z > 0 else mpf(1),
}  # fmt: skip
BETA_ORACLES = {
    "cdf": clipped(lambda z, a, b: betainc(a, b, z), 0, 1),
    "sf": lambda z, a, b: clipped(lambda y: betainc(b, a, y), 0, 1)(1 - z),
}  # fmt: skip
PARETO_ORACLES = {
    "logpdf": density(pareto_logpdf), "cdf": standard(clipped(lambda z, b: -mp.expm1(-b * mp.log(z)), 1)),
    "logsf": standard(lambda z, b: -b * mp.log(z) if z > 1 else mpf(0)),
}  # fmt: skip
UNIFORM_ORACLES = {
    "logpdf": density(lambda z: mpf(0) if 0 <= z <= 1 else NOWHERE), "cdf": standard(clipped(lambda z: z, 0, 1)),
}  # fmt: skip
HALF_LINE = {
    "logpdf": lambda x, a: truncnorm_logpdf(x, a, mpf("inf")),
    "logcdf": lambda x, a: log(truncnorm_cdf(x, a, mpf("inf"))),
    "logsf": lambda x, a: log(truncnorm_sf(x, a, mpf("inf"))),
}  # fmt: skip
TRUNCNORM_ORACLES = {"cdf": truncnorm_cdf, "sf": truncnorm_sf}
DTYPES = ("float64", "float32")

CASES: tuple[Case, ...] = (
    *distribution("expon", points=EXPON, functions=ALL, oracles=EXPON_ORACLES, **X_LOCATION_SCALE),
    *distribution("expon", points=QUANTILE, functions="ppf", oracles={"ppf": expon_ppf}, **Q_LOCATION_SCALE),
    *distribution("gamma", "x, a, loc, scale", GAMMA_PDF, "logpdf pdf", {"logpdf": density(from_zero(gamma_logpdf))},
                  wrt=(0, 1, 2, 3)),
    *distribution("gamma", "x, a", GAMMA, "cdf logcdf sf logsf", GAMMA_ORACLES, wrt=(0, 1)),
    *distribution("chi2", "x, df, loc, scale", GAMMA_PDF, "logpdf pdf", {"logpdf": density(from_zero(chi2_logpdf))},
                  wrt=(0, 1, 2, 3)),
    *distribution("chi2", "x, df", GAMMA, "cdf logcdf sf logsf", CHI2_ORACLES, wrt=(0, 1)),
    *distribution("beta", "x, a, b, loc, scale", BETA_PDF, "logpdf pdf", {"logpdf": density(beta_logpdf)},
                  wrt=(0, 1, 2, 3, 4)),
    *distribution("beta", "x, a, b", BETA, "cdf logcdf sf logsf", BETA_ORACLES, wrt=(0,)),
    *distribution("pareto", "x, b, loc, scale", PARETO, ALL, PARETO_ORACLES, wrt=(0, 1, 2, 3)),
    *distribution("pareto", "q, b, loc, scale", with_shape(QUANTILE, 2.5), "ppf", {"ppf": pareto_ppf},
                  wrt=(0, 1, 2, 3)),
    *distribution("uniform", points=UNIFORM, functions="logpdf pdf cdf", oracles=UNIFORM_ORACLES, **X_LOCATION_SCALE),
    *distribution("uniform", points=QUANTILE, functions="ppf", oracles={"ppf": uniform_ppf}, **Q_LOCATION_SCALE),
    *distribution("truncnorm", "x, a, b", TRUNCNORM, "logpdf pdf", {"logpdf": truncnorm_logpdf}, wrt=(0, 1, 2),
                  dtypes=DTYPES),
    *distribution("truncnorm", "x, a, b", TRUNCNORM, "cdf logcdf sf logsf", TRUNCNORM_ORACLES, wrt=(0, 1, 2),
                  dtypes=DTYPES),
    *(case(f"jax.scipy.stats.truncnorm.{name}", oracle, HALF_INFINITE, args="x, a", wrt=(0, 1), dtypes=DTYPES,
           call=f"jax.scipy.stats.truncnorm.{name}(x, a, jnp.inf)") for name, oracle in HALF_LINE.items()),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
