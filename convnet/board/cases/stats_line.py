"""`jax.scipy.stats`: distributions on all real numbers."""

from __future__ import annotations

import mpmath
from mpmath import mp, mpf

from convnet.board.case import Case, at
from convnet.board.cases.special_error import ndtr, ndtri
from convnet.board.cases.special_gamma import gammainc
from convnet.board.distributions import density, distribution, standard
from convnet.board.points import LOCATION_SCALE, QUANTILE, within
from convnet.board.real import loggamma

ALL = "logpdf pdf cdf logcdf sf logsf"
MODERATE = within(LOCATION_SCALE, -1e3, 1e3)
"""Where exp(exp(|x|)) can still be had."""


def quantile(f, low: str = "-inf", high: str = "inf"):
    """Of q, location and scale, from the standard one; its ends at 0 and 1."""

    def ppf(q: mpf, location: mpf, scale: mpf) -> mpf:
        if not 0 <= q <= 1:
            return mpmath.nan
        return location + scale * (mpf(low) if q == 0 else mpf(high) if q == 1 else f(q))

    return ppf


def upper(f):
    """Quantiles from above, of what is symmetric about 0."""
    return lambda q, location, scale: -f(q, -location, scale)


def laplace_cdf(z: mpf) -> mpf:
    return mp.exp(z) / 2 if z <= 0 else 1 - mp.exp(-z) / 2


def cauchy_cdf(z: mpf) -> mpf:
    """atan(1/z) has the digits of the left tail."""
    return -mp.atan(1 / z) / mp.pi if z < -1 else mpf(1) / 2 + mp.atan(z) / mp.pi


def logistic_cdf(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def mirrored(f):
    return lambda z: f(-z)


def gennorm_logpdf(x: mpf, beta: mpf) -> mpf:
    return mp.log(beta / 2) - loggamma(1 / beta) - (abs(x) ** beta if x else 0)


def gennorm_cdf(x: mpf, beta: mpf) -> mpf:
    return (1 + mp.sign(x) * gammainc(1 / beta, abs(x) ** beta if x else mpf(0))) / 2


def t_logpdf(z: mpf, df: mpf) -> mpf:
    constant = loggamma((df + 1) / 2) - loggamma(df / 2) - mp.log(df * mp.pi) / 2
    return constant - (df + 1) / 2 * mp.log1p(z * z / df)


GENNORM = (
    *at("generic", (0.7, 1.4), (-1.3, 2.6), (2.2, 0.7)), *at("tail", (30.0, 1.0), (-4.0, 4.0), (1e-10, 2.0)),
    *at("zero", (0.0, 2.0), (0.0, 1.0), (0.0, 0.7), (0.0, 3.0)), *at("tie", (1.0, 2.0)),
)  # fmt: skip
T = (
    *at("generic", (0.7, 3.2, 0.2, 1.5), (-1.3, 0.8, 0.5, 0.8)),
    *at("tail", (300.0, 2.5, 0.0, 1.0), (1e10, 2.5, 0.0, 1.0), (1.3, 1e4, 0.0, 1.0), (1.3, 1e10, 0.0, 1.0),
        (1e-10, 3.0, 0.0, 1.0), (1e150, 2.0, 0.0, 1.0)),
    *at("tie", (1.25, 3.2, 1.25, 0.5)), *at("zero", (0.0, 1.0, 0.0, 1.0)),
)  # fmt: skip
DTYPES = ("float64", "float32")
X_LOCATION_SCALE = {"args": "x, loc, scale", "wrt": (0, 1, 2)}
Q_LOCATION_SCALE = {"args": "q, loc, scale", "wrt": (0, 1, 2)}

NORM = {"logpdf": density(lambda z: -(z * z) / 2 - mp.log(2 * mp.pi) / 2), "cdf": standard(ndtr),
        "sf": standard(mirrored(ndtr))}  # fmt: skip
CAUCHY = {"logpdf": density(lambda z: -mp.log(mp.pi * (1 + z * z))), "cdf": standard(cauchy_cdf),
          "sf": standard(mirrored(cauchy_cdf))}  # fmt: skip
LAPLACE = {"logpdf": density(lambda z: -abs(z) - mp.log(2)), "cdf": standard(laplace_cdf)}
LOGISTIC = {"logpdf": density(lambda z: -z - 2 * mp.log1p(mp.exp(-z))), "cdf": standard(logistic_cdf),
            "sf": standard(mirrored(logistic_cdf))}  # fmt: skip
GUMBEL_R = {"logpdf": density(lambda z: -z - mp.exp(-z)), "logcdf": standard(lambda z: -mp.exp(-z)),
            "sf": standard(lambda z: -mp.expm1(-mp.exp(-z)))}  # fmt: skip
GUMBEL_L = {"logpdf": density(lambda z: z - mp.exp(z)), "logsf": standard(lambda z: -mp.exp(z)),
            "cdf": standard(lambda z: -mp.expm1(-mp.exp(z)))}  # fmt: skip
NORM_PPF, CAUCHY_PPF = quantile(ndtri), quantile(lambda q: -mp.cot(mp.pi * q))
LOGISTIC_PPF = quantile(lambda q: mp.log(q / (1 - q)))

CASES: tuple[Case, ...] = (
    *distribution("norm", points=LOCATION_SCALE, functions="logpdf pdf", oracles=NORM, **X_LOCATION_SCALE),
    *distribution("norm", points=LOCATION_SCALE, functions="cdf logcdf sf logsf", oracles=NORM, dtypes=DTYPES,
                  **X_LOCATION_SCALE),
    *distribution("norm", points=QUANTILE, functions="ppf isf", oracles={"ppf": NORM_PPF, "isf": upper(NORM_PPF)},
                  dtypes=DTYPES, **Q_LOCATION_SCALE),
    *distribution("cauchy", points=LOCATION_SCALE, functions=ALL, oracles=CAUCHY, **X_LOCATION_SCALE),
    *distribution("cauchy", points=QUANTILE, functions="ppf isf",
                  oracles={"ppf": CAUCHY_PPF, "isf": upper(CAUCHY_PPF)}, **Q_LOCATION_SCALE),
    *distribution("laplace", points=LOCATION_SCALE, functions="logpdf pdf cdf", oracles=LAPLACE, **X_LOCATION_SCALE),
    *distribution("logistic", points=LOCATION_SCALE, functions="logpdf pdf cdf sf", oracles=LOGISTIC,
                  **X_LOCATION_SCALE),
    *distribution("logistic", points=QUANTILE, functions="ppf isf",
                  oracles={"ppf": LOGISTIC_PPF, "isf": upper(LOGISTIC_PPF)}, **Q_LOCATION_SCALE),
    *distribution("gumbel_r", points=MODERATE, functions=ALL, oracles=GUMBEL_R, **X_LOCATION_SCALE),
    *distribution("gumbel_r", points=QUANTILE, functions="ppf",
                  oracles={"ppf": quantile(lambda q: -mp.log(-mp.log(q)))}, **Q_LOCATION_SCALE),
    *distribution("gumbel_l", points=MODERATE, functions=ALL, oracles=GUMBEL_L, **X_LOCATION_SCALE),
    *distribution("gumbel_l", points=QUANTILE, functions="ppf",
                  oracles={"ppf": quantile(lambda q: mp.log(-mp.log1p(-q)))}, **Q_LOCATION_SCALE),
    *distribution("gennorm", "x, beta", GENNORM, "logpdf pdf cdf", {"logpdf": gennorm_logpdf, "cdf": gennorm_cdf},
                  wrt=(0, 1)),
    *distribution("t", "x, df, loc, scale", T, "logpdf pdf", {"logpdf": density(t_logpdf)}, wrt=(0, 1, 2, 3)),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
