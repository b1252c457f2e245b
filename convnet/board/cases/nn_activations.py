"""`jax.nn`: functions of one number, entry by entry."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import real
from convnet.board.case import Case, at, case
from convnet.board.cases.elementwise_points import LINE, WIDE

HARD = (*WIDE, *at("branch", -3.0, -1.0, 1.0, 3.0, 6.0))
"""With the kinks of all piecewise activations."""
ALPHAS = (
    *at("generic", (-2.3, 1.3), (-0.7, 0.6), (0.4, 1.3), (1.6, 2.0)),
    *at("tail", (-30.0, 1.3), (-300.0, 0.2), (300.0, 0.2), (1e-10, 1.5), (-1e-10, 1.5)),
    *at("zero", (0.0, 1.5), (-0.0, 1.5)),
    *at("subnormal", (1e-310, 1.5)),
)
"""x and α. None is 1 at x = 0: elu has a derivative there, but beside it none to be differentiated in α."""
SELU_ALPHA, SELU_SCALE = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"


def hard_sigmoid(x: mpf) -> mpf:
    return real.clip(x + 3, 0, 6) / 6


def elu(x: mpf, alpha: mpf) -> mpf:
    return x if x > 0 else alpha * mp.expm1(x)


def celu(x: mpf, alpha: mpf) -> mpf:
    return x if x > 0 else alpha * mp.expm1(x / alpha)


def selu(x: mpf) -> mpf:
    return mpf(SELU_SCALE) * elu(x, mpf(SELU_ALPHA))


def gelu(x: mpf) -> mpf:
    """With the exact normal distribution."""
    return x / 2 * mp.erfc(-x / mp.sqrt(2))


def gelu_tanh(x: mpf) -> mpf:
    """½ x (1 + tanh u), as x logistic(2u), which does not cancel far out."""
    return x * real.logistic(2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))


def log1mexp(x: mpf) -> mpf:
    if x <= 0:
        return mp.nan
    return mp.log(-mp.expm1(-x)) if x < 1 else mp.log1p(-mp.exp(-x))


def mish(x: mpf) -> mpf:
    """x tanh log(1 + eˣ) = x n / (n + 2) with n = eˣ (eˣ + 2)."""
    if x > 0:
        inverse = mp.exp(-x)
        return x * (1 + 2 * inverse) / (1 + 2 * inverse + 2 * inverse**2)
    n = mp.exp(x) * (mp.exp(x) + 2)
    return x * n / (n + 2)


def sparse_plus(x: mpf) -> mpf:
    return mpf(0) if x <= -1 else (x if x >= 1 else (x + 1) ** 2 / 4)


def squareplus(x: mpf, b: mpf) -> mpf:
    """(x + √(x² + b)) / 2, without cancellation for negative x."""
    root = mp.sqrt(x**2 + b)
    return (x + root) / 2 if x >= 0 else b / (2 * (root - x))


CASES: tuple[Case, ...] = (
    case("jax.nn.identity", lambda x: x, LINE),
    case("jax.nn.relu", lambda x: max(x, mpf(0)), WIDE),
    case("jax.nn.relu6", lambda x: real.clip(x, 0, 6), HARD),
    case("jax.nn.hard_sigmoid", hard_sigmoid, HARD),
    case("jax.nn.hard_silu", lambda x: x * hard_sigmoid(x), HARD),
    case("jax.nn.hard_tanh", lambda x: real.clip(x, -1, 1), HARD),
    case("jax.nn.leaky_relu", lambda x: x if x >= 0 else x / 100, WIDE),
    case("jax.nn.leaky_relu", lambda x, slope: x if x >= 0 else slope * x,
         (*at("generic", (-2.3, 0.2), (1.6, 0.2)), *at("zero", (0.0, 0.2)), *at("tie", (-0.5, 1.0))),
         args="x, slope", wrt=(0, 1)),
    case("jax.nn.elu", lambda x: elu(x, mpf(1)), WIDE),
    case("jax.nn.elu", elu, ALPHAS, args="x, alpha", wrt=(0, 1)),
    case("jax.nn.celu", lambda x: celu(x, mpf(1)), WIDE),
    case("jax.nn.celu", celu, ALPHAS, args="x, alpha", wrt=(0, 1)),
    case("jax.nn.selu", selu, WIDE),
    case("jax.nn.gelu", gelu_tanh, (*WIDE, *at("tail", -5.0, -8.0, 8.0, 1e13)), call="jax.nn.gelu(x)"),
    case("jax.nn.gelu", gelu, (*WIDE, *at("tail", -5.0, -8.0, 8.0)), call="jax.nn.gelu(x, approximate=False)",
         scipy=lambda x: x * scipy.special.ndtr(x)),
    case("jax.nn.log1mexp", log1mexp,
         (*at("generic", 0.2, 0.5, 1.6, 3.1), *at("tail", 30.0, 300.0, 1e10, 1e-5, 1e-10, 1e-25, 1e-200),
          *at("branch", math.log(2), np.nextafter(math.log(2), 0.0)), *at("subnormal", 1e-310))),
    case("jax.nn.log_sigmoid", lambda x: -real.softplus(-x), WIDE, scipy=scipy.special.log_expit),
    case("jax.nn.mish", mish, WIDE),
    case("jax.nn.sigmoid", real.logistic, WIDE, scipy=scipy.special.expit),
    case("jax.nn.silu", lambda x: x * real.logistic(x), WIDE),
    case("jax.nn.soft_sign", lambda x: x / (1 + abs(x)), WIDE),
    case("jax.nn.softplus", real.softplus, WIDE),
    case("jax.nn.sparse_plus", sparse_plus, HARD),
    case("jax.nn.sparse_sigmoid", lambda x: real.clip(x + 1, 0, 2) / 2, HARD),
    case("jax.nn.squareplus", lambda x: squareplus(x, mpf(4)), WIDE, call="jax.nn.squareplus(x)"),
    case("jax.nn.squareplus", squareplus,
         (*at("generic", (-2.3, 4.0), (0.4, 0.6), (1.6, 4.0)), *at("tail", (-300.0, 4.0), (300.0, 4.0), (1.5, 1e-10)),
          *at("zero", (0.0, 4.0), (1.5, 0.0), (0.0, 0.0), (-1.5, 0.0))), args="x, b", wrt=(0, 1)),
    case("jax.nn.tanh", mp.tanh, WIDE, scipy=np.tanh),
)  # fmt: skip

_INITIALIZERS = (
    "constant delta_orthogonal glorot_normal glorot_uniform he_normal he_uniform kaiming_normal kaiming_uniform "
    "lecun_normal lecun_uniform normal ones orthogonal truncated_normal uniform variance_scaling xavier_normal "
    "xavier_uniform zeros"
)

NOT_COVERED: dict[str, str] = {
    "jax.nn.hard_swish": "another name of jax.nn.hard_silu",
    "jax.nn.swish": "another name of jax.nn.silu",
    "jax.nn.one_hot": "of integers",
    "jax.nn.get_scaled_dot_general_config": "a setting",
    "jax.nn.scaled_matmul": "has no program for a CPU; of blocks in 8 bits and fewer",
    **{f"jax.nn.initializers.{name}": "random numbers, or constants" for name in _INITIALIZERS.split()},
}
