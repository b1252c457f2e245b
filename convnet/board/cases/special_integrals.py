"""`jax.scipy.special`: exponential, sine and cosine integrals, and Spence's function."""

from __future__ import annotations

import mpmath
import scipy.special
from mpmath import mp, mpf

from convnet.board.case import Case, at, case
from convnet.board.points import LINE, POSITIVE, SUBNORMAL, within


def expi(x: mpf) -> mpf:
    return mp.ei(x) if x else mpf("-inf")


def expn(n: int):
    """E_n(x), for x > 0, at 0 its limit; from E₁ by n E_{n + 1}(x) = e^(−x) − x E_n(x), which loses some digits."""

    def e(x: mpf) -> mpf:
        if x < 0:
            return mpmath.nan
        if x == 0:
            return mpf(1) / (n - 1) if n > 1 else mpf("inf")
        if n == 0:
            return mp.exp(-x) / x
        value = mp.e1(x)
        for k in range(1, n):
            value = (mp.exp(-x) - x * value) / k
        return value

    return e


def ci(x: mpf) -> mpf:
    """Its real part, on both sides."""
    return mp.ci(abs(x)) if x else mpf("-inf")


def spence(x: mpf) -> mpf:
    """∫₁ˣ log t / (1 − t) dt = Li₂(1 − x), brought to 1/2 ≤ x ≤ 1."""
    if x < 0:
        return mpmath.nan
    if x > 1:
        return -(mp.log(x) ** 2) / 2 - spence(1 / x)
    if x == 0:
        return mp.pi**2 / 6
    if x < mpf(1) / 2:
        return mp.pi**2 / 6 - mp.log(x) * mp.log1p(-x) - spence(1 - x)
    return mp.polylog(2, 1 - x)


EXPONENTIAL = (
    *within(POSITIVE, 0.1, 1e3), *at("tail", 1e-3, 700.0), *at("branch", 1.0, 1.0000000000000002), *at("end", 0.0),
)  # fmt: skip
# Under vmap the continued fraction for large arguments is run for small ones too, until it has converged for them: in a
# number of steps as 1 / x. With 1e-5 beside 3.0 that takes 13 s, with 1e-10 days. bfloat16 does not end with 0.01.
ENDLESS = at("tail", 1e-10, 3.0)

CASES: tuple[Case, ...] = (
    case("jax.scipy.special.expi", expi,
         (*at("generic", -2.3, -0.7, 0.4, 1.6, 3.1, 7.5, 12.0, 20.0), *at("tail", -300.0, -30.0, 50.0, 300.0, 700.0),
          *at("zero", 0.0), *at("branch", 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), *at("tie", 0.37250741078136663)),
         scipy=scipy.special.expi),
    case("jax.scipy.special.exp1", expn(1), EXPONENTIAL, dtypes=("float64", "float32"), scipy=scipy.special.exp1),
    case("jax.scipy.special.expn", expn(1), ENDLESS, call="jax.scipy.special.expn(1, x)",
         dtypes=("float64", "float32"), scipy=lambda x: scipy.special.expn(1, x)),
    *(case("jax.scipy.special.expn", expn(n), EXPONENTIAL, call=f"jax.scipy.special.expn({n}, x)",
           dtypes=("float64", "float32"), scipy=lambda x, n=n: scipy.special.expn(n, x)) for n in (0, 2, 5)),
    case("jax.scipy.special.expn", lambda x: mp.re(mp.expint(6000, x)), at("branch", 0.4, 30.0),
         call="jax.scipy.special.expn(6000, x)", dtypes=("float64", "float32"),
         scipy=lambda x: scipy.special.expn(6000, x)),
    case("jax.scipy.special.sici", mp.si,
         (*LINE, *SUBNORMAL, *at("branch", 4.0, 8.0, -4.0, 1e9), *at("tail", 1e-5, 1e5, 2e9)),
         call="jax.scipy.special.sici(x)[0]", scipy=lambda x: scipy.special.sici(x)[0]),
    case("jax.scipy.special.sici", ci,
         (*LINE, *at("branch", 4.0, 8.0, -4.0, 1e9), *at("tail", 1e-5, 1e5, 2e9)),
         call="jax.scipy.special.sici(x)[1]", scipy=lambda x: scipy.special.sici(x)[1]),
    case("jax.scipy.special.spence", spence,
         (*at("generic", 0.4, 0.9, 1.6, 3.1), *at("tail", 1e-10, 30.0, 300.0, 1e10, 1e150),
          *at("branch", 1.0, 0.9999999, 1.0000001, 0.5, 1.5, 2.0), *at("end", 0.0)),
         dtypes=("float64", "float32"), scipy=scipy.special.spence),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
