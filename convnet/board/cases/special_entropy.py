"""`jax.scipy.special`: logarithms that are 0 times infinity, and sums of exponentials."""

from __future__ import annotations

import mpmath
import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case, numbers
from convnet.board.points import LINE, POSITIVE, UNIT_INTERVAL
from convnet.board.real import log, xlogy

INFINITE = mpf("inf")


def xlog1py(x: mpf, y: mpf) -> mpf:
    return xlogy(x, 1 + y)


def entr(x: mpf) -> mpf:
    return -xlogy(x, x) if x >= 0 else -INFINITE


def rel_entr(p: mpf, q: mpf) -> mpf:
    """p log(p / q), 0 at p = 0, infinite outside."""
    if p > 0 and q > 0:
        return p * mp.log(p / q)
    return mpf(0) if p == 0 and q >= 0 else INFINITE


def kl_div(p: mpf, q: mpf) -> mpf:
    return rel_entr(p, q) - p + q


def boxcox(x: mpf, power: mpf) -> mpf:
    if x <= 0:
        return mpmath.nan
    return mp.expm1(power * mp.log(x)) / power if power else mp.log(x)


def boxcox1p(x: mpf, power: mpf) -> mpf:
    return boxcox(1 + x, power)


def logsumexp(x: np.ndarray, axis: int | None = None, b: np.ndarray | int = 1) -> np.ndarray:
    """log Σ b exp(x); −∞ adds nothing."""
    powers = exact.entrywise(lambda value: mp.exp(value) if mpmath.isfinite(value) else mpf(0))(x)
    return exact.entrywise(log)(np.sum(powers * b, axis=axis))


PAIRS = (
    *at("generic", (0.5, 2.0), (1.5, 0.3), (0.7, 0.6)),
    *at("tail", (1e-10, 1e10), (30.0, 1e-150), (1e-150, 0.3), (1.0, 1 + 1e-9)),
    *at("tie", (2.0, 2.0), (1.0, 1.0)), *at("zero", (0.0, 2.0), (0.0, 0.0)), *at("end", (2.0, 0.0)),
)  # fmt: skip
POWERS = (
    *at("generic", (0.5, 0.7), (1.6, -1.3), (3.1, 2.0)),
    *at("tail", (1e-10, 0.5), (1e10, 0.5), (2.0, 1e-10), (2.0, 1e-5)),
    *at("zero", (1.6, 0.0), (0.4, 0.0)), *at("tie", (0.5, 0.5)),
)  # fmt: skip
VECTORS = (
    *at("generic", numbers(0.3, -1.2, 2.1)),
    *at("tail", numbers(1e3, 1e3 - 2, -50.0), numbers(-1e4, -1e4 + 1, -1e4 - 3), numbers(0.0, -800.0, -900.0)),
    *at("tie", numbers(0.5, 0.5, 0.5)), *at("zero", numbers(0.0, 0.0, 0.0)), *at("length one", numbers(0.7)),
)  # fmt: skip
MATRICES = (
    *at("generic", np.array([[0.3, -1.2], [2.1, 0.4]])), *at("tail", np.array([[1e3, 1e3 - 2], [-1e3, -1e3 + 2]])),
    *at("tie", np.array([[0.5, 0.5], [-1.0, -1.0]])), *at("length one", np.array([[0.3], [-1.2]])),
)  # fmt: skip

CASES: tuple[Case, ...] = (
    case("jax.scipy.special.xlogy", xlogy, PAIRS, args="x, y", wrt=(0, 1), scipy=scipy.special.xlogy),
    case("jax.scipy.special.xlog1py", xlog1py,
         (*at("generic", (0.5, 2.0), (1.5, -0.3)), *at("tail", (1e-10, 1e10), (30.0, -1 + 1e-10), (2.0, 1e-10)),
          *at("zero", (0.0, 2.0), (2.0, 0.0), (0.0, 0.0)), *at("end", (2.0, -1.0), (0.0, -1.0))),
         args="x, y", wrt=(0, 1), scipy=scipy.special.xlog1py),
    case("jax.scipy.special.entr", entr, (*POSITIVE, *at("tie", 1.0), *at("end", 0.0), *at("branch", -0.5)),
         scipy=scipy.special.entr),
    case("jax.scipy.special.rel_entr", rel_entr, PAIRS, args="p, q", wrt=(0, 1), scipy=scipy.special.rel_entr),
    case("jax.scipy.special.kl_div", kl_div, PAIRS, args="p, q", wrt=(0, 1), scipy=scipy.special.kl_div),
    case("jax.scipy.special.logit", lambda x: mp.log(x / (1 - x)), (*UNIT_INTERVAL, *at("tail", 0.5 + 2.0**-40)),
         scipy=scipy.special.logit),
    case("jax.scipy.special.expit", lambda x: 1 / (1 + mp.exp(-x)), (*LINE, *at("tail", 40.0, -700.0)),
         scipy=scipy.special.expit),
    case("jax.scipy.special.boxcox", boxcox, POWERS, args="x, lmbda", wrt=(0, 1), scipy=scipy.special.boxcox),
    case("jax.scipy.special.boxcox1p", boxcox1p, (*POWERS, *at("tail", (1e-150, 0.5), (-0.5, 2.0))),
         args="x, lmbda", wrt=(0, 1), scipy=scipy.special.boxcox1p),
    case("jax.scipy.special.logsumexp", logsumexp,
         (*VECTORS, *at("end", numbers(0.3, -np.inf, 1.2), numbers(-np.inf, -np.inf))), args="a", elementwise=False,
         scipy=scipy.special.logsumexp),
    case("jax.scipy.special.logsumexp", lambda a: logsumexp(a, axis=1), MATRICES,
         call="jax.scipy.special.logsumexp(a, axis=1)", args="a", elementwise=False,
         scipy=lambda a: scipy.special.logsumexp(a, axis=1)),
    case("jax.scipy.special.logsumexp", lambda a, b: logsumexp(a, b=b),
         (*at("generic", (numbers(0.3, -1.2, 2.1), numbers(0.5, 1.5, 0.2)), (numbers(0.3, 2.1), numbers(-0.2, 0.9))),
          *at("tail", (numbers(900.0, 800.0), numbers(0.5, 1.5))), *at("tie", (numbers(0.5, 0.5), numbers(0.5, 0.5))),
          *at("zero", (numbers(0.3, 2.1), numbers(0.0, 0.9)), (numbers(0.7, 0.7), numbers(1.0, -1.0)))),
         call="jax.scipy.special.logsumexp(a, b=b)", args="a, b", wrt=(0, 1), elementwise=False,
         scipy=lambda a, b: scipy.special.logsumexp(a, b=b)),
    case("jax.scipy.special.softmax", exact.softmax, VECTORS, elementwise=False, scipy=scipy.special.softmax),
    case("jax.scipy.special.softmax", lambda x: exact.softmax(x, 0), MATRICES,
         call="jax.scipy.special.softmax(x, axis=0)", elementwise=False,
         scipy=lambda x: scipy.special.softmax(x, axis=0)),
    case("jax.scipy.special.log_softmax", exact.log_softmax, VECTORS, elementwise=False,
         scipy=scipy.special.log_softmax),
    case("jax.scipy.special.log_softmax", lambda x: exact.log_softmax(x, 0), MATRICES,
         call="jax.scipy.special.log_softmax(x, axis=0)", elementwise=False,
         scipy=lambda x: scipy.special.log_softmax(x, axis=0)),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
