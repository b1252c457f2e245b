"""`jax.numpy`: functions of one number, entry by entry."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import real
from convnet.board.case import Case, at, case
from convnet.board.cases.elementwise_points import LINE, NEAR_ZERO, POSITIVE, STEPS, UNIT, WIDE, ZERO

CIRCLE = (
    *at("generic", -2.3, -0.7, 0.4, 1.6, 3.1),
    *at("tail", -300.0, 30.0, 1e10),
    *ZERO,
    *NEAR_ZERO,
    *at("branch", np.pi / 2, np.pi, -np.pi),
)
"""For functions of an angle."""

EXPONENTS = (*LINE, *at("tail", 3.0e-17, 709.5, -745.0, -1e10), *at("branch", 0.6931471805599453, -0.5))
"""For functions that grow as exp does."""

POSITIVE_ZERO = tuple(point for point in WIDE if math.copysign(1.0, point.args[0]) > 0 or point.args[0])
"""Without −0, of which the angle is π."""

NONZERO = tuple(point for point in WIDE if point.args[0] or point.label != "zero")


def sinc(x: mpf) -> mpf:
    return mp.sinpi(x) / (mp.pi * x) if x else mpf(1)


def mantissa(x: mpf) -> mpf:
    """m of x = m 2ᵉ with ½ ≤ |m| < 1."""
    return mp.frexp(x)[0]


def rounded(x: mpf, decimals: int) -> mpf:
    """Halves to even."""
    return mp.nint(x * mpf(10) ** decimals) / mpf(10) ** decimals


def piecewise(x: mpf) -> mpf:
    return -(x**2) if x < 0 else (x**3 if x < 2 else 8 * mp.exp(x - 2))


TRANSCENDENTAL: tuple[Case, ...] = (
    case("jax.numpy.acos", mp.acos, UNIT, scipy=np.arccos),
    case("jax.numpy.acosh", mp.acosh,
         (*at("generic", 1.2, 1.6, 3.1), *at("tail", 30.0, 1e10, 1e25, 1e200), *at("branch", 2.0),
          *at("end", 1.0, np.nextafter(1.0, 2.0), 1.000001)), scipy=np.arccosh),
    case("jax.numpy.asin", mp.asin, UNIT, scipy=np.arcsin),
    case("jax.numpy.asinh", mp.asinh, WIDE, scipy=np.arcsinh),
    case("jax.numpy.atan", mp.atan, WIDE, scipy=np.arctan),
    case("jax.numpy.atanh", mp.atanh, UNIT, scipy=np.arctanh),
    case("jax.numpy.cbrt", real.cbrt, WIDE, scipy=np.cbrt),
    case("jax.numpy.cos", mp.cos, CIRCLE, scipy=np.cos),
    case("jax.numpy.cosh", mp.cosh, EXPONENTS, scipy=np.cosh),
    case("jax.numpy.exp", mp.exp, EXPONENTS, scipy=np.exp),
    case("jax.numpy.exp2", lambda x: mp.power(2, x), EXPONENTS, scipy=np.exp2),
    case("jax.numpy.expm1", mp.expm1, EXPONENTS, scipy=np.expm1),
    case("jax.numpy.i0", lambda x: mp.besseli(0, x),
         (*LINE, *at("branch", 8.0, -8.0), *at("tail", 700.0)), scipy=scipy.special.i0),
    case("jax.numpy.log", real.log, POSITIVE, scipy=np.log),
    case("jax.numpy.log10", lambda x: real.log(x) / mp.ln10, POSITIVE, scipy=np.log10),
    case("jax.numpy.log1p", lambda x: mp.log1p(x) if x > -1 else real.log(1 + x),
         (*at("generic", -0.7, 0.4, 1.6, 3.1), *at("tail", 30.0, 1e10, 1e25, 1e200), *ZERO, *NEAR_ZERO,
          *at("end", -1.0, np.nextafter(-1.0, 0.0), -1 + 1e-6)), scipy=np.log1p),
    case("jax.numpy.log2", lambda x: real.log(x) / mp.ln2, POSITIVE, scipy=np.log2),
    case("jax.numpy.sin", mp.sin, CIRCLE, scipy=np.sin),
    case("jax.numpy.sinc", sinc,
         (*at("generic", -2.3, -0.7, 0.4, 1.6), *at("tail", 30.5, 300.2), *ZERO, *NEAR_ZERO,
          *at("branch", 1.0, -2.0, 1e-3)), scipy=np.sinc),
    case("jax.numpy.sinh", mp.sinh, EXPONENTS, scipy=np.sinh),
    case("jax.numpy.sqrt", lambda x: mp.sqrt(x) if x >= 0 else mp.nan, POSITIVE, scipy=np.sqrt),
    case("jax.numpy.tan", mp.tan, CIRCLE, scipy=np.tan),
    case("jax.numpy.tanh", mp.tanh, WIDE, scipy=np.tanh),
)  # fmt: skip

SIMPLE: tuple[Case, ...] = (
    case("jax.numpy.abs", abs, WIDE, scipy=np.abs),
    case("jax.numpy.abs", lambda x, y: mp.hypot(x, y),
         (*at("generic", (0.5, 1.7), (-1.3, 0.6)), *at("tie", (1.5, -1.5)), *at("zero", (0.0, 0.0), (0.0, 2.0)),
          *at("tail", (1e200, 1e200), (1e-200, 2e-200), (1e25, -1e25))),
         args="x, y", call="jnp.abs(jax.lax.complex(x, y))", wrt=(0, 1), dtypes=("float64", "float32"),
         scipy=np.hypot),
    case("jax.numpy.angle", lambda x: mpf(0) if x >= 0 else +mp.pi, POSITIVE_ZERO, scipy=np.angle),
    case("jax.numpy.angle", lambda x, y: mp.atan2(y, x),
         (*at("generic", (0.5, 1.7), (-1.3, 0.6), (-0.4, -2.0)), *at("zero", (0.0, 2.0), (2.0, 0.0), (0.0, 0.0)),
          *at("tail", (1e200, 1e200), (1e-200, 2e-200))),
         args="x, y", call="jnp.angle(jax.lax.complex(x, y))", wrt=(0, 1), dtypes=("float64", "float32"),
         scipy=lambda x, y: np.arctan2(y, x)),
    case("jax.numpy.conj", lambda x: x, WIDE, scipy=np.conj),
    case("jax.numpy.conj", lambda x, y: x - y, at("generic", (0.5, 1.7), (-1.3, 0.6)), args="x, y",
         call="jnp.real(z := jnp.conj(jax.lax.complex(x, y))) + jnp.imag(z)", wrt=(0, 1),
         dtypes=("float64", "float32")),
    case("jax.numpy.deg2rad", lambda x: x * mp.pi / 180, WIDE, scipy=np.deg2rad),
    case("jax.numpy.fabs", abs, WIDE, scipy=np.fabs),
    case("jax.numpy.frexp", mantissa,
         (*at("generic", -2.3, -0.7, 0.4, 1.6), *at("tail", 300.0, 1e200, 1e-200), *at("branch", 0.5, 1.0, -2.0),
          *ZERO), call="jnp.frexp(x)[0]", scipy=lambda x: np.frexp(x)[0]),
    case("jax.numpy.imag", lambda x: mpf(0), LINE, scipy=np.imag),
    case("jax.numpy.imag", lambda x, y: 2 * x * y, at("generic", (0.5, 1.7), (-1.3, 0.6)), args="x, y",
         call="jnp.imag(jax.lax.complex(x, y) ** 2)", wrt=(0, 1), dtypes=("float64", "float32")),
    case("jax.numpy.nan_to_num", lambda x: x, WIDE, scipy=np.nan_to_num),
    case("jax.numpy.negative", lambda x: -x, WIDE, scipy=np.negative),
    case("jax.numpy.piecewise", piecewise, (*LINE[:5], *ZERO, *at("branch", 2.0)),
         call="jnp.piecewise(x, [x < 0, x >= 2], [lambda v: -v**2, lambda v: 8 * jnp.exp(v - 2), lambda v: v**3])"),
    case("jax.numpy.positive", lambda x: x, WIDE, scipy=np.positive),
    case("jax.numpy.rad2deg", lambda x: x * 180 / mp.pi, WIDE, scipy=np.rad2deg),
    case("jax.numpy.real", lambda x: x, WIDE, scipy=np.real),
    case("jax.numpy.real", lambda x, y: x**2 - y**2, at("generic", (0.5, 1.7), (-1.3, 0.6)), args="x, y",
         call="jnp.real(jax.lax.complex(x, y) ** 2)", wrt=(0, 1), dtypes=("float64", "float32")),
    case("jax.numpy.reciprocal", lambda x: 1 / x, NONZERO, scipy=np.reciprocal),
    case("jax.numpy.square", lambda x: x**2, WIDE, scipy=np.square),
)  # fmt: skip

CONSTANT_IN_STEPS: tuple[Case, ...] = (
    case("jax.numpy.ceil", mp.ceil, STEPS, scipy=np.ceil),
    case("jax.numpy.floor", mp.floor, STEPS, scipy=np.floor),
    case("jax.numpy.modf", lambda x: x - real.truncate(x), STEPS, call="jnp.modf(x)[0]",
         scipy=lambda x: np.modf(x)[0]),
    case("jax.numpy.modf", real.truncate, STEPS, call="jnp.modf(x)[1]", scipy=lambda x: np.modf(x)[1]),
    case("jax.numpy.rint", mp.nint, STEPS, scipy=np.rint),
    case("jax.numpy.round", mp.nint, STEPS, scipy=np.round),
    case("jax.numpy.round", lambda x: rounded(x, 1),
         (*at("generic", -2.31, 0.42, 1.68), *at("tail", 300.01), *at("zero", 0.0)),
         call="jnp.round(x, 1)", dtypes=("float64", "float32"), scipy=lambda x: np.round(x, 1)),
    case("jax.numpy.round", lambda x: rounded(x, -1), (*at("generic", -23.0, 4.0, 16.0), *at("branch", 15.0, 25.0)),
         call="jnp.round(x, -1)", dtypes=("float64", "float32")),
    case("jax.numpy.sign", mp.sign, STEPS, scipy=np.sign),
    case("jax.numpy.trunc", real.truncate, STEPS, scipy=np.trunc),
)  # fmt: skip

CASES: tuple[Case, ...] = (*TRANSCENDENTAL, *SIMPLE, *CONSTANT_IN_STEPS)

_SAME = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "around": "round", "conjugate": "conj", "degrees": "rad2deg",
    "divide": "true_divide", "mod": "remainder", "pow": "power", "radians": "deg2rad",
}  # fmt: skip
"""Functions of another name that only call the one they are named after."""
_TRUTH_VALUES = (
    "equal greater greater_equal isclose iscomplex isfinite isinf isnan isneginf isposinf isreal less less_equal "
    "logical_and logical_not logical_or logical_xor not_equal signbit"
)
_OF_INTEGERS = (
    "bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift "
    "bitwise_xor gcd invert lcm left_shift right_shift"
)

NOT_COVERED: dict[str, str] = {
    **{f"jax.numpy.{name}": f"another name of jax.numpy.{other}" for name, other in _SAME.items()},
    **{f"jax.numpy.{name}": "a truth value" for name in _TRUTH_VALUES.split()},
    **{f"jax.numpy.{name}": "of integers" for name in _OF_INTEGERS.split()},
    "jax.numpy.astype": "a conversion",
    "jax.numpy.nextafter": "of neighbouring floats, not of numbers",
    "jax.numpy.spacing": "of neighbouring floats, not of numbers",
}
