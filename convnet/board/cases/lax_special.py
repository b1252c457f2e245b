"""`jax.lax`: the special functions, entry by entry."""

from __future__ import annotations

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board.case import Case, at, case
from convnet.board.cases.elementwise_points import LINE

GAMMA_LINE = (
    *at("generic", 0.4, 1.6, 3.1, -0.5, -2.3),
    *at("tail", 30.0, 1e10, 1e25, 1e-10, 1e-200, -1e-10, -30.7, -300.5),
    *at("branch", 1.0, 2.0, 10.0, 0.5, np.nextafter(1.0, 2.0)),
    *at("end", -2 + 1e-9, np.nextafter(-1.0, 0.0)),
)
"""For Γ and what follows from it. The ends are beside poles."""

GAMMA_POINTS = (
    *at("generic", (0.5, 0.3), (2.5, 1.7), (3.2, 10.0), (10.5, 3.0)),
    *at("tail", (30.0, 28.0), (200.5, 180.0), (0.001, 1.0), (5.5, 300.0), (300.0, 5.0), (1e-10, 0.5), (2.5, 1e-10)),
    *at("tie", (1.5, 1.5), (30.0, 30.0)),
    *at("branch", (1.0, 1.0), (1.0, 0.3), (2.0, 1.0), (0.5, 1.0)),
    *at("zero", (2.5, 0.0)),
)
"""a and x of the incomplete Γ functions."""

GAMMA_ENDS = at("zero", (1.0, 0.0), (0.5, 0.0))
"""Where there is a derivative in a alone."""

BETA_POINTS = (
    *at("generic", (0.5, 1.7, 0.3), (2.5, 0.7, 0.8), (3.2, 4.1, 0.5)),
    *at("tail", (30.0, 40.0, 0.4), (2.5, 3.5, 1e-10), (2.5, 3.5, 0.999999), (0.01, 3.0, 0.5)),
    *at("tie", (1.5, 1.5, 0.5)),
    *at("branch", (1.0, 1.0, 0.3), (2.0, 1.0, 0.4), (1.0, 3.0, 0.4)),
    *at("end", (1.0, 2.0, 0.0), (2.5, 3.5, 0.0), (2.5, 1.0, 1.0), (2.5, 3.5, 1.0)),
)
"""a, b and x of the incomplete Β function."""

BESSEL_LINE = (*LINE, *at("branch", 8.0, -8.0, np.nextafter(8.0, 9.0)), *at("tail", 1e10, -1e10, 1e-7, 1e-15))


def bessel_i0e(x: mpf) -> mpf:
    return mp.besseli(0, x) * mp.exp(-abs(x))


def bessel_i1e(x: mpf) -> mpf:
    return mp.besseli(1, x) * mp.exp(-abs(x))


def lgamma(x: mpf) -> mpf:
    """log |Γ(x)|."""
    return mp.re(mp.loggamma(x))


def igamma(a: mpf, x: mpf) -> mpf:
    """P(a, x), from a series of positive terms."""
    if a <= 0 or x < 0:
        return mp.nan
    return mp.power(x, a) * mp.exp(-x) * mp.hyp1f1(1, a + 1, x) / mp.gamma(a + 1) if x else mpf(0)


def igammac(a: mpf, x: mpf) -> mpf:
    """Q(a, x)."""
    return 1 - igamma(a, x)


def igamma_grad_a(a: mpf, x: mpf) -> mpf:
    """∂P/∂a, from P = xᵃ e⁻ˣ Σ xⁿ / Γ(a + n + 1), term by term."""
    if a <= 0 or x < 0:
        return mp.nan
    if not x:
        return mpf(0)
    with mp.extradps(20):
        term, psi, total, n = mp.exp(a * mp.log(x) - x) / mp.gamma(a + 1), mp.digamma(a + 1), mpf(0), 0
        while n < x or abs(term * (mp.log(x) - psi)) > mp.eps * abs(total):
            total += term * (mp.log(x) - psi)
            n += 1
            term *= x / (a + n)
            psi += 1 / (a + n)
        return total


def random_gamma_grad(a: mpf, x: mpf) -> mpf:
    """dx/da of the a-quantile at a fixed probability: −(∂P/∂a) / (∂P/∂x)."""
    if a <= 0 or x <= 0:
        return mp.nan
    return -igamma_grad_a(a, x) * mp.gamma(a) * mp.exp(x) * mp.power(x, 1 - a)


def betainc(a: mpf, b: mpf, x: mpf) -> mpf:
    """I_x(a, b), as a hypergeometric series on the side of the mean where that converges fast."""
    if a <= 0 or b <= 0 or x < 0 or x > 1:
        return mp.nan
    if x in (0, 1):
        return mpf(x)
    if x > (a + 1) / (a + b + 2):
        return 1 - betainc(b, a, 1 - x)
    return mp.power(x, a) * mp.power(1 - x, b) * mp.hyp2f1(a + b, 1, a + 1, x) / (a * mp.beta(a, b))


def polygamma(m: float, x: mpf) -> mpf:
    return mp.psi(int(m), x)


CASES: tuple[Case, ...] = (
    case("jax.lax.bessel_i0e", bessel_i0e, BESSEL_LINE, scipy=scipy.special.i0e),
    case("jax.lax.bessel_i1e", bessel_i1e, BESSEL_LINE, scipy=scipy.special.i1e),
    case("jax.lax.lgamma", lgamma, GAMMA_LINE, scipy=scipy.special.gammaln),
    case("jax.lax.digamma", mp.digamma, GAMMA_LINE, scipy=scipy.special.digamma),
    case("jax.lax.polygamma", polygamma,
         (*at("generic", (0.0, 1.6), (1.0, 0.4), (2.0, 3.1), (3.0, 1.7)), *at("tail", (1.0, 300.0), (1.0, 1e10),
          (2.0, 1e-10), (20.0, 1.5), (5.0, 1e-10)), *at("branch", (1.0, 1.0), (4.0, 10.0)),
          *at("generic", (1.0, -0.5), (2.0, -2.3), (0.0, -0.7))),
         args="m, x", wrt=(1,), call="jax.lax.polygamma(jnp.full_like(x, m), x)",
         scipy=lambda m, x: scipy.special.polygamma(m, x)),
    case("jax.lax.igamma", igamma, GAMMA_POINTS, args="a, x", wrt=(0, 1), scipy=scipy.special.gammainc),
    case("jax.lax.igammac", igammac, GAMMA_POINTS, args="a, x", wrt=(0, 1), scipy=scipy.special.gammaincc),
    case("jax.lax.igamma", igamma, GAMMA_ENDS, args="a, x", wrt=(0,)),
    case("jax.lax.igammac", igammac, GAMMA_ENDS, args="a, x", wrt=(0,)),
    case("jax.lax.igamma_grad_a", igamma_grad_a, GAMMA_POINTS[:2], args="a, x", wrt=(0, 1)),
    case("jax.lax.random_gamma_grad", random_gamma_grad, GAMMA_POINTS[:2], args="a, x", wrt=(0, 1)),
    case("jax.lax.betainc", betainc, BETA_POINTS, args="a, b, x", wrt=(2,), scipy=scipy.special.betainc),
    case("jax.lax.betainc", betainc, BETA_POINTS[:2], args="a, b, x", wrt=(0, 1)),
    case("jax.lax.zeta", lambda s, q: mp.zeta(s, q), at("generic", (2.5, 1.3), (3.0, 0.7)), args="s, q", wrt=(0, 1),
         scipy=scipy.special.zeta),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
