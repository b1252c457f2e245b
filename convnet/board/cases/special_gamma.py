"""`jax.scipy.special`: the gamma function and what is made of it."""

from __future__ import annotations

import mpmath
import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case, numbers
from convnet.board.points import POSITIVE, SUBNORMAL
from convnet.board.real import loggamma, remembered

NEGATIVE = (*at("generic", -0.5, -2.3), *at("tail", -30.7, -100.2, -2.0001))
"""Between the poles of the gamma function."""


@remembered
def gammaln(x: mpf) -> mpf:
    """log |Γ(x)|, infinite at the poles."""
    if x > 0:
        return loggamma(x)
    sine = abs(mp.sinpi(x))
    return mp.log(mp.pi / sine) - loggamma(1 - x) if sine else mpf("inf")


def sign(x: mpf) -> int:
    """Of Γ(x)."""
    return 1 if x > 0 or mp.floor(x) % 2 == 0 else -1


def betaln(a: mpf, b: mpf) -> mpf:
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def beta(a: mpf, b: mpf) -> mpf:
    return sign(a) * sign(b) * sign(a + b) * mp.exp(betaln(a, b))


@remembered
def gammainc(a: mpf, x: mpf) -> mpf:
    """P(a, x), by its series of positive terms where these fall, else from Q."""
    if x < 0 or a <= 0:
        return mpmath.nan
    if x == 0:
        return mpf(0)
    if x > a + 30:
        return 1 - mp.gammainc(a, x, regularized=True)
    return mp.exp(a * mp.log(x) - x - loggamma(a + 1)) * mp.hyp1f1(1, a + 1, x)


def gammaincc(a: mpf, x: mpf) -> mpf:
    """Q(a, x) = 1 − P(a, x)."""
    if x > a + 30 and a > 0:
        return mp.gammainc(a, x, regularized=True)
    return 1 - gammainc(a, x)


@remembered
def betainc(a: mpf, b: mpf, x: mpf) -> mpf:
    """I_x(a, b), by the series of positive terms on the side where these fall."""
    if not 0 <= x <= 1:
        return mpmath.nan
    if x in (0, 1):
        return mpf(x)
    if x > (a + 1) / (a + b + 2) and x > mpf(1) / 8:
        return 1 - betainc(b, a, 1 - x)
    return mp.exp(a * mp.log(x) + b * mp.log1p(-x) - betaln(a, b)) / a * mp.hyp2f1(1, a + b, a + 1, x)


@remembered
def zeta(s: mpf, q: mpf) -> mpf:
    """Hurwitz' function, Σ 1 / (q + k)^s; what is negative of q + k is summed apart."""
    steps = max(0, int(mp.ceil(-q)))
    return sum(((q + k) ** -s for k in range(steps)), mpf(0)) + mp.zeta(s, q + steps)


def factorial(n: mpf) -> mpf:
    return mp.gamma(n + 1) if n >= 0 else mpf(0)


def comb(n: mpf, k: mpf) -> mpf:
    if not 0 <= k <= n:
        return mpf(0)
    return 1 / ((n + 1) * beta(n - k + 1, k + 1)) if 0 < k < n else mpf(1)


def comb_with_repetition(n: mpf, k: mpf) -> mpf:
    return mpf(1) if k == 0 else comb(n + k - 1, k)


def multigammaln(a: mpf) -> mpf:
    return mpf(3) / 2 * mp.log(mp.pi) + sum(gammaln(a - mpf(i) / 2) for i in range(3))


def complex_loggamma(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return exact.entrywise(lambda a, b: mp.loggamma(mp.mpc(a, b)), 2)(x, y)


def complex_gamma(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return exact.entrywise(lambda a, b: mp.gamma(mp.mpc(a, b)), 2)(x, y)


COMPLEX = (
    *at("generic", (numbers(0.7, 2.3), numbers(1.1, -0.4)), (numbers(-1.4, -2.7), numbers(0.6, -1.3))),
    *at("tail", (numbers(30.0, -30.2), numbers(2.0, 0.5)), (numbers(0.5, 3.0), numbers(30.0, 100.0))),
    *at("zero", (numbers(0.3, 2.0), numbers(0.0, 0.0)), (numbers(0.0, 0.0), numbers(0.5, -2.0))),
    *at("branch", (numbers(0.5, 0.49999), numbers(0.2, 0.2))),
)

GAMMAINC = (
    *at("generic", (0.7, 0.4), (2.3, 1.1), (3.0, 5.2), (0.5, 2.7)),
    *at("tail", (1e-5, 0.3), (30.0, 2.0), (30.0, 80.0), (0.5, 100.0), (1e4, 1.01e4), (2.5, 1e-100)),
    *at("tie", (2.0, 2.0), (0.5, 0.5)),
    *at("branch", (0.3, 1.0), (1.0, 1.0)),
    *at("end", (0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)),
    *at("subnormal", (0.5, 1e-310)),
)
"""Shape and limit."""

BETA = (
    *at("generic", (0.5, 0.7), (2.3, 1.1), (3.6, 5.2), (0.2, 7.4)),
    *at("tail", (30.0, 40.0), (1e-5, 0.3), (1e5, 0.5), (300.0, 2e3), (1e-10, 1e-10), (1e10, 3.0)),
    *at("tie", (0.5, 0.5), (2.3, 2.3), (20.0, 20.0)),
    *at("branch", (3.0, 8.0), (7.5, 7.9999), (12.0, 9.0), (0.5, 10.0)),
)

CASES: tuple[Case, ...] = (
    case("jax.scipy.special.gamma", mp.gamma,
         (*at("generic", 0.4, 1.6, 3.1, 7.5), *NEGATIVE, *at("tail", 30.0, 170.6, 1e-10, 1e-150, -170.3, 1e-300),
          *at("tie", 1.0, 2.0), *at("branch", 0.5)),
         scipy=scipy.special.gamma),
    case("jax.scipy.special.gamma", complex_gamma, COMPLEX, call="jax.scipy.special.gamma(x + 1j * y)", args="x, y",
         wrt=(0, 1), elementwise=False, dtypes=("float64", "float32"),
         scipy=lambda x, y: scipy.special.gamma(x + 1j * y)),
    case("jax.scipy.special.gammaln", gammaln,
         (*POSITIVE, *SUBNORMAL, *NEGATIVE, *at("tail", 1e150, -1e-10, -1e-150),
          *at("branch", 1.0, 2.0, 1.0000001, 1.9999999)),
         scipy=scipy.special.gammaln),
    case("jax.scipy.special.loggamma", lambda x: loggamma(x) if x > 0 else mpmath.nan,
         (*POSITIVE, *SUBNORMAL, *at("branch", 1.0, 2.0, 1.0000001)), scipy=scipy.special.loggamma),
    case("jax.scipy.special.loggamma", complex_loggamma, COMPLEX, call="jax.scipy.special.loggamma(x + 1j * y)",
         args="x, y", wrt=(0, 1), elementwise=False, dtypes=("float64", "float32"),
         scipy=lambda x, y: scipy.special.loggamma(x + 1j * y)),
    case("jax.scipy.special.digamma", mp.digamma,
         (*POSITIVE, *NEGATIVE, *at("tail", -1e-10, 1e150, -1e4 - 0.25), *at("branch", 1.0, 1.4616321449683622, 10.0)),
         scipy=scipy.special.digamma),
    *(case("jax.scipy.special.polygamma", lambda x, n=n: mp.psi(n, x),
           (*POSITIVE, *NEGATIVE, *at("branch", 1.0, 10.0)), call=f"jax.scipy.special.polygamma({n}, x)",
           dtypes=("float64", "float32"), scipy=lambda x, n=n: scipy.special.polygamma(n, x)) for n in range(4)),
    case("jax.scipy.special.zeta", zeta,
         (*at("generic", (1.5, 2.0), (3.1, 0.7), (2.0, 1.0)),
          *at("tail", (30.0, 0.5), (2.0, 1e5), (30.0, 20.0), (2.5, 1e-10), (1.0000001, 2.0))),
         args="x, q", wrt=(0, 1), scipy=scipy.special.zeta),
    case("jax.scipy.special.zeta", lambda q: zeta(2, q), (*at("generic", -0.5, -2.3), *at("tail", -30.7)),
         call="jax.scipy.special.zeta(2.0, q)", args="q", scipy=lambda q: scipy.special.zeta(2.0, q)),
    case("jax.scipy.special.beta", beta, (*BETA, *at("generic", (-0.5, 1.3), (-1.7, -0.6))), args="a, b", wrt=(0, 1),
         scipy=scipy.special.beta),
    case("jax.scipy.special.betaln", betaln, (*BETA, *at("generic", (-0.5, 1.3), (-1.7, -0.6), (-0.5, 10.0))),
         args="a, b", wrt=(0, 1), scipy=scipy.special.betaln),
    case("jax.scipy.special.betainc", betainc,
         (*at("generic", (0.5, 0.7, 0.3), (2.3, 1.1, 0.6), (3.6, 5.2, 0.4)),
          *at("tail", (30.0, 40.0, 0.1), (30.0, 40.0, 0.9), (2.0, 3.0, 1e-100), (2.0, 3.0, 1 - 1e-10),
              (300.0, 300.0, 0.45)),
          *at("tie", (2.5, 2.5, 0.5)), *at("branch", (1.0, 1.0, 0.5), (1.0, 3.0, 0.4)),
          *at("end", (0.5, 0.5, 0.0), (1.0, 2.0, 0.0), (2.0, 2.0, 0.0), (2.0, 2.0, 1.0), (2.0, 1.0, 1.0)),
          *at("subnormal", (2.0, 3.0, 1e-310))),
         args="a, b, x", wrt=(2,), scipy=scipy.special.betainc),
    case("jax.scipy.special.gammainc", gammainc, GAMMAINC, args="a, x", wrt=(0, 1), scipy=scipy.special.gammainc),
    case("jax.scipy.special.gammaincc", gammaincc, GAMMAINC, args="a, x", wrt=(0, 1), scipy=scipy.special.gammaincc),
    case("jax.scipy.special.factorial", factorial,
         (*at("generic", 0.4, 1.6, 3.1, 5.0), *at("tail", 30.0, 169.5, 1e-10), *at("zero", 0.0)), args="n",
         scipy=scipy.special.factorial),
    case("jax.scipy.special.comb", comb,
         (*at("generic", (5.5, 2.3), (7.0, 3.0), (1.4, 0.6)), *at("tail", (60.0, 30.0), (1e6, 2.5), (1e10, 1.5)),
          *at("tie", (4.0, 4.0)), *at("zero", (4.0, 0.0), (0.0, 0.0))),
         args="N, k", wrt=(0, 1), scipy=scipy.special.comb),
    case("jax.scipy.special.comb", comb_with_repetition,
         (*at("generic", (5.5, 2.3), (7.0, 3.0)), *at("tail", (60.0, 30.0)), *at("tie", (4.0, 4.0)),
          *at("zero", (4.0, 0.0))),
         call="jax.scipy.special.comb(N, k, repetition=True)", args="N, k", wrt=(0, 1),
         scipy=lambda n, k: scipy.special.comb(n, k, repetition=True)),
    case("jax.scipy.special.poch", mp.rf,
         (*at("generic", (1.5, 2.3), (3.1, 0.7), (0.4, 3.0), (-0.5, 1.2), (-2.3, 4.0)),
          *at("tail", (200.0, 0.5), (1e6, 1.5), (30.0, 10.0), (1e-10, 2.0)), *at("tie", (2.0, 2.0)),
          *at("zero", (1.5, 0.0))),
         args="z, m", wrt=(0, 1), scipy=scipy.special.poch),
    case("jax.scipy.special.poch", lambda z: mp.rf(z, 2),
         (*at("generic", 1.5, -0.5), *at("branch", 0.0, -1.0, -2.0)), call="jax.scipy.special.poch(z, 2.0)", args="z",
         scipy=lambda z: scipy.special.poch(z, 2.0)),
    case("jax.scipy.special.multigammaln", multigammaln,
         (*at("generic", 1.3, 2.6, 7.5), *at("tail", 1.0000001, 300.0, 1e10)),
         call="jax.scipy.special.multigammaln(a, 3)", args="a",
         scipy=lambda a: scipy.special.multigammaln(a, 3)),
)  # fmt: skip

NOT_COVERED = {
    "jax.scipy.special.bernoulli": "of an integer",
    "jax.scipy.special.gammasgn": "constant between its jumps",
}
