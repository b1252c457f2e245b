"""`jax.scipy.special`."""

from __future__ import annotations

import scipy.special
from mpmath import mp, mpf

from convnet.board.case import Case, at, case

LINE = (
    *at("generic", -2.3, -0.7, 0.4, 1.6, 3.1),
    *at("tail", -300.0, -30.0, 30.0, 300.0),
    *at("zero", 0.0, -0.0),
    *at("subnormal", 1e-310),
)
"""For functions of all real numbers."""


def i0e(x: mpf) -> mpf:
    return mp.besseli(0, x) * mp.exp(-abs(x))


CASES: tuple[Case, ...] = (
    case("jax.scipy.special.digamma", mp.digamma,
         (*at("generic", 0.4, 1.6, 3.1, -0.5, -2.3), *at("tail", -30.7, 1e-10, 1e10), *at("branch", 1.0, 10.0)),
         scipy=scipy.special.digamma),
    case("jax.scipy.special.i0e", i0e, LINE, scipy=scipy.special.i0e),
    case("jax.scipy.special.erf", mp.erf, LINE, scipy=scipy.special.erf),
    case("jax.scipy.special.xlogy", lambda x, y: x * mp.log(y) if x else mpf(0),
         (*at("generic", (0.5, 2.0), (1.5, 0.3)), *at("zero", (0.0, 2.0)), *at("tie", (2.0, 2.0))),
         args="x, y", wrt=(0, 1), scipy=scipy.special.xlogy),
)  # fmt: skip

NOT_COVERED = {
    "jax.scipy.special.bernoulli": "of an integer",
}
"""Functions without a gradient that anybody could want, and why."""
