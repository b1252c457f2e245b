"""`jax.scipy.special`: Bessel, hypergeometric and spherical functions."""

from __future__ import annotations

import mpmath
import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case, numbers
from convnet.board.points import LINE


def scaled(order: int):
    """I_order(x) exp(−|x|)."""
    return lambda x: mp.besseli(order, x) * mp.exp(-abs(x))


def hyp2f1(a: mpf, b: mpf, c: mpf, x: mpf) -> mpf:
    return mp.hyp2f1(a, b, c, x) if x < 1 else mpmath.nan


# Y_n^m(θ, φ) without its e^{imφ}, θ being the angle from the pole: beyond the poles it goes on where m is even, and is
# not defined where m is odd (SciPy mirrors it there).
LEGENDRE = {
    (0, 0): lambda theta: mp.sqrt(1 / mp.pi) / 2,
    (1, 0): lambda theta: mp.sqrt(3 / mp.pi) / 2 * mp.cos(theta),
    (2, 0): lambda theta: mp.sqrt(5 / mp.pi) / 4 * (3 * mp.cos(theta) ** 2 - 1),
    (2, 1): lambda theta: (
        -mp.sqrt(15 / (2 * mp.pi)) / 2 * mp.sin(theta) * mp.cos(theta) if 0 <= theta <= mp.pi else mpmath.nan
    ),
    (2, -2): lambda theta: mp.sqrt(15 / (2 * mp.pi)) / 4 * mp.sin(theta) ** 2,
    (3, 2): lambda theta: mp.sqrt(105 / (2 * mp.pi)) / 4 * mp.sin(theta) ** 2 * mp.cos(theta),
}


def harmonic(n: int, m: int):
    def y(theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
        return exact.entrywise(lambda t, p: LEGENDRE[n, m](t) * mp.expj(m * p), 2)(theta, phi)

    return y


SLOW = {"dtypes": ("float64", "float32")}
"""What takes a minute to compile."""
BESSEL = (*LINE, *at("tail", 1e-10, 700.0), *at("branch", 8.0, -8.0))
NEAR_ONE = (*at("generic", 0.4, -0.6), *at("tail", 0.92, 0.99, 1 - 1e-10, -3.0))
HARMONICS = (
    *at("generic", (numbers(0.7), numbers(1.1)), (numbers(2.3), numbers(-0.4))),
    *at("tail", (numbers(1e-4), numbers(0.3)), (numbers(1e-9), numbers(0.3))),
    *at("zero", (numbers(0.0), numbers(0.4)), (numbers(0.8), numbers(0.0))),
    *at("end", (numbers(np.pi), numbers(0.4)), (numbers(np.pi / 2), numbers(0.4))),
)
"""Angle from the pole, and around the axis."""

CASES: tuple[Case, ...] = (
    case("jax.scipy.special.i0", lambda x: mp.besseli(0, x), BESSEL, scipy=scipy.special.i0),
    case("jax.scipy.special.i0e", scaled(0), (*BESSEL, *at("tail", 1e10)), scipy=scipy.special.i0e),
    case("jax.scipy.special.i1", lambda x: mp.besseli(1, x), BESSEL, scipy=scipy.special.i1),
    case("jax.scipy.special.i1e", scaled(1), (*BESSEL, *at("tail", 1e10)), scipy=scipy.special.i1e),
    *(case("jax.scipy.special.bessel_jn", lambda z, v=v: mp.besselj(v, z),
           (*at("generic", 0.4, 1.6, 3.1, -2.3), *at("tail", 12.0, 30.0, 60.0, 1e-3, 1e-10, 1000.0),
            *at("zero", 0.0)),
           call=f"jax.scipy.special.bessel_jn(z, v={v})[{v}]", args="z",
           scipy=lambda z, v=v: scipy.special.jv(v, z)) for v in (0, 1, 3)),
    case("jax.scipy.special.hyp1f1", mp.hyp1f1,
         (*at("generic", (0.5, 1.5, 0.7), (2.0, 3.5, -1.6), (1.3, 2.2, 4.0), (-0.7, 0.4, 2.0)),
          *at("tail", (0.5, 1.5, 120.0), (0.5, 1.5, -30.0), (0.5, 1.5, -120.0), (1.3, 2.2, 95.0), (20.0, 3.0, 1e-10)),
          *at("tie", (1.5, 1.5, 0.7), (2.0, 2.0, 120.0)),
          *at("zero", (0.5, 1.5, 0.0), (0.0, 1.5, 0.7)), *at("branch", (-2.0, 1.5, 0.7), (1.0, 2.0, 0.7))),
         args="a, b, x", wrt=(0, 1, 2), scipy=scipy.special.hyp1f1),
    case("jax.scipy.special.hyp2f1", hyp2f1,
         (*at("generic", (0.5, 1.5, 2.2, 0.4), (2.0, -0.7, 1.3, -0.6)),
          *at("tail", (0.5, 1.5, 2.2, 0.95), (1.2, 0.4, 3.1, -5.0)),
          *at("tie", (1.5, 1.5, 2.2, 0.4), (0.5, 1.5, 1.5, 0.4)),
          *at("zero", (0.5, 1.5, 2.2, 0.0), (0.0, 1.5, 2.2, 0.4)), *at("branch", (-2.0, 1.5, 2.2, 0.4))),
         args="a, b, c, x", wrt=(3,), scipy=scipy.special.hyp2f1, **SLOW),
    case("jax.scipy.special.hyp2f1", lambda a: hyp2f1(a, mpf(3) / 2, mpf(9) / 4, mpf(3) / 8),
         (*at("generic", 0.5, -0.7), *at("zero", 0.0), *at("branch", -2.0)),
         call="jax.scipy.special.hyp2f1(a, 1.5, 2.25, 0.375)", args="a", **SLOW,
         scipy=lambda a: scipy.special.hyp2f1(a, 1.5, 2.25, 0.375)),
    case("jax.scipy.special.hyp2f1", lambda x: -mp.log1p(-x) / x, NEAR_ONE,
         call="jax.scipy.special.hyp2f1(1.0, 1.0, 2.0, x)", **SLOW,
         scipy=lambda x: scipy.special.hyp2f1(1.0, 1.0, 2.0, x)),
    case("jax.scipy.special.hyp2f1", lambda x: 4 / (mp.pi * x) * (mp.ellipe(x) - (1 - x) * mp.ellipk(x)), NEAR_ONE,
         call="jax.scipy.special.hyp2f1(0.5, 0.5, 2.0, x)", **SLOW,
         scipy=lambda x: scipy.special.hyp2f1(0.5, 0.5, 2.0, x)),
    *(case("jax.scipy.special.sph_harm_y", harmonic(n, m), HARMONICS,
           call=f"jax.scipy.special.sph_harm_y(jnp.array([{n}]), jnp.array([{m}]), theta, phi, n_max={n})",
           args="theta, phi", wrt=(0, 1), elementwise=False, dtypes=("float64", "float32"),
           scipy=lambda theta, phi, n=n, m=m: scipy.special.sph_harm_y(n, m, theta, phi)) for n, m in LEGENDRE if n),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
