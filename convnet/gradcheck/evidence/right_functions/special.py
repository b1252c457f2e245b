"""Special functions of `jax.scipy.special`, and elementary ones where digits are easily lost."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
import scipy.special

from convnet.gradcheck.evidence.right_functions.right import (
    MODERATE,
    UNIT,
    RightFunction,
    normal,
    positive,
    probabilities,
    right,
    uniform,
)

X, ABOVE_0 = normal((4, 5)), positive((4, 5))
SMALL = (1e-3, 0.1, 1.0)
GROWING = (1e-3, 0.1, 1.0, 30.0)


def bernoullis(rng, scale):
    """Counts and rates; one count is 0."""
    x = rng.integers(0, 5, size=6).astype(float)
    x[0] = 0
    return x, scale * rng.uniform(0.1, 0.9, 6)


def two_distributions(rng, scale):
    return probabilities(rng, (3, 4)), probabilities(rng, (3, 4))


def shapes_and_places(rng, scale):
    return scale * np.exp(0.3 * rng.standard_normal(6)), scale * np.exp(0.3 * rng.standard_normal(6))


def betas(rng, scale):
    return (*shapes_and_places(rng, scale), rng.uniform(0.2, 0.8, 6))


def log_gamma_by_recurrence(x):
    """By Stirling's series beyond 12, and the recurrence below."""
    shift, total = 12, 0.0
    for k in range(shift):
        total = total + np.log(x + k)
    z = x + shift
    series = 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7) + 1 / (1188 * z**9)
    return (z - 0.5) * np.log(z) - z + 0.5 * np.log(2 * np.pi) + series - total


def rodrigues(w, x):
    """The rotation of x about w by |w|."""
    angle = jnp.sqrt(w @ w)
    axis = w / angle
    return x * jnp.cos(angle) + jnp.cross(axis, x) * jnp.sin(angle) + axis * (axis @ x) * (1 - jnp.cos(angle))


def sinc_or_series(x):
    """sin(x) / x, by its series near 0."""
    near = jnp.abs(x) < 1e-2
    safe = jnp.where(near, 1.0, x)
    return jnp.where(near, 1 - x**2 / 6 + x**4 / 120 - x**6 / 5040, jnp.sin(safe) / safe)


def softclip(x):
    return jax.nn.softplus(x + 1) - jax.nn.softplus(x - 1) - 1


RIGHT: tuple[RightFunction, ...] = (
    right("erf", special.erf, X, oracle=scipy.special.erf),
    right("erfc", special.erfc, X, GROWING, reference=lambda x: 2 * special.ndtr(-np.sqrt(2) * x)),
    right("erfcx", special.erfcx, X, SMALL, oracle=lambda x: scipy.special.wofz(1j * x)),
    right("erfinv", special.erfinv, uniform(-0.9, 0.9, (4, 5)), SMALL,
          reference=lambda x: special.ndtri((x + 1) / 2) / np.sqrt(2)),
    right("dawsn", special.dawsn, X, oracle=scipy.special.dawsn),
    right("gammaln", special.gammaln, ABOVE_0, oracle=log_gamma_by_recurrence),
    right("gammaln, scipy", special.gammaln, ABOVE_0, oracle=scipy.special.loggamma),
    right("gamma", special.gamma, positive((6,)), MODERATE, reference=lambda x: jnp.exp(special.gammaln(x))),
    # With other signs, far from 0, JAX's derivative is wrong: −0.03 at −30.7, where it is 15.05.
    right("digamma", special.digamma, ABOVE_0, (1e-3, 0.1, 1.0), oracle=scipy.special.digamma),
    right("polygamma", lambda x: special.polygamma(1, x), ABOVE_0, reference=lambda x: special.zeta(2.0, x)),
    # JAX's own keeps eight digits where both arguments are some tens.
    right("betaln", special.betaln, shapes_and_places, accuracy=1e-6, reference=lambda a, b: (
        special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b))),
    right("multigammaln", lambda a: special.multigammaln(a + 2, 3), positive((4,)), oracle=lambda a: (
        1.5 * np.log(np.pi) + sum(scipy.special.loggamma(a + 2 - k / 2) for k in range(3)))),
    right("gammainc", special.gammainc, shapes_and_places, MODERATE),
    right("gammaincc", special.gammaincc, shapes_and_places, MODERATE,
          reference=lambda a, x: 1 - special.gammainc(a, x)),
    right("betainc", special.betainc, betas, (0.3, 1.0, 3.0), argnums=2),
    right("i0e", special.i0e, X, oracle=lambda x: scipy.special.ive(0, x)),
    right("i1e", special.i1e, X),
    right("i0", special.i0, X, SMALL, reference=lambda x: special.i0e(x) * jnp.exp(jnp.abs(x))),
    # Not + |x|: at 0 the slope of jnp.abs is 1 and that of i0e is 0, so that theirs together is 1 and should be 0.
    right("log of i0", lambda x: jnp.log(special.i0e(x)) + x * jnp.sign(x), X),
    right("xlogy", special.xlogy, bernoullis, (1.0,), argnums=1, reference=lambda x, y: x * jnp.log(y)),
    right("xlog1py", special.xlog1py, bernoullis, SMALL, argnums=1, reference=lambda x, y: x * jnp.log1p(y)),
    right("xlogy, in both", special.xlogy, shapes_and_places, reference=lambda x, y: x * jnp.log(y),
          oracle=lambda x, y: x * np.log(y)),
    right("entr", special.entr, uniform(0.05, 0.95, (6,)), SMALL, reference=lambda x: -x * jnp.log(x)),
    right("rel_entr", special.rel_entr, two_distributions, UNIT, oracle=lambda p, q: p * np.log(p / q)),
    right("kl_div", special.kl_div, two_distributions, UNIT, oracle=lambda p, q: p * np.log(p / q) - p + q),
    right("logit", special.logit, uniform(0.02, 0.98, (4, 5)), SMALL, reference=lambda p: jnp.log(p) - jnp.log1p(-p)),
    right("expit", special.expit, X, reference=lambda x: (1 + jnp.tanh(x / 2)) / 2),
    right("ndtr", special.ndtr, X, GROWING, reference=lambda x: special.erfc(-x / np.sqrt(2)) / 2),
    right("log_ndtr", special.log_ndtr, X, reference=lambda x: jnp.log(special.ndtr(x)), accuracy=1e-6),
    right("ndtri", special.ndtri, uniform(0.02, 0.98, (4, 5)), UNIT, reference=lambda p: (
        np.sqrt(2) * special.erfinv(2 * p - 1))),
    right("zeta", lambda x: special.zeta(x + 1.5, 2.0), positive((4,)), MODERATE),
    right("expi", special.expi, ABOVE_0, MODERATE, oracle=scipy.special.expi),
    right("exp1", special.exp1, ABOVE_0, MODERATE, oracle=scipy.special.exp1),
    right("sici", lambda x: special.sici(x)[0], ABOVE_0, MODERATE),
    right("hyp1f1", lambda x: special.hyp1f1(1.5, 2.5, x), X, SMALL),
    right("boxcox", special.boxcox, lambda rng, scale: (scale * np.exp(rng.standard_normal(6)), 0.4),
          reference=lambda x, k: (x**k - 1) / k),
    right("log1p", jnp.log1p, ABOVE_0, reference=lambda x: jnp.log(1 + x), oracle=np.log1p),
    right("expm1", jnp.expm1, X, GROWING, reference=lambda x: jnp.exp(x) - 1, oracle=np.expm1),
    right("logaddexp", jnp.logaddexp, normal((4, 5), (4, 5)), reference=lambda x, y: (
        jnp.maximum(x, y) + jnp.log1p(jnp.exp(-jnp.abs(x - y))))),
    right("logaddexp2", jnp.logaddexp2, normal((4, 5), (4, 5)), reference=lambda x, y: (
        jnp.maximum(x, y) + jnp.log2(1 + jnp.exp2(-jnp.abs(x - y))))),
    right("hypot", jnp.hypot, normal((4, 5), (4, 5)), reference=lambda x, y: jnp.sqrt(x**2 + y**2),
          oracle=np.hypot),
    right("arctan2", jnp.arctan2, normal((4, 5), (4, 5)), oracle=np.arctan2),
    right("sinc", jnp.sinc, X, SMALL, reference=lambda x: jnp.sin(np.pi * x) / (np.pi * x),
          oracle=lambda x: np.sin(np.pi * x) / (np.pi * x)),
    right("sinc with its series", sinc_or_series, X, reference=lambda x: jnp.sinc(x / np.pi)),
    right("power", jnp.power, shapes_and_places, MODERATE, reference=lambda x, y: jnp.exp(y * jnp.log(x)),
          oracle=lambda x, y: x**y),
    right("cbrt", jnp.cbrt, X, reference=lambda x: jnp.sign(x) * jnp.abs(x) ** (1 / 3), oracle=np.cbrt),
    right("rsqrt", lambda x: jax.lax.rsqrt(x), ABOVE_0, oracle=lambda x: 1 / np.sqrt(x)),
    right("cosh", jnp.cosh, X, GROWING, oracle=np.cosh),
    right("log cosh", lambda x: jnp.log(jnp.cosh(x)), X, GROWING),
    right("arcsinh", jnp.arcsinh, X, reference=lambda x: jnp.sign(x) * jnp.log1p(
        jnp.abs(x) + x**2 / (1 + jnp.sqrt(1 + x**2))), oracle=np.arcsinh),
    right("arccosh", lambda x: jnp.arccosh(1 + x), ABOVE_0, reference=lambda x: jnp.log1p(x + jnp.sqrt(x * (2 + x)))),
    right("arctanh", jnp.arctanh, uniform(-0.95, 0.95, (4, 5)), SMALL, reference=lambda x: (
        jnp.log1p(x) - jnp.log1p(-x)) / 2, oracle=np.arctanh),
    right("arcsin", jnp.arcsin, uniform(-0.95, 0.95, (4, 5)), SMALL, oracle=np.arcsin),
    right("sine", jnp.sin, X, oracle=np.sin),
    right("remainder", lambda x: jnp.mod(x, 1.0), X),
    right("soft clip", softclip, X),
    right("Rodrigues", rodrigues, lambda rng, scale: (scale * rng.standard_normal(3), rng.standard_normal(3)),
          (1e-3, 0.1, 1.0)),
    right("prod", jnp.prod, normal((6,)), oracle=np.prod),
    right("variance", jnp.var, normal((9,)), reference=lambda x: jnp.mean((x - x.mean()) ** 2),
          oracle=np.var),
    right("standard deviation", jnp.std, normal((9,)), oracle=lambda x: np.sqrt(((x - x.mean()) ** 2).mean())),
    right("relative error", lambda x, y: jnp.sum((x - y) ** 2) / jnp.sum(y**2), normal((6,), (6,))),
)  # fmt: skip
