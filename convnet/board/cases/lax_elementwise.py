"""`jax.lax`: elementary functions, entry by entry."""

from __future__ import annotations

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import real
from convnet.board.case import Case, at, case
from convnet.board.cases import numpy_arithmetic, numpy_elementwise
from convnet.board.cases.elementwise_points import FAR_PLANE, LINE, NEAR_ZERO, PLANE, POSITIVE, STEPS, UNIT, WIDE, ZERO
from convnet.board.cases.numpy_arithmetic import BOUNDS, DIVISIONS, QUOTIENTS, hypot, powers

_ALIKE = (
    "abs acos acosh asin asinh atan atanh cbrt ceil cos cosh exp exp2 expm1 floor log log1p log2 reciprocal sign sin "
    "sinh sqrt square tan tanh"
)
"""The functions of one number that jax.numpy has by the same name; log2 is new in jax.lax."""
_OF_INTEGERS = (
    "bitwise_and bitwise_not bitwise_or bitwise_xor clz mulhi population_count shift_left shift_right_arithmetic "
    "shift_right_logical"
)
_TRUTH_VALUES = "eq ge gt is_finite le lt ne"


def alike(name: str) -> Case:
    """What is known of the function of that name in jax.numpy, of that in jax.lax."""
    known = next(c for c in numpy_elementwise.CASES if c.call == f"jax.numpy.{name}(x)")
    return case(f"jax.lax.{name}", known.oracle, known.points, scipy=known.scipy)


def two(name: str, oracle, points, **options) -> Case:
    return case(f"jax.lax.{name}", oracle, points, args="x, y", wrt=(0, 1), **options)


def integer_pow(n: int) -> Case:
    points = tuple(point for point in numpy_arithmetic.INTEGER_BASES if n >= 0 or point.args[0])
    return case("jax.lax.integer_pow", lambda x: real.power(x, mpf(n)), points, call=f"jax.lax.integer_pow(x, {n})")


def away_from_zero(x: mpf) -> mpf:
    """The next whole number; halves go away from 0."""
    return mp.sign(x) * mp.floor(abs(x) + mpf(1) / 2)


BOTH = (*PLANE, *FAR_PLANE)

ERRORS = (
    *LINE[:5],
    *at("tail", -26.0, -6.1, 6.1, 26.0, 30.0, -300.0),
    *ZERO,
    *NEAR_ZERO,
    *at("branch", 1.0, -1.0, 8.0),
)
"""For erf and erfc."""

CASES: tuple[Case, ...] = (
    *map(alike, _ALIKE.split()),
    case("jax.lax.neg", lambda x: -x, WIDE),
    case("jax.lax.one_minus_square", lambda x: 1 - x**2, (*UNIT, *at("tail", 30.0, 300.0))),
    case("jax.lax.polynomial", lambda x: 1 + x * (5 + x * (2 - 3 * x)), (*LINE[:5], *at("tail", 30.0), *ZERO),
         call="jax.lax.polynomial(x, [1.0, 5.0, 2.0, -3.0])"),
    case("jax.lax.erf", mp.erf, ERRORS, scipy=scipy.special.erf),
    case("jax.lax.erfc", mp.erfc, ERRORS, scipy=scipy.special.erfc),
    case("jax.lax.erf_inv", real.erfinv,
         (*at("generic", -0.7, -0.3, 0.2, 0.9), *at("tail", 1e-10, 0.99999, -1 + 1e-10, 1e-200), *ZERO,
          *at("end", 1.0, -1.0, np.nextafter(1.0, 0.0), np.nextafter(-1.0, 0.0))), scipy=scipy.special.erfinv),
    case("jax.lax.logistic", real.logistic, (*WIDE, *at("tail", 37.0, -745.0)), scipy=scipy.special.expit),
    case("jax.lax.rsqrt", lambda x: 1 / mp.sqrt(x) if x > 0 else mp.nan,
         tuple(point for point in POSITIVE if point.args[0])),
    case("jax.lax.round", away_from_zero, STEPS),
    case("jax.lax.round", mp.nint, STEPS, call="jax.lax.round(x, jax.lax.RoundingMethod.TO_NEAREST_EVEN)"),
    *map(integer_pow, (0, 1, 2, 3, -1, -3)),
    two("add", lambda x, y: x + y, BOTH),
    two("sub", lambda x, y: x - y, BOTH),
    two("mul", lambda x, y: x * y, BOTH),
    two("div", lambda x, y: x / y, QUOTIENTS),
    two("atan2", lambda x, y: mp.atan2(x, y), BOTH, scipy=np.arctan2),
    two("max", max, BOTH),
    two("min", min, BOTH),
    *powers("jax.lax.pow"),
    two("rem", real.fmod, DIVISIONS, scipy=np.fmod),
    two("complex", hypot, PLANE, call="abs(jax.lax.complex(x, y))",
        dtypes=("float64", "float32")),
    two("conj", lambda x, y: x - y, at("generic", (0.5, 1.7), (-1.3, 0.6)), dtypes=("float64", "float32"),
        call="jax.lax.real(z := jax.lax.conj(jax.lax.complex(x, y))) + jax.lax.imag(z)"),
    two("real", lambda x, y: mp.exp(x) * mp.cos(y), at("generic", (0.5, 1.7), (-1.3, 0.6)),
        call="jax.lax.real(jax.lax.exp(jax.lax.complex(x, y)))", dtypes=("float64", "float32")),
    two("imag", lambda x, y: mp.exp(x) * mp.sin(y), at("generic", (0.5, 1.7), (-1.3, 0.6)),
        call="jax.lax.imag(jax.lax.exp(jax.lax.complex(x, y)))", dtypes=("float64", "float32")),
    case("jax.lax.clamp", real.clip, BOUNDS, args="x, low, high", wrt=(0, 1, 2), call="jax.lax.clamp(low, x, high)"),
    two("select", lambda x, y: x**2 if x > y else 3 * y,
        (*at("generic", (0.5, 1.7), (3.1, 0.6)), *at("tie", (3.0, 3.0))), call="jax.lax.select(x > y, x**2, 3 * y)"),
    two("select_n", lambda x, y: x**2 if x > y else 3 * y,
        (*at("generic", (0.5, 1.7), (3.1, 0.6)), *at("tie", (3.0, 3.0))),
        call="jax.lax.select_n(x > y, 3 * y, x**2)"),
    case("jax.lax.optimization_barrier", lambda x: x, (*LINE[:5], *at("zero", 0.0))),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {
    **{f"jax.lax.{name}": "a truth value" for name in _TRUTH_VALUES.split()},
    **{f"jax.lax.{name}": "of integers" for name in _OF_INTEGERS.split()},
    "jax.lax.bitcast_convert_type": "of bits, not of numbers",
    "jax.lax.convert_element_type": "a conversion",
    "jax.lax.nextafter": "of neighbouring floats, not of numbers",
    "jax.lax.reduce_precision": "a step function, whose gradient is that of what it rounds, by intention",
    "jax.lax.stop_gradient": "its gradient is not that of its value, by intention",
}
